import TestSupport
import Testing

@testable import Shared

private typealias Tensors = [(name: String, tensor: Tensor)]

private func complaint(_ change: (inout Tensors) -> Void) -> String {
    checkpointComplaint(SmallNetwork.changed(change))
}

private func zeros(_ shape: Int...) -> Tensor {
    Tensor(shape: shape, values: [Float](repeating: 0, count: shape.reduce(1, *)))
}

extension Tensors {
    fileprivate func index(_ name: String) -> Int { firstIndex { $0.name == name } ?? 0 }
}

@Test func everyMissingTensorIsNamed() {
    // A layer may have a bias or not.
    for (index, entry) in SmallNetwork.tensors.enumerated() where entry.name != "linear.bias" {
        let message = complaint { $0.remove(at: index) }
        #expect(message.contains("tensor \(entry.name) is missing"), "\(message)")
    }
    #expect(complaint { $0.removeAll { $0.name.hasPrefix("layer1.") } }.contains("unknown architecture"))
    #expect(complaint { $0.removeAll { $0.name.hasPrefix("layer2.") } }.contains("[10, 6], but [10, 4] is expected"))
}

@Test func everyTensorOfAWrongShapeIsNamed() {
    for (index, entry) in SmallNetwork.tensors.enumerated() {
        let message = complaint { $0[index].tensor = zeros(3, 2, 1) }
        #expect(message.contains("tensor \(entry.name) has shape [3, 2, 1], but"), "\(message)")
    }
    let message = complaint { $0[$0.index("bn1.weight")].tensor = zeros(7) }
    #expect(message.contains("tensor bn1.weight has shape [7], but [4] is expected"))
}

@Test func anExtraTensorIsNamed() {
    #expect(complaint { $0.append(("layer2.0.bn3.bias", zeros(6))) }.contains("layer2.0.bn3.bias with shape [6]"))
    #expect(complaint { $0.append(("head.weight", zeros(2, 2))) }.contains("tensor head.weight with shape [2, 2]"))
}

@Test func parametersThatAreNoNumbersAreNamed() {
    func with(_ value: Float, _ name: String) -> String {
        complaint { tensors in
            let old = tensors[tensors.index(name)].tensor
            var values = old.values
            values[2] = value
            tensors[tensors.index(name)].tensor = Tensor(shape: old.shape, values: values)
        }
    }
    #expect(with(.nan, "layer2.0.conv2.weight").contains("tensor layer2.0.conv2.weight: its value 2 is nan"))
    #expect(with(-.infinity, "linear.bias").contains("tensor linear.bias: its value 2 is -inf"))
    #expect(with(-0.5, "bn1.running_var").contains("bn1.running_var: its value 2 is -0.5, and a variance"))
    #expect(with(-0.5, "bn1.running_mean") == "no error")
}

@Test func otherArchitecturesAreRefusedByName() {
    let mobile: Tensors = [("stem.weight", zeros(8, 3, 3, 3)), ("head.weight", zeros(10, 8))]
    #expect(
        complaint { $0 = mobile }.contains("an unknown architecture, which starts with stem.weight [8, 3, 3, 3]"))
    #expect(complaint { $0 = mobile }.contains("torch.onnx.export"))
    #expect(
        complaint { $0.append(("layer2.0.downsample.0.weight", zeros(6, 4, 3, 1))) }
            .contains("layer2.0.downsample.0.weight has shape [6, 4, 3, 1], but"))
    #expect(
        complaint { $0.append(("layer1.0.conv3.weight", zeros(6, 4, 1, 1))) }
            .contains("layer1.0.conv1.weight has shape [5, 4, 3, 3], but [filters, channels, 1, 1] is needed"))
    #expect(
        complaint { tensors in
            tensors[tensors.index("linear.weight")].tensor = zeros(100, 6)
        }.contains("linear.bias has shape [10], but [100] is expected"))
    #expect(complaint { $0 = [("a", zeros(3))] }.contains("an unknown architecture"))
    #expect(complaint { $0 = [] }.contains("holds no tensors"))
}

