import Foundation
import TestSupport
import Testing

@testable import Shared

/// Reads a file that must be refused, and returns the complaint.
private func complaint(_ body: (inout OnnxFile) -> Void) -> String {
    var file = OnnxFile()
    body(&file)
    let failure = #expect(throws: Failure.self) { try Onnx.network(bytes: file.bytes, name: "net.onnx") }
    #expect(failure?.kind == .badInput)
    #expect(failure?.description.hasPrefix("net.onnx: ") ?? false)
    return failure?.description ?? ""
}

@Test func aCycleIsRefusedByName() {
    let text = complaint {
        $0.add("Relu", ["b"], "a", name: "first")
        $0.add("Relu", ["a"], "b", name: "second")
        $0.add("Flatten", ["b"], "y")
    }
    #expect(text.contains("second (Relu)") || text.contains("first (Relu)"))
    #expect(text.contains("cycle"))
}

@Test func aMissingInputIsRefusedByName() {
    let text = complaint { $0.add("Relu", ["nowhere"], "y", name: "relu") }
    #expect(text.contains("relu (Relu) reads nowhere"))
}

@Test func twoOutputsAreRefusedAndTheAuxiliaryOneNamed() {
    let text = complaint {
        $0.add("Relu", ["x"], "a")
        $0.add("Relu", ["a"], "b")
        $0.outputs = ["b", "a"]
    }
    #expect(text.contains("2 outputs, b, a"))
    #expect(text.contains("a looks auxiliary"))
}

@Test func sizesOtherThanTheBatchMustBeFixed() {
    let text = complaint {
        $0.inputs = [OnnxFile.value("pixels", [nil, 3, nil, 32])]
        $0.add("Relu", ["pixels"], "y")
    }
    #expect(text.contains("pixels") && text.contains("variable"))
}

@Test func twoImagesAreRefused() {
    let text = complaint {
        $0.inputs = [OnnxFile.value("left", [nil, 3, 8, 8]), OnnxFile.value("right", [nil, 3, 8, 8])]
        $0.add("Add", ["left", "right"], "y")
    }
    #expect(text.contains("2 inputs, left, right"))
}

@Test(
    arguments: [
        ("LSTM", "recurrent"), ("If", "depends on its input"), ("Loop", "depends on its input"),
        ("Attention", "attention"), ("LayerNormalization", "batch norms"), ("QuantizeLinear", "quantised"),
        ("ConvTranspose", "classifiers"), ("NonMaxSuppression", "documentation"),
    ])
func operatorsOfOtherNetworksAreRefusedWithAdvice(type: String, advice: String) {
    let text = complaint { $0.add(type, ["x"], "y", name: "the_node") }
    #expect(text.contains("node the_node (\(type))") && text.contains(advice), "\(text)")
}

@Test func operatorsOfOtherDomainsAreRefused() {
    let text = complaint { $0.add("FusedConv", ["x"], "y", name: "fused", domain: "com.microsoft") }
    #expect(text.contains("fused (FusedConv)") && text.contains("com.microsoft"))
}

@Test(
    arguments: [
        // The flaw, and a word of the complaint.
        ("a weight for other channels", "does not fit the 2 channels"), ("a bias of another length", "its bias has 3"),
        ("raw data that are too short", "needs 36 elements"), ("dimensions that overflow", "shape ["),
        ("a product of two images", "attention"), ("a softmax in the middle", "not the last node"),
        ("a padding by reflection", "reflect"), ("a reshape that mixes images", "mixes images"),
        ("a negative variance", "variance"), ("an infinite weight", "diverge"),
        ("a quotient by the image", "depends on the image"), ("pixels out of order", "not pixels"),
        ("an output that is no vector", "one per class"), ("an old opset", "opset 6"),
        ("a constant for each pixel", "between the pixels"), ("a power alone", "only as part of GELU"),
    ])
