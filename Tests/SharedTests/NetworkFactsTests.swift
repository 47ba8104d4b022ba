import Foundation
import TestSupport
import Testing

@testable import Shared

/// The user's hints on a checkpoint, and the facts that stay with a network.
@Suite struct NetworkFactsTests {
    private static let normalisation = Normalisation(mean: [0.1, 0.25, 0.5], deviation: [1, 0.2, 0.3])

    @Test func aNormalisationIsWrittenAndReadWithItsNetwork() throws {
        var network = SmallNetwork.network
        network.facts = NetworkFacts(normalisation: Self.normalisation, assumptions: "ReLU")
        let read = try Checkpoint.network(bytes: Checkpoint.safetensors(of: network), name: "net")
        #expect(read == network)
        // It stays when filters go.
        var mask = Mask(count: FilterSpace(network.graph).count)
        mask[0] = true
        #expect(try network.removing(mask).facts == network.facts)
    }

    @Test(arguments: [("0.5", "0"), ("0.5", "0.5 0.5"), ("", ""), ("nan", "1"), ("0.5 x", "1 1"), ("0.5", "-1")])
    func metadataThatAreNoNormalisationAreRefused(mean: String, deviation: String) {
        #expect(throws: Failure.self) {
            try NetworkFacts(metadata: ["input_mean": mean, "input_standard_deviation": deviation])
        }
    }

    @Test func whatIsSaidComesBeforeTheNetworksNormalisationAndThatBeforeTheUsualOne() throws {
        var network = SmallNetwork.network
        #expect(try NormalisationOptions().normalisation(for: network) == .standard)
        network.facts.normalisation = Self.normalisation
        #expect(try NormalisationOptions().normalisation(for: network) == Self.normalisation)
        let options = NormalisationOptions()
        options.mean = ChannelValues([0, 0, 0])
        let chosen = try options.normalisation(for: network)
        #expect(chosen == Normalisation(mean: [0, 0, 0], deviation: Self.normalisation.deviation))
    }

    @Test func aMeanOfPixelsInBytesIsRefusedWithTheHint() {
        let options = NormalisationOptions()
        options.mean = ChannelValues([127.5, 0, 255])
        #expect {
            try options.validate()
        } throws: { "\($0)".contains("--mean 0.5,0.0,1.0") && ($0 as? Failure)?.kind == .usage }
    }

    @Test func whatAFileSaysCannotBeSaidOtherwise() {
        let bytes = Checkpoint.safetensors(of: SmallNetwork.network)
        for (hints, option) in [
            (CheckpointHints(activation: .silu), "--activation"), (CheckpointHints(shortcut: .pooled), "--shortcut"),
            (CheckpointHints(epsilon: 1e-3), "--epsilon"), (CheckpointHints(layerOrder: ["a"]), "--layer-order"),
        ] {
            #expect {
                try Checkpoint.network(bytes: bytes, name: "net", hints: hints)
            } throws: { "\($0)".contains("leave out \(option)") && ($0 as? Failure)?.kind == .usage }
        }
    }

    @Test func whatIsAssumedIsSaidAndKept() throws {
        let bytes = SmallNetwork.changed { _ in }
        var notes: [String] = []
        let network = try Checkpoint.network(bytes: bytes, name: "net", note: { notes.append($0) })
        let assumptions = "ReLU, shortcuts padded on both sides, epsilon 1e-05"
        #expect(network.facts.assumptions == assumptions)
        #expect(notes.count == 1 && notes[0].contains("assumed: \(assumptions).") && notes[0].contains("ONNX"))
        let hints = CheckpointHints(activation: .leakyReLU(slope: 0.2), shortcut: .pooledAtEnd, epsilon: 0.001)
        let other = try Checkpoint.network(bytes: bytes, name: "net", hints: hints, note: { _ in })
        #expect(
            other.facts.assumptions
                == "leaky ReLU of slope 0.2, shortcuts pooled, and padded at the end, epsilon 0.001")
    }

    @Test func aLayerOrderNamesEveryLayerOnce() {
        let tensors: [(name: String, tensor: Tensor)] = ["a", "b", "c"].map { name in
            ("\(name).weight", Tensor(shape: [4, 4], values: [Float](repeating: 1, count: 16)))
        }
        let bytes = Safetensors.write(tensors, metadata: [])
        for order in [["a", "b"], ["a", "b", "b"], ["a", "b", "d"], ["a", "b", "c", "c"]] {
            #expect {
                try Checkpoint.network(bytes: bytes, name: "net", hints: CheckpointHints(layerOrder: order))
            } throws: { "\($0)".contains("must name each of a, b, c once") }
        }
    }

    @Test func activationsHaveNamesAndNumbers() {
        #expect(Operation.Activation(named: "leaky-relu") == .leakyReLU(slope: 0.01))
        #expect(Operation.Activation(named: "leaky-relu:0.25") == .leakyReLU(slope: 0.25))
        #expect(Operation.Activation(named: "elu:2") == .elu(alpha: 2))
        for name in Operation.Activation.names { #expect(Operation.Activation(named: name) != nil) }
        for name in ["", "relu:1", "leaky-relu:", "elu:x", "elu:inf", "swish"] {
            #expect(Operation.Activation(named: name) == nil)
        }
    }
}
