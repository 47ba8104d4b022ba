import Foundation
import TestSupport
import Testing

@testable import Shared

// Foundation has another.
private typealias Operation = Shared.Operation

private func read(_ file: OnnxFile) throws -> OnnxNetwork { try Onnx.network(bytes: file.bytes, name: "net.onnx") }

/// The operations of a graph after its image.
private func operations(_ network: OnnxNetwork) -> [Operation] { network.graph.nodes.dropFirst().map(\.operation) }

/// A file whose input goes through some nodes, then through the mean of each channel and a linear layer `fc`.
private func classifier(_ shape: [Int] = [2, 4, 4], batch: Int? = nil, _ body: (inout OnnxFile) -> Void) -> OnnxFile {
    var file = OnnxFile(shape, batch: batch)
    body(&file)
    file.add("GlobalAveragePool", ["h"], "mean")
    file.add("Flatten", ["mean"], "flat")
    file.tensor("fc.weight", [3, 2])
    file.tensor("fc.bias", [3])
    file.add("Gemm", ["flat", "fc.weight", "fc.bias"], "y", ["transB": .integer(1)])
    return file
}

// MARK: What is read

@Test func aConvolutionalNetworkIsReadWithItsNames() throws {
    var file = classifier { file in
        file.tensor("conv1.weight", [2, 2, 3, 3])
        file.add(
            "Conv", ["x", "conv1.weight"], "c", ["pads": .integers([1, 1, 1, 1]), "strides": .integers([2, 2])])
        for name in ["weight", "bias", "running_mean", "running_var"] { file.tensor("bn1.\(name)", [2]) }
        file.add(
            "BatchNormalization", ["c", "bn1.weight", "bn1.bias", "bn1.running_mean", "bn1.running_var"], "b",
            ["epsilon": .float(1e-3)])
        file.add("Relu", ["b"], "h", name: "/layer/layer.0/Relu")
    }
    file.opset = 13
    let network = try read(file)
    #expect(network.graph.imageShape == Shape(channels: 2, height: 4, width: 4))
    #expect(network.graph.nodes.map(\.name) == ["image", "conv1", "bn1", "layer.0", "globalaveragepool", "fc"])
    #expect(
        operations(network) == [
            .convolution(.init(filters: 2, kernel: .init(3), stride: .init(2), padding: .init(1))),
            .batchNorm(epsilon: 0.001), .activation(.relu), .adaptiveAverage(.one), .linear(.init(outputs: 3)),
        ])
    #expect(Set(network.parameters.keys) == Set(network.graph.parameters.map(\.name)))
    #expect(network.parameters["conv1.weight"]?.values.first == 0.1)
    #expect(network.notes.isEmpty)
}

@Test(arguments: [nil, 1, 3]) func theBatchMayHaveAnySize(batch: Int?) throws {
    var file = OnnxFile([2, 4, 4], batch: batch)
    file.add("Shape", ["x"], "shape")
    file.integers("zero", [1], [0])
    file.integers("open", [1], [-1])
    file.add("Gather", ["shape", "zero"], "n")
    file.add("Concat", ["n", "open"], "target", ["axis": .integer(0)])
    file.add("Reshape", ["x", "target"], "flat")
    file.tensor("w", [32, 5])
    file.add("MatMul", ["flat", "w"], "product", name: "/fc/MatMul")
    file.tensor("b", [5])
    file.add("Add", ["b", "product"], "y")
    let network = try read(file)
    #expect(operations(network) == [.flatten, .linear(.init(outputs: 5))])
    #expect(network.graph.nodes[2].name == "fc")
    // The matrix is [inputs, outputs] in the file.
    #expect(network.parameters["fc.weight"]?.shape == [5, 32])
    #expect(network.parameters["fc.weight"]?.values[1] == Float(6) * 0.1)
    #expect(network.parameters["fc.bias"]?.values == [0.1, 0.2, 0.3, 0.4, 0.5].map { Float($0) })
}

