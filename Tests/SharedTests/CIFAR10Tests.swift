import Foundation
import TestSupport
import Testing

@testable import Shared

/// A folder that is removed at the end of a test.
private final class Folder {
    let url = FileManager.default.temporaryDirectory.appendingPathComponent("winnow-test-\(UUID().uuidString)")
    var path: String { url.path }

    init() throws { try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true) }
    deinit { try? FileManager.default.removeItem(at: url) }

    func write(_ bytes: [UInt8], _ name: String) throws {
        let file = url.appendingPathComponent(name)
        try FileManager.default.createDirectory(
            at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(bytes).write(to: file)
    }
}

/// Records with labels that count up from `first`, whose pixels are all the label.
private func batch(_ count: Int, first: Int = 0) -> [UInt8] {
    (0..<count).flatMap { [UInt8](repeating: UInt8((first + $0) % 10), count: CIFAR10.recordBytes) }
}

private func complaint(_ body: () throws -> Void) -> String {
    do {
        try body()
        return "no error"
    } catch {
        return "\(error)"
    }
}

@Test func batchesAreReadInTheFolderOrInTheOfficialFolderBelowIt() throws {
    for place in ["", "cifar-10-batches-bin/"] {
        let folder = try Folder()
        try folder.write(batch(3), place + "test_batch.bin")
        try folder.write(batch(2), place + "data_batch_1.bin")
        try folder.write(batch(2, first: 5), place + "data_batch_2.bin")
        let test = try ImageSource(folder.path).open().read(.test, limit: nil)
        #expect((0..<test.count).map(test.label) == [0, 1, 2])
        let train = try ImageSource(folder.path).open().read(.train, limit: nil)
        #expect((0..<train.count).map(train.label) == [0, 1, 5, 6])
        #expect(CIFAR10.records(of: train) == batch(2) + batch(2, first: 5))
        #expect(try ImageSource(folder.path).open().count(.train) == 4)
    }
}

@Test func onlyTheRecordsThatAreWantedAreRead() throws {
    let folder = try Folder()
    var first = batch(3)
    first[2 * CIFAR10.recordBytes] = 200
    try folder.write(first, "data_batch_1.bin")
    let images = try ImageSource(folder.path).open().read(.train, limit: 2)
    #expect(CIFAR10.records(of: images) == batch(2))
    #expect(try ImageSource(folder.path).open().read(.train, limit: 0).count == 0)
}

@Test func aLimitReachesIntoTheNextBatch() throws {
    let folder = try Folder()
    try folder.write(batch(2), "data_batch_1.bin")
    try folder.write(batch(2, first: 5), "data_batch_2.bin")
    let images = try ImageSource(folder.path).open().read(.train, limit: 3)
    #expect((0..<images.count).map(images.label) == [0, 1, 5])
}

@Test func badImagesAreNamedInTheError() throws {
    let folder = try Folder()
    func read(_ limit: Int? = nil, _ split: EvaluationSettings.Split = .test) -> String {
        complaint { _ = try ImageSource(folder.path).open().read(split, limit: limit) }
    }
    #expect(read().contains("\(folder.path) holds no images in a known format"))
    #expect(read().contains("deploy/get-cifar10"))

    try folder.write([UInt8](repeating: 0, count: 5000), "test_batch.bin")
    #expect(read().contains("test_batch.bin: 5000 bytes are not a whole number of records"))
    try folder.write([], "test_batch.bin")
    #expect(read().contains("0 bytes"))

    var bytes = batch(4)
    bytes[3 * CIFAR10.recordBytes] = 10
    try folder.write(bytes, "test_batch.bin")
    #expect(read().contains("test_batch.bin: record 3 (byte 9219) has label 10"))
    #expect(read(3) == "no error")

    try folder.write(batch(4), "test_batch.bin")
    #expect(read(5).contains("has only 4 test images, not 5"))

    try folder.write(batch(1), "data_batch_1.bin")
    try folder.write(batch(1), "data_batch_3.bin")
    #expect(read(nil, .train).contains("data_batch_2.bin is missing"))
}

@Test(.enabled(if: TestData.isPresent, "no WINNOW_TEST_DATA"))
func theOfficialImagesAreRead() throws {
    let folder = try TestData.cifar10()
    let test = try ImageSource(folder).open().read(.test, limit: nil)
    #expect(test.count == 10_000)
    var counts = [Int](repeating: 0, count: CIFAR10.layout.classes)
    for image in 0..<test.count { counts[test.label(image)] += 1 }
    #expect(counts == [Int](repeating: 1000, count: CIFAR10.layout.classes))
    #expect(try ImageSource(folder).open().count(.train) == 50_000)
    let train = try ImageSource(folder).open().read(.train, limit: 10_001)
    #expect(train.count == 10_001)
}