@Test func aTensorThatIsThereTwiceIsRefused() {
    #expect(complaint { $0.append(("module.linear.bias", zeros(10))) }.contains("linear.bias occurs twice"))
}

// MARK: Fully connected networks

private func chain(_ names: [String], _ sizes: [Int]) -> Tensors {
    names.enumerated().flatMap { index, name -> Tensors in
        [("\(name).weight", zeros(sizes[index + 1], sizes[index])), ("\(name).bias", zeros(sizes[index + 1]))]
    }
}

@Test(arguments: [
    ["fc1", "fc2", "fc10"], ["0", "2", "4"], ["layers.0", "layers.3", "layers.10"], ["in", "mid", "out"],
])
func chainsOfLinearLayersKeepTheirNames(names: [String]) throws {
    let tensors = chain(names, [3072, 12, 12, 10])
    let network = try Checkpoint.network(bytes: Safetensors.write(tensors, metadata: []), name: "mlp")
    let expected = zip(names, [(3072, 12), (12, 12), (12, 10)]).map { name, size in
        LinearChain.Linear(name: name, input: size.0, output: size.1)
    }
    #expect(network.graph == .fullyConnected(LinearChain(layers: expected)))
    #expect(try Checkpoint.network(bytes: Checkpoint.safetensors(of: network), name: "again") == network)
}

@Test func aChainInAnotherOrderIsPutInTheOrderOfItsNames() throws {
    let sorted = chain(["fc1", "fc2", "fc10"], [3072, 8, 9, 10])
    let shuffled = [4, 5, 0, 1, 2, 3].map { sorted[$0] }
    let network = try Checkpoint.network(bytes: Safetensors.write(shuffled, metadata: []), name: "mlp")
    #expect(FilterSpace(network.graph).layers.map(\.name) == ["fc1", "fc2"])
}

@Test func aChainMayTakeAnyImagesAndTellAnyClassesApart() throws {
    let bytes = Safetensors.write(chain(["fc1", "fc2"], [784, 300, 26]), metadata: [])
    let graph = try Checkpoint.network(bytes: bytes, name: "mlp").graph
    #expect(graph.imageShape == Shape(channels: 1, height: 28, width: 28) && graph.classes == 26)
}

@Test func aBrokenChainIsNamed() {
    func message(_ sizes: [Int], _ change: (inout Tensors) -> Void = { _ in }) -> String {
        var tensors = chain(["a", "b"], sizes)
        change(&tensors)
        return checkpointComplaint(Safetensors.write(tensors, metadata: []))
    }
    #expect(message([100, 5, 10]) == "no error")
    #expect(message([3072, 5, 10]) { $0[2].tensor = zeros(10, 6) }.contains("[10, 6], but [10, 5] would"))
    #expect(message([3072, 5, 10]) { $0.remove(at: 1) } == "no error")
    #expect(message([3072, 5, 10]) { $0.append(("norm.weight", zeros(5))) }.contains("norm.weight with shape [5]"))
}

// MARK: Shortcuts

@Test func shortcutsOfPrunedStreamsComeBack() throws {
    var generator = SeededGenerator(seed: 9)
    let original = Graph.residual(widths: [6, 8, 12], blocksPerStage: 2, imageSize: 32)
    let space = FilterSpace(original)
    for _ in 0..<20 {
        let mask = Mask.random(count: space.count, rate: 0.4, using: &generator)
        let smaller = try Removal(original, removing: mask).graph
        let network = Network.random(smaller, using: &generator)
        #expect(try Checkpoint.network(bytes: Checkpoint.safetensors(of: network), name: "pruned") == network)
    }
}

