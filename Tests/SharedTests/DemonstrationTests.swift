import Foundation
import TestSupport
import Testing

@testable import Demonstration
@testable import Shared

@Test func theImagesAreTheSameBytesEverywhere() {
    let images = DemonstrationImages(seed: 1)
    var hash = SHA256()
    for index in 0..<100 {
        images.record(.train, index).withUnsafeBytes { hash.update($0) }
        images.record(.test, index).withUnsafeBytes { hash.update($0) }
    }
    #expect("\(hash.finished())" == "81b5d17e96a35ae5467972f5ef80913eff7d980b736404fcea3b52e9522b8014")
}

@Test func everySeedSplitAndNumberMakesAnotherImage() {
    let records = [
        DemonstrationImages(seed: 1).record(.train, 0), DemonstrationImages(seed: 2).record(.train, 0),
        DemonstrationImages(seed: 1).record(.test, 0), DemonstrationImages(seed: 1).record(.train, 10),
    ]
    #expect(Set(records).count == 4)
    #expect(records.allSatisfy { $0.count == CIFAR10.recordBytes && $0[0] == 0 })
}

@Test func theWrittenFolderIsReadLikeCIFAR10() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("winnow-\(UUID())").path
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let arguments = ["images", "--output", folder, "--train", "10030", "--test", "25", "--seed", "7"]
    guard case .command(let command) = try demonstrationProgram.parse(arguments) else {
        Issue.record("no command")
        return
    }
    try command.run()
    let train = try ImageSource(folder).open().read(.train, limit: nil)
    #expect(train.count == 10_030)
    #expect(
        CIFAR10.records(of: train.subset(10_029..<10_030)) == DemonstrationImages(seed: 7).record(.train, 10_029))
    let test = try ImageSource(folder).open().read(.test, limit: nil)
    #expect((0..<25).map(test.label) == (0..<25).map { $0 % 10 })
}

@Test func theCommittedNetworkIsRightOnMostOfTheImages() throws {
    let demo = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("demo/resnet.safetensors").path
    #expect(try InputFile.size(of: demo) <= 1_500_000)
    let network = try Checkpoint.network(at: demo)
    #expect(network.graph.summary == "ResNet-14")

    let images = DemonstrationImages(seed: 1)
    let records = (0..<50).map { images.record(.test, $0) }
    let normalisation = Normalisation.standard
    let outputs = ReferenceForward(network).outputs(
        records.map { record in
            record.dropFirst().enumerated().map { index, pixel in
                let channel = index / CIFAR10.layout.shape.pixels
                return (Double(pixel) / 255 - Double(normalisation.mean[channel]))
                    / Double(normalisation.deviation[channel])
            }
        })
    let correct = zip(outputs, records).count { output, record in
        output.firstIndex(of: output.max() ?? 0) == Int(record[0])
    }
    #expect(correct >= 43)
}
