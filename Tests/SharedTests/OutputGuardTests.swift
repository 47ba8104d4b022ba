import Foundation
import Testing

@testable import Shared

/// Files that commands refuse to overwrite.
final class OutputGuardTests {
    private let folder = FileManager.default.temporaryDirectory.appending(path: "winnow-guard-\(UUID())").path

    init() throws { try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true) }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    private func file(_ name: String, _ bytes: [UInt8]) throws -> String {
        try OutputFile.write(bytes, to: "\(folder)/\(name)")
        return "\(folder)/\(name)"
    }

    private func complaint(_ guardian: OutputGuard, _ path: String) -> String? {
        do {
            try guardian.check(path)
            return nil
        } catch { return "\(error)" }
    }

    @Test func anInputIsNeverWrittenOver() throws {
        let input = try file("masks.json", Array("{}".utf8))
        try FileManager.default.createSymbolicLink(atPath: "\(folder)/link", withDestinationPath: input)
        for path in [input, "\(folder)/link", "\(folder)/./masks.json"] {
            #expect(
                complaint(OutputGuard(reading: [nil, input], isForced: true), path)?.contains("is an input") == true)
        }
    }

    @Test func aNetworkOrARunIsReplacedOnlyByForce() throws {
        let safetensors: [UInt8] = [2, 0, 0, 0, 0, 0, 0, 0] + Array("{}".utf8)
        let files = [
            try file("zip.pt", [0x50, 0x4B, 3, 4]), try file("pickle.pt", [0x80, 2, 0x8A]),
            try file("net.safetensors", safetensors), try file("net.onnx", [0x08, 7, 0x12]),
            try file("run.winnow", Array("SQLite format 3\0".utf8)),
        ]
        for path in files {
            #expect(complaint(OutputGuard(reading: []), path)?.contains("--force") == true, "\(path)")
            #expect(complaint(OutputGuard(reading: [], isForced: true), path) == nil)
        }
        // A command may overwrite its own output.
        for (name, text) in [
            ("a.json", "{\"masks\":[]}"), ("a.csv", "rank,layer"), ("a.html", "<!DOCTYPE"), ("empty", ""),
        ] {
            #expect(complaint(OutputGuard(reading: []), try file(name, Array(text.utf8))) == nil)
        }
    }

    @Test func aPlaceThatCannotBeWrittenIsNoticedAtOnce() throws {
        let guardian = OutputGuard(reading: [])
        #expect(complaint(guardian, "\(folder)/missing/out")?.contains("does not exist") == true)
        #expect(complaint(guardian, folder)?.contains("is a folder") == true)
        #expect(complaint(guardian, "/dev/null") == nil)
        let blocked = try file("blocked", [1])
        #expect(throws: Failure.self) { try OutputGuard.prepareFolder("\(blocked)/report") }
        try OutputGuard.prepareFolder("\(folder)/a/b")
        #expect(complaint(guardian, "\(folder)/a/b/out") == nil)
    }
}
