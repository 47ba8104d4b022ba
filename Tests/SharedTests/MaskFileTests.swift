import Foundation
import TestSupport
import Testing

@testable import Shared

private let architecture = Graph.residual(widths: [4, 6], blocksPerStage: 1)
private let space = FilterSpace(architecture)

private func read(_ text: String) throws -> [Mask] {
    try MaskFile.read(Array(text.utf8), name: "m.json", for: space)
}

private func complaint(_ text: String) -> String {
    do {
        _ = try read(text)
        return "no error"
    } catch {
        return "\(error)"
    }
}

private func filters(_ layer: String) -> Range<Int> { space.layer(named: layer)?.filters ?? 0..<0 }

@Test func masksAreReadByLayersAndFilters() throws {
    let masks = try read(
        """
        {"model": "x", "masks": [
          {"kind": "none", "rate": 0.5e1, "disabled": {}, "loss": 0.3726, "extra": {"a": [1, null, true, "\\u00e9\\n"]}},
          {"disabled": {"layer1.0.conv1": [3, 0], "conv1": []}},
          {"disabled": {"layer2.0.conv2": [0, 1, 2, 3, 4, 5]}}
        ]}
        """)
    #expect(masks.count == 3)
    #expect(masks[0].disabledCount == 0)
    let start = filters("layer1.0.conv1").lowerBound
    #expect(masks[1].disabled == [start, start + 3])
    #expect(masks[2].disabled == Array(filters("layer2.0.conv2")))
    #expect(try read(#"{"masks":[]}"#).isEmpty)
}

