import Foundation
import TestSupport
import Testing

@testable import Shared

@Test(.enabled(if: TestData.isPresent, "no WINNOW_TEST_DATA"), arguments: [("resnet20", 20), ("resnet56", 56)])
func theTrainedNetworksAreRead(name: String, depth: Int) throws {
    let network = try Checkpoint.network(at: TestData.checkpoint(name))
    let blocksPerStage = (depth - 2) / 6
    #expect(network.graph.summary == "ResNet-\(depth)")
    func shape(_ name: String) throws -> Shape { try #require(network.graph.node(named: name)).shape }
    #expect(try shape("conv1") == Shape(channels: 16, height: 32, width: 32))
    for (stage, width) in zip(1...3, [16, 32, 64]) {
        for block in 0..<blocksPerStage {
            let size = 32 >> (stage - 1)
            #expect(try shape("layer\(stage).\(block).conv2") == Shape(channels: width, height: size, width: size))
        }
    }
    // The shortcut into the third stage: 32 channels in the middle of 64.
    guard case .select(let channels)? = network.graph.node(named: "layer3.0.add.select")?.operation else {
        Issue.record("no padded shortcut")
        return
    }
    let padding = [Int?](repeating: nil, count: 16)
    #expect(channels == padding + (0..<32).map { $0 } + padding)
    let again = try Checkpoint.network(bytes: Checkpoint.safetensors(of: network), name: "again")
    #expect(again == network)
}

@Test(
    arguments: [
        "bare.pt", "whole.pt", "whole.th", "parameters.pt", "protocol-3.th", "protocol-4.th", "protocol-5.th",
        "half.pt",
        "bfloat16.pt", "double.pt", "views.pt", "views.th",
    ])
func everyFormatOfPyTorchIsRead(name: String) throws {
    let network = try Checkpoint.network(bytes: SmallNetwork.checkpoint(name), name: name)
    #expect(network.graph == SmallNetwork.architecture)
    for (name, tensor) in SmallNetwork.tensors { #expect(network[name] == tensor, "\(name)") }
}

@Test func theOrderOfSafetensorsDoesNotMatter() throws {
    let bytes = SmallNetwork.changed { $0.reverse() }
    let network = try Checkpoint.network(bytes: bytes, name: "reversed")
    #expect(network.graph == SmallNetwork.network.graph && network.parameters == SmallNetwork.network.parameters)
}

@Test(arguments: ["bare.pt", "whole.pt", "whole.th", "views.th"])
func aCheckpointCutShortAnywhereIsRefused(name: String) throws {
    let bytes = try SmallNetwork.checkpoint(name)
    for length in stride(from: 0, to: bytes.count, by: 5) {
        let message = checkpointComplaint(Array(bytes.prefix(length)))
        #expect(message.hasPrefix("FILE: "), "cut at \(length): \(message)")
    }
}

@Test func aCheckpointCutShortSaysWhere() throws {
    let legacy = try SmallNetwork.checkpoint("whole.th")
    #expect(checkpointComplaint(Array(legacy.prefix(300))).contains("cut short: the description of its tensors needs"))
    let message = checkpointComplaint(legacy.dropLast())
    #expect(message.contains("cut short: storage"))
    #expect(message.contains("from byte"))

    let zip = try SmallNetwork.checkpoint("whole.pt")
    #expect(checkpointComplaint(zip.dropLast(100)).contains("cut short or damaged: its directory"))

    let safetensors = Checkpoint.safetensors(of: SmallNetwork.network)
    #expect(
        checkpointComplaint(safetensors.dropLast())
            .contains("cut short: tensor linear.bias ends at byte \(safetensors.count)"))
    #expect(checkpointComplaint(Array(safetensors.prefix(100))).contains("cut short: the header needs"))
    #expect(checkpointComplaint([]).contains("empty"))
    #expect(checkpointComplaint([0x80]).contains("neither a PyTorch checkpoint nor a safetensors or ONNX file"))
}

@Test func aDamagedZipEntryFailsItsChecksum() throws {
    var bytes = try SmallNetwork.checkpoint("bare.pt")
    guard let place = firstStorage(bytes) else {
        Issue.record("no storage found")
        return
    }
    bytes[place] ^= 0x40
    #expect(checkpointComplaint(bytes).contains("checksum"))
}

/// The offset of the first convolution's values in a zip checkpoint, by its first four floats.
private func firstStorage(_ bytes: [UInt8]) -> Int? {
    let pattern = SmallNetwork.tensors[0].tensor.values.prefix(4).flatMap { value in
        withUnsafeBytes(of: value.bitPattern.littleEndian) { Array($0) }
    }
    return (0..<bytes.count - pattern.count).first { bytes[$0..<$0 + pattern.count].elementsEqual(pattern) }
}

@Test func damagedCheckpointsNeverCrash() throws {
    var generator = SeededGenerator(seed: 5)
    for name in ["bare.pt", "whole.th", "views.th"] {
        let bytes = try SmallNetwork.checkpoint(name)
        for _ in 0..<300 {
            var damaged = bytes
            for _ in 0..<Int.random(in: 1...8, using: &generator) {
                damaged[Int.random(in: 0..<min(bytes.count, 6000), using: &generator)] = .random(
                    in: 0...255, using: &generator)
            }
            let message = checkpointComplaint(damaged)
            #expect(message == "no error" || message.hasPrefix("FILE: "))
        }
    }
}

@Test func aMissingFileIsNamed() {
    #expect {
        try Checkpoint.network(at: "/nowhere/net.pt")
    } throws: { ($0 as? Failure)?.kind == .badInput && "\($0)".contains("/nowhere/net.pt: No such file") }
    #expect {
        try Checkpoint.network(at: "/tmp")
    } throws: { "\($0)".contains("/tmp: not a regular file") }
}

@Test func aFileOfAnotherKindIsCalledByItsName() {
    let files: [([UInt8], String)] = [
        (Array("<!DOCTYPE html><html>".utf8), "web page"), (Array("\n <html>".utf8), "web page"),
        (Array("{\"error\": \"not found\"}".utf8), "JSON"),
        (Array("version https://git-lfs.github.com/spec/v1\noid".utf8), "git lfs pull"),
        ([0x1F, 0x8B, 8, 0], "gunzip"), ([UInt8](repeating: 97, count: 257) + Array("ustar".utf8), "tar -xf"),
        (Array("SQLite format 3\0".utf8), "--run"), ([1, 2, 3], "cut short"),
    ]
    for (bytes, words) in files {
        #expect(throws: Failure.self) { try Checkpoint.network(bytes: bytes, name: "net.pt") }
        do { _ = try Checkpoint.network(bytes: bytes, name: "net.pt") } catch {
            #expect("\(error)".hasPrefix("net.pt: ") && "\(error)".contains(words), "\(error)")
        }
    }
}
