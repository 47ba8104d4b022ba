import Foundation
import Shared

/// Measures how long networks take for an image.
struct LatencyMeter {
    /// Who runs them.
    enum Program {
        /// Winnow's engine on this host, dense.
        case engine(EngineSpeed)
        /// A command in which `{onnx}` stands for the path of a model. Its last line is the milliseconds.
        case command(String)
    }

    /// Times that every network is measured; the median counts.
    private static let rounds = 3

    let program: Program

    /// The milliseconds for an image of each network, which take turns. Throws a ``Failure`` that quotes the command where
    /// it fails or prints no number.
    func milliseconds(_ networks: [Network]) throws -> [Double] {
        switch program {
        case .engine(let engine): return try engine.imagesPerSecond(networks).map { 1000 / $0 }
        case .command(let command):
            return try TemporaryFolder.with { folder in
                let files = networks.indices.map { folder.appending(path: "network-\($0)").path }
                for (file, network) in zip(files, networks) {
                    try ExportedFiles(onnx: "\(file).onnx", pytorch: nil).write(network)
                }
                var readings = networks.map { _ in [Double]() }
                for _ in 0..<Self.rounds {
                    for (index, file) in files.enumerated() {
                        readings[index].append(try Self.run(command, on: "\(file).onnx"))
                    }
                }
                return readings.map { $0.sorted()[$0.count / 2] }
            }
        }
    }

    private static func run(_ command: String, on model: String) throws -> Double {
        let words = command.replacingOccurrences(of: "{onnx}", with: ShellWords.quoted(model))
        let (printed, exitCode) = try ChildProcess.output(of: "/bin/sh", ["-c", words])
        guard exitCode == 0 else { throw Failure(.unavailable, "'\(words)' ended with exit code \(exitCode)") }
        let last =
            String(decoding: printed, as: UTF8.self).split(whereSeparator: \.isNewline).last.map(String.init) ?? ""
        guard let value = Double(last.trimmingCharacters(in: .whitespaces)), value > 0, value.isFinite else {
            throw Failure(
                .badInput, "the last line of '\(words)' is '\(last.prefix(80))', not the milliseconds of an image")
        }
        return value
    }
}
