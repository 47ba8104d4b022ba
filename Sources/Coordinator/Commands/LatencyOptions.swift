import Shared

/// A latency as the budget of `prune`.
struct LatencyOptions {
    /// Nobody makes a network a thousand times as fast.
    private static let speedups = 1.0...1000

    @Option(
        "Make the network so many times as fast on this host, measured for an image, at the least predicted loss. Widths "
            + "are multiples of 1, 4, 8 or 16, whichever pays, or of --round-to.", value: "TIMES")
    var targetSpeedup: Double?
    @Option(
        "The command that measures the latency, run by sh, instead of Winnow's dense engine: {onnx} stands for a model, and "
            + "its last line is the milliseconds of an image.", value: "COMMAND")
    var latencyCommand: String?

    /// Throws a `.usage` ``Failure``.
    func validate() throws {
        if let targetSpeedup, !Self.speedups.contains(targetSpeedup) {
            throw Failure(.usage, "--target-speedup must be from 1 to 1000, not \(targetSpeedup)")
        }
        guard let latencyCommand else { return }
        guard targetSpeedup != nil else { throw Failure(.usage, "--latency-command is for --target-speedup") }
        guard latencyCommand.contains("{onnx}") else {
            throw Failure(.usage, "--latency-command must say with {onnx} where the model's path goes")
        }
    }

    /// What measures. Throws a ``Failure`` where `winnow-worker` is not there.
    func meter(threads: Int?) throws -> LatencyMeter {
        let program =
            try latencyCommand.map { LatencyMeter.Program.command($0) } ?? .engine(EngineSpeed.find(threads: threads))
        return LatencyMeter(program: program)
    }
}
