import Foundation
import Shared

/// How fast Winnow's engine is on this host, as `winnow-worker bench` measures it: a question about the host, so that no
/// other one can answer it.
struct EngineSpeed {
    /// The program's path.
    let program: String
    /// Compute threads; the program's own default where nil.
    var threads: Int?

    /// Multiply-accumulates that a speed is measured with, a fraction of a second on most machines, and images.
    private static let work = 20_000_000_000
    private static let images = 16...4096
    private static let rounds = 3

    /// Finds `winnow-worker`. Throws `.unavailable` where it is not.
    static func find(threads: Int?) throws -> EngineSpeed {
        EngineSpeed(program: try LocalWorkers.program(), threads: threads)
    }

    /// Images per second of each network, unmasked and with its own batch norms: the median of a few rounds, in which
    /// the networks take turns.
    func imagesPerSecond(_ networks: [Network]) throws -> [Double] {
        try TemporaryFolder.with { folder in
            let files = networks.indices.map { folder.appending(path: "network-\($0).safetensors").path }
            for (file, network) in zip(files, networks) {
                try OutputFile.write(Checkpoint.safetensors(of: network), to: file)
            }
            let counts = networks.map { network in
                let affordable = Self.work / max(1, network.graph.cost().multiplyAccumulates)
                return min(max(affordable, Self.images.lowerBound), Self.images.upperBound)
            }
            var rates = networks.map { _ in [Double]() }
            for _ in 0..<Self.rounds {
                for (index, file) in files.enumerated() {
                    rates[index].append(try measure(file, images: counts[index]))
                }
            }
            return rates.map { $0.sorted()[$0.count / 2] }
        }
    }

    private func measure(_ model: String, images: Int) throws -> Double {
        struct Answer: Decodable {
            struct Result: Decodable { var images_per_second: Double }
            var results: [Result]
        }
        let threadOptions = threads.map { ["--threads", "\($0)"] } ?? []
        let (printed, exitCode) = try ChildProcess.output(
            of: program,
            ["bench", "--model", model, "--dense", "--rounds", "2", "--images", "\(images)", "--json"] + threadOptions)
        guard exitCode == 0 else {
            // Its own message is on standard error, which it shares with us.
            throw Failure(Failure.Kind(rawValue: exitCode) ?? .internalFault, "winnow-worker bench failed")
        }
        guard let dense = try JSONDecoder().decode(Answer.self, from: printed).results.first else {
            throw Failure(.internalFault, "\(program) bench answered without a speed")
        }
        return dense.images_per_second
    }
}

/// A folder for files that are needed for a moment.
enum TemporaryFolder {
    /// Calls `body` with a folder that is removed afterwards.
    static func with<Result>(_ body: (URL) throws -> Result) throws -> Result {
        let folder = FileManager.default.temporaryDirectory.appending(path: "winnow-\(UUID())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        return try body(folder)
    }
}
