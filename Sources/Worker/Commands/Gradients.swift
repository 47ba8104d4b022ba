import Foundation
import Shared

/// `winnow-worker gradients`.
struct Gradients: Command {
    static let description = CommandDescription(
        name: "gradients",
        summary: "compute the first-order Taylor importance of every filter",
        discussion: """
            Writes, for each filter, the mean over images of the squared derivative of the loss with respect to a gate \
            on the filter's output (Molchanov et al. 2019), with frozen batch norms, as \
            {"model":…,"images":N,"importance":{"layer1.0.conv1":[…]}}.

              winnow-worker gradients --model resnet20.th --data cifar10 --images 1024 --output taylor.json
            """)

    @Option("Network (ONNX, PyTorch or safetensors).", value: "FILE") var model: String
    @Option("Labelled images: a folder or file in a format listed in docs/images.md.", value: "PATH") var data: String
    @OptionGroup var dataFormat = DataFormatOptions()
    @Option("How many images: the first N training images.", value: "N") var images: Int = 1024
    @Option("Where to write the importances.", value: "FILE") var output: String
    @OptionGroup var normalisationOptions = NormalisationOptions()
    @Option("Compute threads. By default all processors available to this process.", value: "N") var threads: Int?

    func validate() throws {
        guard (1...Evaluation.imagesMax).contains(images) else {
            throw Failure(.usage, "--images must be from 1 to \(Evaluation.imagesMax)")
        }
        try dataFormat.validate()
        try normalisationOptions.validate()
        if let threads, !(1...1024).contains(threads) { throw Failure(.usage, "--threads must be from 1 to 1024") }
    }

    /// What the file holds.
    private struct Document: Encodable {
        var model: String
        var images: Int
        var importance: [String: [Double]]
    }

    func run() throws {
        try OutputGuard(reading: [model]).check(output)
        let network = try Checkpoint.network(at: model)
        let source = try dataFormat.source(data).open()
        let set = try source.read(.train, limit: images)
        try set.check(fits: network.graph)
        let importance = try TaylorImportance.ofFilters(
            network, images: set, normalisation: try normalisationOptions.normalisation(for: source, of: network),
            threads: threads ?? CPUAllowance.processors)
        let layers = FilterSpace(network.graph).layers
        let document = Document(
            model: model, images: set.count,
            importance: Dictionary(uniqueKeysWithValues: zip(layers.map(\.name), importance)))
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        let file = try OutputFile(output)
        try file.write(Array(try encoder.encode(document)) + [UInt8(ascii: "\n")])
        try file.finish()
    }
}