@Test func aGemmsFactorsGoIntoItsWeights() throws {
    var file = OnnxFile([2])
    file.tensor("w", [2, 3], [1, 2, 3, 4, 5, 6])
    file.tensor("b", [1, 3], [1, 2, 3])
    file.add("Gemm", ["x", "w", "b"], "y", ["alpha": .float(2), "beta": .float(0.5)])
    let network = try read(file)
    #expect(network.graph.imageShape == Shape(vector: 2))
    #expect(network.parameters["w.weight"]?.values == [2, 8, 4, 10, 6, 12])
    #expect(network.parameters["w.bias"]?.values == [0.5, 1, 1.5])
}

@Test func tensorsAreReadInEveryForm() throws {
    let values: [Float] = [1, -2, 0.5, 1024, 0, -0.25]
    let shape: [OnnxFile.Field] = [.number(1, 3), .number(1, 2), .text(8, "fc.weight")]
    let packed = { (number: Int, bytes: [UInt8]) in OnnxFile.Field.bytes(number, bytes) }
    let forms: [[OnnxFile.Field]] = [
        [.number(2, 1), packed(9, OnnxFile.raw(values.map(\.bitPattern)))],
        [.number(2, 1), packed(4, OnnxFile.raw(values.map(\.bitPattern)))],
        [.number(2, 1)] + values.map { .float(4, $0) },
        [.number(2, 11), packed(9, OnnxFile.raw(values.map { Double($0).bitPattern }))],
        [.number(2, 11), packed(10, OnnxFile.raw(values.map { Double($0).bitPattern }))],
        [.number(2, 10), packed(9, OnnxFile.raw(values.map { Float16($0).bitPattern }))],
        [.number(2, 10)] + values.map { .number(5, Int(Float16($0).bitPattern)) },
        [.number(2, 16), packed(9, OnnxFile.raw(values.map { UInt16($0.bitPattern >> 16) }))],
        [.number(2, 16)] + values.map { .number(5, Int($0.bitPattern >> 16)) },
    ]
    for form in forms {
        var file = OnnxFile([2])
        file.tensors = [shape + form]
        file.add("Gemm", ["x", "fc.weight"], "y", ["transB": .integer(1)])
        #expect(try read(file).parameters["fc.weight"] == Tensor(shape: [3, 2], values: values), "\(form)")
    }
}

@Test func constantsAreCalculatedOnReading() throws {
    // A bias of zeros as written by PyTorch's newer exporter, and a weight through casts and transposes.
    let network = try read(
        classifier { file in
            file.tensor("conv.weight", [2, 2, 1, 1])
            file.add("Shape", ["conv.weight"], "filters", ["start": .integer(0), "end": .integer(1)])
            file.add("Constant", [], "zero", ["value": .tensor(OnnxFile.floats("", [], [0]))])
            file.add("CastLike", ["zero", "x"], "cast")
            file.add("Expand", ["cast", "filters"], "bias")
            file.add("Identity", ["conv.weight"], "same")
            file.add("Dropout", ["x", "zero"], ["dropped", "mask"])
            file.add("Conv", ["dropped", "same", "bias"], "h")
        })
    #expect(network.graph.nodes[1].name == "conv")
    #expect(operations(network)[0] == .convolution(.init(filters: 2, kernel: .one)))
}

