import Foundation
import Shared

/// `winnow-worker` as a process with files as input and output: work that needs the engine is done by the program that
/// has it.
struct WorkerProcess {
    /// The program's path.
    let program: String
    /// Compute threads; the program's own default where nil.
    var threads: Int?

    /// Finds `winnow-worker`. Throws `.unavailable` if it is missing.
    static func find(threads: Int?) throws -> WorkerProcess {
        WorkerProcess(program: try LocalWorkers.program(), threads: threads)
    }

    /// Mean cross-entropy and correct images of a network, unmasked or under a mask, on images of a split after the
    /// skipped ones.
    func evaluate(
        _ model: String, data: ImageSource, _ settings: EvaluationSettings, skipping skipped: Int = 0,
        under mask: (Mask, FilterSpace)? = nil
    ) throws -> PruningRecord.Measurement {
        let disabled = mask.map { MaskFile.text(of: $0, in: $1) } ?? "{}"
        return try Self.withTemporaryFolder { folder in
            let masks = folder.appending(path: "masks.json")
            try Data("{\"masks\":[{\"disabled\":\(disabled)}]}".utf8).write(to: masks)
            let measured = try evaluate(model, masks: masks.path, data: data, settings, skipping: skipped)
            guard let first = measured.first else {
                throw Failure(.internalFault, "\(program) evaluate answered without a loss")
            }
            return first
        }
    }

    /// The same for a network under masks, in their order, each on its own images if these rotate.
    func evaluate(
        _ network: Network, under masks: [Mask], data: ImageSource, _ settings: EvaluationSettings
    ) throws -> [PruningRecord.Measurement] {
        try Self.withTemporaryFolder { folder in
            let model = folder.appending(path: "network.safetensors")
            let file = folder.appending(path: "all-masks.json").path
            try Data(Checkpoint.safetensors(of: network)).write(to: model)
            try MaskFile.write(
                masks, for: FilterSpace(network.graph), to: file,
                images: settings.rotation.map { (settings, $0, masks.count) })
            let measured = try evaluate(model.path, masks: file, data: data, settings)
            guard measured.count == masks.count else {
                throw Failure(
                    .internalFault, "\(program) evaluate answered for \(measured.count) masks, not \(masks.count)")
            }
            return measured
        }
    }

    private func evaluate(
        _ model: String, masks: String, data: ImageSource, _ settings: EvaluationSettings,
        skipping skipped: Int = 0
    ) throws -> [PruningRecord.Measurement] {
        struct Answer: Decodable {
            struct Result: Decodable {
                var loss: Double
                var correct: Int
            }
            var results: [Result]
        }
        return try Self.withTemporaryFolder { folder in
            let losses = folder.appending(path: "losses.json")
            var arguments = [
                "evaluate", "--model", model, "--split", settings.split.rawValue, "--masks", masks, "--output",
                losses.path,
            ]
            // If images rotate, the mask file lists them.
            if settings.rotation == nil { arguments += ["--images", "\(settings.images)"] }
            let batchNorm = settings.batchNorm.source.rawValue
            arguments += ["--batchnorm", batchNorm]
            arguments += data.arguments
            if skipped > 0 { arguments += ["--skip", "\(skipped)"] }
            if settings.labels != .given { arguments += ["--labels", settings.labels.rawValue] }
            if let images = settings.batchNorm.calibrationImages { arguments += ["--calibration-images", "\(images)"] }
            try run(arguments + Self.options(settings.normalisation) + threadOptions)
            let answer = try JSONDecoder().decode(Answer.self, from: Data(contentsOf: losses))
            return answer.results.map { result in
                PruningRecord.Measurement(
                    network: nil, split: settings.split.rawValue, images: settings.images, batchNorm: batchNorm,
                    loss: result.loss, correct: result.correct)
            }
        }
    }

    /// A network with its batch-norm statistics under a mask, which must not be frozen ones.
    func recalibrated(
        _ network: Network, _ batchNorm: EvaluationSettings.BatchNorm, under mask: Mask, data: ImageSource,
        normalisation: Normalisation
    ) throws -> Network {
        try change(
            network, under: mask, "recalibrate",
            [
                "--batchnorm", batchNorm.source.rawValue, "--calibration-images",
                "\(batchNorm.calibrationImages ?? 0)",
            ] + data.arguments + Self.options(normalisation) + threadOptions,
            read: { try Self.network(at: $0, from: network) })
    }

    /// A network without a mask's filters, with the layers after them refitted on the first training images.
    func reconstructed(
        _ network: Network, removing mask: Mask, data: ImageSource, images: Int, normalisation: Normalisation
    ) throws -> Network {
        try change(
            network, under: mask, "reconstruct",
            ["--calibration-images", "\(images)"] + data.arguments + Self.options(normalisation) + threadOptions,
            read: { try Self.network(at: $0, from: network) })
    }

    /// A network derived from another, with the same facts.
    private static func network(at path: String, from original: Network) throws -> Network {
        var network = try Checkpoint.network(at: path)
        network.facts = original.facts
        return network
    }

