import Foundation
import FuzzTargets
import Testing

@testable import Shared

private let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("Fuzz")

/// The kept inputs of a target: those that reach all the code that fuzzing reached, and those that once failed.
private func inputs(_ target: FuzzTarget) -> [String] {
    ["corpus", "regressions"].flatMap { kind -> [String] in
        let path = folder.appendingPathComponent("\(kind)/\(target.rawValue)").path
        let names = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
        return names.sorted().map { "\(path)/\($0)" }
    }
}

/// A failure stops the process; the last name in the output is the input.
@Test(arguments: FuzzTarget.allCases) func everyKeptInputIsReadOrRefused(target: FuzzTarget) throws {
    let paths = inputs(target)
    #expect(!paths.isEmpty, "no corpus for \(target)")
    for path in paths { target.run(try InputFile.bytes(at: path, bytesMax: 1 << 24)) }
}

@Test func everyCorpusHasAnInputThatIsRead() throws {
    for (target, name) in [(FuzzTarget.pickle, "small.th"), (.zip, "small.pt"), (.safetensors, "shortcut")] {
        let path = folder.appendingPathComponent("corpus/\(target.rawValue)/\(name)").path
        let network = try Checkpoint.network(at: path)
        #expect(network.graph.cost().parameters > 50)
    }
}

@Test(arguments: ["folded", "kept", "dynamo", "dynamo-kept", "adaptive"])
func theCorpusHasModelsOfBothExporters(name: String) throws {
    let path = folder.appendingPathComponent("corpus/onnx/\(name).onnx").path
    #expect(try Onnx.network(at: path).graph.nodes.count > 5)
}

@Test func theCorpusHoldsEveryMessage() throws {
    var understood = 0
    for path in inputs(.wire) {
        let bytes = Array(try Data(contentsOf: URL(fileURLWithPath: path)))
        let frame = Wire.frame(type: bytes.first ?? 0, fields: bytes.dropFirst())
        if (try? WorkerMessage(decoding: frame)) != nil { understood += 1 }
        if (try? CoordinatorMessage(decoding: frame)) != nil { understood += 1 }
    }
    #expect(understood >= 18)
}