@Test func activationsThatExportersTakeApartArePutTogether() throws {
    func one(_ body: (inout OnnxFile) -> Void) throws -> [Operation] {
        let network = try read(
            classifier { file in
                for (name, value) in [
                    ("one", 1), ("three", 3), ("six", 6), ("sixth", 1 / 6.0), ("half", 0.5), ("root", 2.0.squareRoot()),
                    ("cubic", 0.044715), ("outer", (2 / Double.pi).squareRoot()), ("zero", 0),
                ] { file.tensor(name, [], [Float(value)]) }
                body(&file)
            })
        return Array(operations(network).dropLast(2))
    }
    let expected: [(Operation.Activation, (inout OnnxFile) -> Void)] = [
        (
            .silu,
            {
                $0.add("Sigmoid", ["x"], "s"); $0.add("Mul", ["s", "x"], "h")
            }
        ),
        (
            .hardSwish,
            {
                $0.add("HardSigmoid", ["x"], "s", ["alpha": .float(1 / 6.0)])
                $0.add("Mul", ["x", "s"], "h")
            }
        ),
        (
            .hardSwish,
            {
                $0.add("Add", ["x", "three"], "a"); $0.add("Clip", ["a", "zero", "six"], "c")
                $0.add("Mul", ["x", "c"], "m"); $0.add("Div", ["m", "six"], "h")
            }
        ),
        (
            .hardSigmoid(slope: 1 / 6.0, offset: 0.5),
            {
                $0.add("Add", ["x", "three"], "a"); $0.add("Clip", ["a", "zero", "six"], "c")
                $0.add("Div", ["c", "six"], "h")
            }
        ),
        (
            .gelu,
            {
                $0.add("Div", ["x", "root"], "d"); $0.add("Erf", ["d"], "e"); $0.add("Add", ["e", "one"], "a")
                $0.add("Mul", ["x", "a"], "m"); $0.add("Mul", ["m", "half"], "h")
            }
        ),
        (
            .gelu,
            {
                $0.add("Mul", ["x", "half"], "k"); $0.add("Div", ["x", "root"], "d"); $0.add("Erf", ["d"], "e")
                $0.add("Add", ["one", "e"], "a"); $0.add("Mul", ["k", "a"], "h")
            }
        ),
        (
            .geluTanh,
            {
                $0.add("Pow", ["x", "three"], "p"); $0.add("Mul", ["p", "cubic"], "q")
                $0.add("Add", ["x", "q"], "r"); $0.add("Mul", ["r", "outer"], "s"); $0.add("Tanh", ["s"], "t")
                $0.add("Add", ["t", "one"], "u"); $0.add("Mul", ["x", "half"], "k"); $0.add("Mul", ["k", "u"], "h")
            }
        ),
        (
            .clip(lowest: 0, highest: 6),
            {
                $0.add("Relu", ["x"], "r"); $0.add("Min", ["r", "six"], "h")
            }
        ),
        (.clip(lowest: 0, highest: 6), { $0.add("Clip", ["x"], "h", ["min": .float(0), "max": .float(6)]) }),
        (.relu, { $0.add("Max", ["zero", "x"], "h") }),
    ]
    for (activation, body) in expected {
        let found = try one(body)
        #expect(found.count == 1, "\(activation)")
        guard case .activation(let read) = found[0] else {
            Issue.record("\(found)")
            continue
        }
        if case .hardSigmoid(let slope, let offset) = read, case .hardSigmoid = activation {
            #expect(abs(slope - 1 / 6.0) < 1e-6 && abs(offset - 0.5) < 1e-6)
        } else {
            #expect(read == activation)
        }
    }
}

@Test func aProductWithAnotherGateStaysOne() throws {
    let network = try read(
        classifier { file in
            file.tensor("two", [], [2])
            file.add("Mul", ["x", "two"], "doubled")
            file.add("Sigmoid", ["doubled"], "gate")
            file.add("Mul", ["x", "gate"], "h")
        })
    #expect(operations(network).contains(.multiply))
    #expect(operations(network).contains(.affine))
}

@Test func constantsForEachChannelAreAnAffineMap() throws {
    let network = try read(
        classifier { file in
            file.tensor("means", [1, 2, 1, 1], [0.5, 1])
            file.tensor("deviation", [2, 1, 1], [2, 4])
            file.add("Sub", ["x", "means"], "s")
            file.add("Div", ["s", "deviation"], "h", name: "/normalise/Div")
        })
    #expect(operations(network)[0] == .affine)
    let name = network.graph.nodes[1].name
    #expect(network.parameters["\(name).weight"]?.values == [0.5, 0.25])
    #expect(network.parameters["\(name).bias"]?.values == [-0.25, -0.25])
}

@Test func aChannelShuffleSelectsChannels() throws {
    var file = OnnxFile([6, 2, 2])
    file.integers("grouped", [5], [0, 2, 3, 2, 2])
    file.integers("joined", [4], [-1, 6, 2, 2])
    file.add("Reshape", ["x", "grouped"], "g")
    file.add("Transpose", ["g"], "t", ["perm": .integers([0, 2, 1, 3, 4])])
    file.add("Reshape", ["t", "joined"], "j")
    file.add("ReduceMean", ["j"], "y", ["axes": .integers([2, 3]), "keepdims": .integer(0)])
    #expect(operations(try read(file)) == [.select([0, 3, 1, 4, 2, 5]), .adaptiveAverage(.one)])
}