@Test func whatCheckpointsAddToALayersNameMayBeThere() throws {
    let masks = try read(
        #"{"masks":[{"disabled":{"module.layer1.0.conv1.weight":[1]}},{"disabled":{"layer1.0.conv1":[1]}}]}"#)
    #expect(masks[0] == masks[1] && masks[0].disabledCount == 1)
}

@Test(
    arguments: [
        (#"{"masks":[{"disabled":{}},{"disabled":{"layer9.0.conv1":[0]}}]}"#, "mask 1: the network has no layer"),
        (#"{"masks":[{"disabled":{"linear":[0]}}]}"#, "no layer \"linear\""),
        (#"{"masks":[{"disabled":{"conv1":[4]}}]}"#, "mask 0: layer conv1 has no filter 4, only 0 to 3"),
        (#"{"masks":[{"disabled":{"conv1":[-1]}}]}"#, "has no filter -1"),
        (#"{"masks":[{"disabled":{"conv1":[1.5]}}]}"#, "whole number"),
        (#"{"masks":[{"disabled":{"conv1":[1e0]}}]}"#, "whole number"),
        (#"{"masks":[{"disabled":{"conv1":[99999999999999999999]}}]}"#, "whole number"),
        (#"{"masks":[{"disabled":{"conv1":[01]}}]}"#, "a comma or ]"),
        (#"{"masks":[{"disabled":{"conv1":["1"]}}]}"#, "whole number"),
        (#"{"masks":[{"disabled":{"conv1":1}}]}"#, "an array"),
        (#"{"masks":[{"disabled":{"conv1":[2,2]}}]}"#, "filter 2 of layer conv1 occurs twice"),
        (#"{"masks":[{"disabled":{"conv1":[2],"conv1":[1]}}]}"#, "\"conv1\" occurs twice"),
        (#"{"masks":[{"loss":1}]}"#, "mask 0: a mask without \"disabled\""),
        (#"{"masks":[{"disabled":{}}"#, "at byte 25, where the text ends"),
        (#"{"masks":[]} x"#, "text after the end"),
        (#"{"mask":[]}"#, "no member \"masks\""),
        ("[]", "an object"),
        ("", "an object {…} is needed, at byte 0"),
        (#"{"masks":[],"a":"\ud800"}"#, "surrogate"),
        (#"{"masks":[],"a":nul}"#, "null is needed"),
        (#"{"masks":[],"a":+1}"#, "a number is needed"),
        (#"{"masks":[],"a":1e999}"#, "a number is needed"),
        ("{\"masks\":[],\"a\":" + String(repeating: "[", count: 10_000), "nested deeper than 64"),
    ])
func badMaskFilesSayWhatIsWrong(text: String, expected: String) {
    let message = complaint(text)
    #expect(message.hasPrefix("m.json: "))
    #expect(message.contains(expected), "\(message)")
}

@Test func textThatIsNotUTF8IsRefused() {
    let bytes = Array(#"{"masks":[],"a":""#.utf8) + [0xFF, 0xFE] + Array(#""}"#.utf8)
    #expect(throws: Failure.self) { try MaskFile.read(bytes, name: "m", for: space) }
}

@Test func masksThatAreWrittenAreReadAgain() throws {
    var generator = SeededGenerator(seed: 3)
    let masks =
        [Mask(count: space.count), Mask(count: space.count, disabled: 0..<space.count)]
        + (0..<50).map { _ in Mask.random(count: space.count, rate: 0.3, using: &generator) }
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("winnow-\(UUID()).json").path
    defer { try? FileManager.default.removeItem(atPath: path) }
    try MaskFile.write(masks, for: space, to: path)
    #expect(try MaskFile.read(at: path, for: space) == masks)
}

@Test func masksAreWrittenWithTheImagesOfTheirGroups() throws {
    let masks = (0..<5).map { Mask(count: space.count, disabled: [$0]) }
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("winnow-\(UUID()).json").path
    defer { try? FileManager.default.removeItem(atPath: path) }
    let rotation = ImageRotation(pool: 30, masks: 2, seed: 1)
    let settings = EvaluationSettings(
        split: .train, images: 3, batchNorm: .corrected(images: 4), rotation: rotation)
    try MaskFile.write(masks, for: space, to: path, images: (settings: settings, rotation: rotation, count: 5))
    let contents = try MaskFile.contents(at: path, for: space)
    #expect(contents.masks == masks)
    #expect(contents.listOfMask == [0, 0, 1, 1, 2])
    #expect(contents.images == (0..<3).map { settings.images(ofGroup: $0) })
    #expect(try MaskFile.read(at: path, for: space) == masks)
}

@Test(arguments: [
    (#"{"image_lists":[[1,2],[3]],"masks":[]}"#, "one length"), (#"{"image_lists":[[]],"masks":[]}"#, "not be empty"),
    (#"{"image_lists":[[-1]],"masks":[]}"#, "no image -1"),
    (#"{"image_lists":[[1]],"masks":[{"disabled":{},"images":1}]}"#, "no list of images 1"),
    (#"{"masks":[{"disabled":{},"images":0}]}"#, "no list of images 0"),
    (#"{"image_lists":[[1]],"masks":[{"disabled":{},"images":0},{"disabled":{}}]}"#, "to all or none"),
])
func imagesThatDoNotFitAreRefused(text: String, words: String) {
    let failure = #expect(throws: Failure.self) {
        try MaskFile.contents(Array(text.utf8), name: "m.json", for: space)
    }
    #expect(failure?.kind == .badInput && "\(failure.map(String.init(describing:)) ?? "")".contains(words))
}

@Test func lossesAreWrittenInOrder() throws {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("winnow-\(UUID()).json").path
    defer { try? FileManager.default.removeItem(atPath: path) }
    let evaluations = [
        Evaluation(lossSum: 1 << 33, correct: 7, images: 10),
        Evaluation(lossSum: 12_345_678_901, correct: 3, images: 10),
    ]
    try LossFile.write(evaluations, model: "a \"b\"\n\u{1}", images: 10, to: path)
    struct Written: Decodable {
        struct Result: Decodable {
            var loss: Double
            var correct: Int
        }
        var model: String
        var images: Int
        var results: [Result]
    }
    let written = try JSONDecoder().decode(Written.self, from: Data(contentsOf: URL(fileURLWithPath: path)))
    #expect(written.model == "a \"b\"\n\u{1}")
    #expect(written.images == 10)
    #expect(written.results.map(\.loss) == evaluations.map(\.loss))
    #expect(written.results.map(\.correct) == [7, 3])
}

@Test func anUnfinishedFileIsNotThere() throws {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("winnow-\(UUID())").path
    do {
        let file = try OutputFile(path)
        try file.write(String(repeating: "x", count: 200_000))
    }
    #expect(!InputFile.isReadable(path))
    let url = URL(fileURLWithPath: path)
    let left = try FileManager.default.contentsOfDirectory(atPath: url.deletingLastPathComponent().path)
    #expect(!left.contains { $0.hasPrefix(url.lastPathComponent) })

    #expect(throws: Failure.self) { try OutputFile("/nowhere/at/all") }
    let full = try OutputFile("/dev/full")
    try full.write("x")
    #expect {
        try full.finish()
    } throws: { ($0 as? Failure)?.kind == .unavailable && "\($0)".contains("No space left") }
}

@Test(.enabled(if: TestData.isPresent, "no WINNOW_TEST_DATA"))
func theGoldenFilesMasksAreRead() throws {
    let network = try Checkpoint.network(at: TestData.checkpoint("resnet20"))
    let masks = try MaskFile.read(at: TestData.golden("resnet20"), for: FilterSpace(network.graph))
    #expect(masks.count > 10)
    #expect(masks[0].disabledCount == 0)
    #expect(masks[1].disabledCount > 0)
}