func whatDoesNotFitIsRefusedByNode(what: String, expected: String) {
    let text = complaint { file in
        file.tensor("w", [2, 2, 3, 3])
        file.tensor("two", [2])
        file.tensor("three", [3])
        file.tensor("scalar", [], [3])
        let pads: [String: OnnxFile.Attribute] = ["pads": .integers([1, 1, 1, 1])]
        switch what {
        case "a weight for other channels":
            file.tensor("wide", [2, 3, 3, 3])
            file.add("Conv", ["x", "wide"], "y", name: "n", pads)
        case "a bias of another length": file.add("Conv", ["x", "w", "three"], "y", name: "n", pads)
        case "raw data that are too short":
            file.tensors.append(
                [2, 2, 3, 3].map { .number(1, $0) } + [.number(2, 1), .text(8, "short"), .bytes(9, [0, 0, 0, 0])])
            file.add("Conv", ["x", "short"], "y", name: "n", pads)
        case "dimensions that overflow":
            file.tensors.append(
                [1 << 40, 1 << 40, 1].map { .number(1, $0) } + [.number(2, 1), .text(8, "n"), .bytes(9, [])])
            file.add("Conv", ["x", "n"], "y", name: "n", pads)
        case "a product of two images": file.add("MatMul", ["x", "x"], "y", name: "n")
        case "a softmax in the middle":
            file.add("Flatten", ["x"], "f")
            file.add("Softmax", ["f"], "s", name: "n")
            file.add("Relu", ["s"], "y")
        case "a padding by reflection":
            file.add("Pad", ["x"], "y", name: "n", ["mode": .text("reflect"), "pads": .integers([0, 0, 1, 1])])
        case "a reshape that mixes images":
            file.integers("shape", [2], [-1, 16])
            file.add("Reshape", ["x", "shape"], "y", name: "n")
        case "a negative variance":
            file.tensor("negative", [2], [1, -1])
            file.add("BatchNormalization", ["x", "two", "two", "two", "negative"], "b", name: "n")
            file.add("GlobalMaxPool", ["b"], "y")
        case "an infinite weight":
            file.tensor("n.weight", [2, 2, 4, 4], [Float](repeating: .infinity, count: 64))
            file.add("Conv", ["x", "n.weight"], "y", name: "n")
        case "a quotient by the image": file.add("Div", ["scalar", "x"], "y", name: "n")
        case "pixels out of order":
            file.add("Transpose", ["x"], "t", ["perm": .integers([0, 1, 3, 2])])
            file.add("Conv", ["t", "w"], "y", name: "n", pads)
        case "an output that is no vector": file.add("Relu", ["x"], "y", name: "n")
        case "an old opset":
            file.opset = 6
            file.add("Relu", ["x"], "y", name: "n")
        case "a constant for each pixel":
            file.tensor("pixels", [2, 4, 4])
            file.add("Add", ["x", "pixels"], "y", name: "n")
        case "a power alone":
            file.add("Pow", ["x", "scalar"], "p", name: "n")
            file.add("GlobalMaxPool", ["p"], "y")
        default: Issue.record("\(what)")
        }
    }
    #expect(text.contains(expected), "\(what): \(text)")
    #expect(what.contains("opset") || text.contains("n"), "\(text)")
}

// MARK: Bytes

/// A file with every feature of the wire format that is read.
private let sound: [UInt8] = {
    var file = OnnxFile()
    file.tensor("conv.weight", [2, 2, 3, 3])
    file.tensor("conv.bias", [2])
    file.add("Conv", ["x", "conv.weight", "conv.bias"], "c", ["pads": .integers([1, 1, 1, 1])])
    file.integers("shape", [2], [0, -1])
    file.add("Reshape", ["c", "shape"], "y")
    return file.bytes
}()

@Test func aFileThatIsCutShortAnywhereIsRefused() throws {
    _ = try Onnx.network(bytes: sound, name: "whole")
    for length in sound.indices {
        let failure = #expect(throws: Failure.self) { try Onnx.network(bytes: Array(sound[..<length]), name: "cut") }
        #expect(failure?.kind == .badInput)
    }
}

@Test func aFileWithAnyByteChangedIsReadOrRefused() {
    var generator = SeededGenerator(seed: 5)
    for index in sound.indices {
        var bytes = sound
        bytes[index] = UInt8.random(in: 0...255, using: &generator)
        do {
            _ = try Onnx.network(bytes: bytes, name: "changed")
        } catch let failure as Failure {
            #expect(failure.kind == .badInput)
        } catch {
            Issue.record("\(error)")
        }
    }
}

@Test func millionsOfEmptyMessagesAreRefused() {
    let nodes = [UInt8](repeating: 0, count: 1 << 23).enumerated().map { $0.offset % 2 == 0 ? UInt8(0x0A) : 0 }
    let bytes = OnnxFile.bytes([.number(1, 8), .bytes(7, nodes)])
    let failure = #expect(throws: Failure.self) { try Onnx.network(bytes: bytes, name: "empty") }
    #expect(failure?.description.contains("parts") ?? false)
}

@Test func aSmallFileCannotTakeMuchMemory() {
    let text = complaint { file in
        file.integers("shape", [2], [1 << 15, 1 << 15])
        file.add("ConstantOfShape", ["shape"], "zeros", name: "zeros")
        file.add("Add", ["x", "zeros"], "y")
    }
    #expect(text.contains("more memory"))
}

@Test func otherFormatsAreNotTakenForOnnx() {
    #expect(Onnx.matches(sound))
    #expect(Onnx.matches(Array(sound.prefix(30))))
    let network = Network(
        graph: .fullyConnected(.init(layers: [.init(name: "fc", input: 1, output: 1)])),
        parameters: ["fc.weight": Tensor(shape: [1, 1], values: [1]), "fc.bias": Tensor(shape: [1], values: [1])])
    #expect(!Onnx.matches(Checkpoint.safetensors(of: network)))
    for length in [8, 264, 0x3A08, 0x3A0708] as [UInt64] {
        // A safetensors file whose header has this length.
        #expect(!Onnx.matches(OnnxFile.raw([length]) + Array("{\"a\":{}}".utf8)), "\(length)")
    }
    for other in [[0x80, 2, 0x8A, 0x0A], Array("PK\u{3}\u{4}".utf8), [], [8], [8, 8], Array("SQLite format 3".utf8)] {
        #expect(!Onnx.matches(other))
    }
}