@Test func pixelsInAnotherOrderAreSelectedFromTheVector() throws {
    var file = OnnxFile([2, 1, 2])
    file.add("Transpose", ["x"], "t", ["perm": .integers([0, 2, 3, 1])])
    file.add("Flatten", ["t"], "y")
    #expect(operations(try read(file)) == [.flatten, .select([0, 2, 1, 3])])
}

@Test func parameterFreeShortcutsCropAndPad() throws {
    let network = try read(
        classifier([1, 4, 4]) { file in
            file.integers("starts", [2], [0, 0])
            file.integers("ends", [2], [Int.max, 1 << 40])
            file.integers("axes", [2], [2, -1])
            file.integers("steps", [2], [2, 2])
            file.add("Slice", ["x", "starts", "ends", "axes", "steps"], "s")
            file.integers("pads", [8], [0, 1, 0, 1, 0, 0, 0, 0])
            file.add("Pad", ["s", "pads"], "h")
        })
    #expect(
        operations(network).prefix(3) == [
            .crop(.init(step: .init(2), size: .init(2))), .select([nil, 0]),
            .pad(.init(top: 0, left: 1, bottom: 0, right: 0)),
        ])
}

@Test func splitsAndConcatenationsOfZerosSelectChannels() throws {
    let network = try read(
        classifier([3, 4, 4]) { file in
            file.integers("sizes", [2], [1, 2])
            file.add("Split", ["x", "sizes"], ["a", "b"], ["axis": .integer(1)])
            file.tensor("zeros", [1, 1, 4, 4], [Float](repeating: 0, count: 16))
            file.add("Concat", ["a", "zeros"], "h", ["axis": .integer(1)])
        })
    #expect(operations(network)[0] == .select([0, nil]))
}

@Test func automaticPaddingIsCalculated() throws {
    func padding(_ mode: String, kernel: Int, stride: Int) throws -> Operation.Insets? {
        let network = try read(
            classifier([2, 5, 4]) { file in
                file.tensor("conv.weight", [2, 2, kernel, kernel])
                file.add(
                    "Conv", ["x", "conv.weight"], "h",
                    ["auto_pad": .text(mode), "strides": .integers([stride, stride])])
            })
        guard case .convolution(let convolution) = operations(network)[0] else { return nil }
        return convolution.padding
    }
    #expect(try padding("VALID", kernel: 3, stride: 1) == Operation.Insets.none)
    #expect(try padding("SAME_UPPER", kernel: 3, stride: 2) == .init(top: 1, left: 0, bottom: 1, right: 1))
    #expect(try padding("SAME_LOWER", kernel: 2, stride: 1) == .init(top: 1, left: 1, bottom: 0, right: 0))
}

@Test func functionsOfTheModelAreReplacedByTheirNodes() throws {
    var file = classifier { file in
        file.add("leaky", ["x"], "h", name: "act", domain: "tests", ["slope": .float(0.3)])
    }
    let node =
        OnnxFile.node("LeakyRelu", ["in"], ["out"], name: "leaky")
        + [.message(5, [.text(1, "alpha"), .text(21, "slope"), .number(20, 1)])]
    file.functions = [[.text(1, "leaky"), .text(4, "in"), .text(5, "out"), .message(7, node), .text(10, "tests")]]
    #expect(operations(try read(file))[0] == .activation(.leakyReLU(slope: 0.3)))
}

@Test func aFinalLogSoftmaxIsLeftOutWithANote() throws {
    var file = OnnxFile([4])
    file.add("LogSoftmax", ["x"], "y", ["axis": .integer(-1)])
    file.nodes.insert(OnnxFile.node("Relu", ["x"], ["r"], name: "relu"), at: 0)
    file.nodes[1] = OnnxFile.node("LogSoftmax", ["r"], ["y"], name: "end", ["axis": .integer(1)])
    let network = try read(file)
    #expect(operations(network) == [.activation(.relu)])
    #expect(network.notes.count == 1 && network.notes[0].contains("log-softmax"))
}