    /// As many filters of each layer as a mask disables: those whose loss a refit of the next layer on the first
    /// training images can best make up for.
    func selected(
        from network: Network, asManyAs mask: Mask, data: ImageSource, images: Int, normalisation: Normalisation
    ) throws -> Mask {
        try change(
            network, under: mask, "select",
            ["--calibration-images", "\(images)"] + data.arguments + Self.options(normalisation) + threadOptions
        ) { try MaskFile.mask(at: $0, for: FilterSpace(network.graph)) }
    }

    /// A subcommand's result for a network and a mask, read from its file by `read`.
    private func change<Result>(
        _ network: Network, under mask: Mask, _ subcommand: String, _ arguments: [String],
        read: (String) throws -> Result
    ) throws -> Result {
        try Self.withTemporaryFolder { folder in
            let model = folder.appending(path: "network.safetensors")
            let masks = folder.appending(path: "masks.json")
            let output = folder.appending(path: "changed")
            try Data(Checkpoint.safetensors(of: network)).write(to: model)
            try MaskFile.write([mask], for: FilterSpace(network.graph), to: masks.path)
            try run(
                [subcommand, "--model", model.path, "--masks", masks.path, "--output", output.path] + arguments)
            return try read(output.path)
        }
    }

    /// The mean squared gate gradient of every filter of a network, by its number, on the first training images.
    func gateGradients(
        of network: Network, data: ImageSource, images: Int, normalisation: Normalisation
    ) throws -> [Double] {
        struct Answer: Decodable { var importance: [String: [Double]] }
        return try Self.withTemporaryFolder { folder in
            let model = folder.appending(path: "network.safetensors")
            let output = folder.appending(path: "gradients.json")
            try Data(Checkpoint.safetensors(of: network)).write(to: model)
            try run(
                [
                    "gradients", "--model", model.path, "--images", "\(images)", "--output", output.path,
                ] + data.arguments + Self.options(normalisation) + threadOptions)
            let answer = try JSONDecoder().decode(Answer.self, from: Data(contentsOf: output))
            return try FilterSpace(network.graph).layers.flatMap { layer in
                guard let values = answer.importance[layer.name], values.count == layer.filters.count else {
                    throw Failure(.internalFault, "\(program) gradients answered without \(layer.name)")
                }
                return values
            }
        }
    }

    /// Images per second of each network, unmasked and with its own batch norms: the median of a few rounds, in which
    /// the networks alternate.
    func speeds(of models: [String]) throws -> [Double] {
        struct Answer: Decodable {
            struct Result: Decodable {
                var images_per_second: Double
            }
            var results: [Result]
        }
        let images = try models.map { model in
            Self.speedWork / max(1, try Checkpoint.network(at: model).graph.cost().multiplyAccumulates)
        }
        var rates = models.map { _ in [Double]() }
        for _ in 0..<Self.speedRounds {
            for (index, model) in models.enumerated() {
                let count = min(max(images[index], Self.speedImages.lowerBound), Self.speedImages.upperBound)
                let text = try run(
                    ["bench", "--model", model, "--dense", "--rounds", "2", "--images", "\(count)", "--json"]
                        + threadOptions)
                guard let dense = try JSONDecoder().decode(Answer.self, from: text).results.first else {
                    throw Failure(.internalFault, "\(program) bench answered without a speed")
                }
                rates[index].append(dense.images_per_second)
            }
        }
        return rates.map { $0.sorted()[$0.count / 2] }
    }

    /// Multiply-accumulates for measuring a speed, a fraction of a second on most machines, and images.
    private static let speedWork = 20_000_000_000
    private static let speedImages = 16...4096
    private static let speedRounds = 3

    private var threadOptions: [String] { threads.map { ["--threads", "\($0)"] } ?? [] }

    private static func options(_ normalisation: Normalisation) -> [String] {
        if normalisation == .none { return [] }
        func text(_ values: [Float]) -> String { values.map { "\($0)" }.joined(separator: ",") }
        return ["--mean=\(text(normalisation.mean))", "--deviation=\(text(normalisation.deviation))"]
    }

    /// Runs a subcommand to its end and returns its output. Throws its error message if it fails.
    @discardableResult
    private func run(_ arguments: [String]) throws -> Data {
        let (printed, exitCode) = try ChildProcess.output(of: program, arguments)
        guard exitCode == 0 else {
            // Its own message is on standard error, which it shares with us.
            let kind = Failure.Kind(rawValue: exitCode) ?? .internalFault
            throw Failure(kind, "winnow-worker \(arguments[0]) failed")
        }
        return printed
    }

    /// Calls `body` with a folder that is removed afterwards.
    static func withTemporaryFolder<Result>(_ body: (URL) throws -> Result) throws -> Result {
        let folder = FileManager.default.temporaryDirectory.appending(path: "winnow-prune-\(UUID())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        return try body(folder)
    }
}