@Test(
    arguments: [
        (#"{"layer2.0":[null,0,1,2,3,null]}"#, "no error"),
        (#"{"layer2.0":[3,null,null,2,3,null]}"#, "no error"),
        (#"{"layer2.0":[null,0,1,2,3]}"#, "does not map the 6 channels of layer2.0 to its 4 inputs"),
        (#"{"layer2.0":[null,0,1,2,4,null]}"#, "does not map"),
        (#"{"layer2.0":[null,0,-1,2,3,null]}"#, "does not map"),
        (#"{"layer3.0":[0]}"#, "names block layer3.0, which does not exist"),
        (#"{"layer2.0":["0"]}"#, "winnow.shortcuts in its metadata is damaged"),
        ("x", "is damaged"),
        ("", "is damaged"),
    ])
func shortcutsInTheMetadataAreChecked(text: String, expected: String) {
    let message = checkpointComplaint(SmallNetwork.changed(metadata: [("winnow.shortcuts", text)]) { _ in })
    #expect(message.contains(expected), "\(message)")
}

@Test func channelsThatNoPublishedShortcutMapsNeedAMap() {
    let bytes = SmallNetwork.changed { tensors in
        for index in tensors.indices where tensors[index].name.hasPrefix("layer1.0.") {
            let old = tensors[index].tensor.shape
            if tensors[index].name.hasSuffix("conv2.weight") { tensors[index].tensor = zeros(3, 5, 3, 3) }
            if tensors[index].name.contains("bn2"), old == [4] { tensors[index].tensor = zeros(3) }
        }
    }
    #expect(checkpointComplaint(bytes).contains("layer1.0.conv2.weight has 3 filters, the shortcut has 4 channels"))
}

// MARK: Safetensors

private func safetensors(_ header: String, data: Int = 0) -> [UInt8] {
    withUnsafeBytes(of: UInt64(header.utf8.count).littleEndian) { Array($0) } + Array(header.utf8)
        + [UInt8](repeating: 0, count: data)
}

@Test(
    arguments: [
        (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, 9, "1 bytes follow the last tensor"),
        (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, 7, "cut short: tensor a ends at byte"),
        (
            #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#, 12,
            "tensor a is at 4..<12, but the next byte is 0"
        ),
        (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,12]}}"#, 12, "shape [2] does not fill its 12 bytes"),
        (#"{"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}}"#, 8, "does not make a tensor"),
        (#"{"a":{"dtype":"F32","shape":[9223372036854775807,9],"data_offsets":[0,8]}}"#, 8, "does not make a tensor"),
        (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}"#, 8, "is at 8..<0"),
        (#"{"a":{"dtype":"F33","shape":[2],"data_offsets":[0,8]}}"#, 8, "unknown type F33"),
        (#"{"a":{"dtype":"F32","shape":[2]}}"#, 8, "dtype, shape and data_offsets are needed"),
        (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8,9]}}"#, 8, "two offsets"),
        (#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1}}"#, 8, "unknown key \"x\""),
        (#"{"a":1}"#, 8, "the header is damaged"),
        (#"{"__metadata__":{"a":1}}"#, 0, "the header is damaged"),
        (#"{"a":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}"#, 8, "an unknown architecture"),
        (#"{"#, 0, "where the text ends"),
        (#"{}"#, 0, "holds no tensors"),
    ])
func badSafetensorsAreRefused(header: String, data: Int, expected: String) {
    let message = checkpointComplaint(safetensors(header, data: data))
    #expect(message.contains(expected), "\(message)")
}

@Test func integersAreNoParameters() {
    let header = SmallNetwork.tensors.map { name, tensor in
        "\"\(name)\":{\"dtype\":\"I32\",\"shape\":\(tensor.shape),\"data_offsets\":"
    }
    var position = 0
    var text = "{"
    for (index, (_, tensor)) in SmallNetwork.tensors.enumerated() {
        let end = position + 4 * tensor.values.count
        text += (index > 0 ? "," : "") + header[index] + "[\(position),\(end)]}"
        position = end
    }
    #expect(checkpointComplaint(safetensors(text + "}", data: position)).contains("conv1.weight: holds integers"))
}