@Test func foldedBatchNormsAreToldWithTheWayOut() throws {
    let network = try read(
        classifier { file in
            file.tensor("onnx::Conv_31", [2, 2, 1, 1])
            file.tensor("onnx::Conv_32", [2])
            file.add(
                "Conv", ["x", "onnx::Conv_31", "onnx::Conv_32"], "h", name: "/layer1/layer1.0/conv1/Conv")
        })
    #expect(network.graph.nodes[1].name == "layer1.0.conv1")
    #expect(network.notes.count == 1 && network.notes[0].contains("TrainingMode.PRESERVE"))
}

@Test func nodesNeedNotBeSortedNorNeeded() throws {
    var file = classifier { file in
        file.add("Relu", ["s"], "h")
        file.add("Sigmoid", ["x"], "s")
    }
    file.add("LSTM", ["x"], "nothing reads this")
    #expect(operations(try read(file)).prefix(2) == [.activation(.sigmoid), .activation(.relu)])
}

// MARK: External data

@Suite struct OnnxExternalDataTests {
    private let folder: URL
    private let file: String

    init() throws {
        folder = FileManager.default.temporaryDirectory.appendingPathComponent("winnow-onnx-\(UUID().uuidString)")
        try FileManager.default.createDirectory(
            at: folder.appendingPathComponent("model"), withIntermediateDirectories: true)
        file = folder.appendingPathComponent("model/net.onnx").path
        let values: [Float] = [9, 1, 2, 3, 4, 5, 6]
        try Data(OnnxFile.raw(values.map(\.bitPattern)))
            .write(to: folder.appendingPathComponent("model/net.onnx.data"))
    }

    private func read(_ entries: [String: String]) throws -> OnnxNetwork {
        defer { try? FileManager.default.removeItem(at: folder) }
        return try Onnx.network(at: try written(entries))
    }

    private func written(_ entries: [String: String]) throws -> String {
        var onnx = OnnxFile([2])
        onnx.tensors = [
            [.number(1, 3), .number(1, 2), .number(2, 1), .text(8, "fc.weight")]
                + entries.sorted { $0.key < $1.key }.map { .message(13, [.text(1, $0.key), .text(2, $0.value)]) }
                + [.number(14, 1)]
        ]
        onnx.add("Gemm", ["x", "fc.weight"], "y", ["transB": .integer(1)])
        try Data(onnx.bytes).write(to: URL(fileURLWithPath: file))
        return file
    }

    @Test func tensorsBesideTheModelAreRead() throws {
        let network = try read(["location": "net.onnx.data", "offset": "4", "length": "24"])
        #expect(network.parameters["fc.weight"]?.values == [1, 2, 3, 4, 5, 6])
    }

    @Test(
        arguments: [
            (["location": "../secret"], "outside"), (["location": "/etc/passwd"], "outside"),
            (["location": "a/../../secret"], "outside"), (["location": "missing"], "missing"), ([:], "in which"),
            (["location": "net.onnx.data", "offset": "8"], "beyond"),
            (["location": "net.onnx.data", "offset": "9223372036854775807"], "beyond"),
            (["location": "net.onnx.data", "offset": "-4"], "not a number"),
            (["location": "net.onnx.data", "length": "28"], "needs 24 bytes"),
        ])
    func placesThatDoNotFitAreRefused(entries: [String: String], complaint: String) throws {
        let failure = #expect(throws: Failure.self) { try read(entries) }
        #expect(failure?.kind == .badInput)
        #expect(failure?.description.contains(complaint) ?? false, "\(failure?.description ?? "")")
        #expect(failure?.description.contains("fc.weight") ?? false)
    }

    @Test func aLinkThatLeavesTheFolderIsRefused() throws {
        try Data(repeating: 0, count: 24).write(to: folder.appendingPathComponent("secret"))
        try FileManager.default.createSymbolicLink(
            atPath: folder.appendingPathComponent("model/link").path, withDestinationPath: "../secret")
        let failure = #expect(throws: Failure.self) { try read(["location": "link"]) }
        #expect(failure?.description.contains("a link that leaves") ?? false)
    }

    @Test func bytesAloneCannotReachOtherFiles() throws {
        defer { try? FileManager.default.removeItem(at: folder) }
        let bytes = try InputFile.bytes(at: try written(["location": "net.onnx.data"]), bytesMax: 1 << 20)
        let failure = #expect(throws: Failure.self) { try Onnx.network(bytes: bytes, name: "bytes") }
        #expect(failure?.description.contains("give the path") ?? false)
    }
}
