import Shared

/// A latency as the budget of `prune`.
struct LatencyOptions {
    /// Nobody makes a network a thousand times as fast.
    private static let speedups = 1.0...1000

    @Option(
        "Make the network this many times as fast on this host, measured per image, at the lowest predicted "
            + "loss. Rounds widths to multiples of 1, 4, 8 or 16, whichever pays, or of --round-to.", value: "TIMES")
    var targetSpeedup: Double?
    @Option(
        "Shell command that measures latency instead of Winnow's dense engine. {onnx} stands for a model's "
            + "path; the last line it prints must be the milliseconds per image.", value: "COMMAND")
    var latencyCommand: String?

    /// Throws a `.usage` ``Failure``.
    func validate() throws {
        if let targetSpeedup, !Self.speedups.contains(targetSpeedup) {
            throw Failure(.usage, "--target-speedup must be from 1 to 1000, not \(targetSpeedup)")
        }
        guard let latencyCommand else { return }
        guard targetSpeedup != nil else { throw Failure(.usage, "--latency-command is for --target-speedup") }
        guard latencyCommand.contains("{onnx}") else {
            throw Failure(.usage, "--latency-command must contain {onnx} for the model's path")
        }
    }

    /// The meter. Throws a ``Failure`` if `winnow-worker` is missing.
    func meter(threads: Int?) throws -> LatencyMeter {
        let program =
            try latencyCommand.map { LatencyMeter.Program.command($0) } ?? .engine(EngineSpeed.find(threads: threads))
        return LatencyMeter(program: program)
    }
}
