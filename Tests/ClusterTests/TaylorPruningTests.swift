import Foundation
import Shared
import Testing
import Worker

@testable import Coordinator

/// `prune --method taylor`, whose scores `winnow-worker` computes with the training engine.
@Suite struct TaylorPruningTests {
    private static let images = 6
    private static let removed = 20

    /// The mean over images of the squared derivative of an image's loss with respect to a gate on each filter, by
    /// finite differences with the inference engine, which shares no code with the training engine.
    private func finiteDifferences(_ network: Network, _ images: ImageSet) throws -> [Double] {
        let step: Float = 0.01
        let settings = EvaluationSettings(split: .train, images: 1, batchNorm: .frozen)
        let singles = (0..<Self.images).map { images.subset($0..<$0 + 1) }
        func losses(_ gate: Float, _ layer: FilterSpace.Layer, _ filter: Int) throws -> [Double] {
            // A gate after the normalisation multiplies its scale and shift; the ReLU lets a positive factor pass.
            var parameters = network.parameters
            for part in ["weight", "bias"] {
                let name = layer.name.replacing("conv", with: "bn") + "." + part
                let tensor = network[name]
                var values = tensor.values
                values[filter] *= gate
                parameters[name] = Tensor(shape: tensor.shape, values: values)
            }
            let gated = Network(graph: network.graph, parameters: parameters)
            let engine = try Engine(network: gated, threads: 1)
            let none = [Mask(count: FilterSpace(network.graph).count)]
            return try singles.map { try engine.evaluate(none, images: $0, settings: settings)[0].loss }
        }
        return try FilterSpace(network.graph).layers.flatMap { layer in
            guard layer.role == .hidden else { return layer.filters.map { _ in Double.infinity } }
            return try layer.filters.indices.map { index in
                let filter = index - layer.filters.lowerBound
                let pairs = zip(try losses(1 + step, layer, filter), try losses(1 - step, layer, filter))
                let squares = pairs.map { pow(($0 - $1) / Double(2 * step), 2) }
                return squares.reduce(0, +) / Double(Self.images)
            }
        }
    }

    @Test func whatGoesIsWhatFiniteDifferencesOfTheLossFindLeastImportant() async throws {
        let cluster = try TestCluster()
        let record = "\(cluster.folder)/pruned.json"
        let prune = try cluster.start(
            "winnow-coordinator",
            [
                "prune", "--anyway", "--model", cluster.model, "--data", "\(cluster.folder)/data", "--method", "taylor",
                "--gradient-images", "\(Self.images)", "--loss-model", "additive", "--keep-at-least", "0",
                "--remove-filters", "\(Self.removed)", "--images", "\(Self.images)", "--calibration-images", "8",
                "--split", "train", "--threads", "1", "--output", "\(cluster.folder)/pruned.safetensors",
                "--json", record,
            ])
        #expect(try await prune.exitCode() == 0)

        struct Record: Decodable {
            struct Layer: Decodable {
                var name: String
                var removed: [Int]
            }
            var layers: [Layer]
        }
        let found = try JSONDecoder().decode(Record.self, from: Data(contentsOf: URL(fileURLWithPath: record)))
        let space = FilterSpace(TestCluster.architecture)
        var removed = Set<Int>()
        for layer in found.layers {
            let first = try #require(space.layer(named: layer.name)).filters.lowerBound
            removed.formUnion(layer.removed.map { first + $0 })
        }
        #expect(removed.count == Self.removed)
        let images = try ImageSource("\(cluster.folder)/data").open().read(.train, limit: Self.images)
        let importance = try finiteDifferences(TestCluster.network, images)
        let gone = removed.map { importance[$0] }.max() ?? .infinity
        let kept = importance.indices.filter { !removed.contains($0) }.map { importance[$0] }.min() ?? 0
        #expect(gone < 1.02 * kept + 1e-9, "removed up to \(gone), kept from \(kept)")
        // The scores distinguish filters; otherwise any choice would do.
        let all = importance.filter(\.isFinite).sorted()
        #expect(all[all.count - 1] > 10 * all[0])
    }
}
