import Foundation
import Shared
import TestSupport

@testable import Coordinator

extension FuzzTarget {
    /// A whole file, or a sound one with other values in some of its entries; then the reading of `--resume`.
    func trainingFile(_ bytes: [UInt8]) throws {
        let file = SoundTrainingFile.file
        if bytes.starts(with: Array("SQLite".utf8)) {
            file.write(bytes)
        } else {
            file.write(SoundTrainingFile.bytes)
            try RunFile.translated { try Self.damage(file.path, as: bytes) }
        }
        let (_, progress, _) = try TrainingFile.open(at: file.path)
        precondition(progress.stepsDone >= 0 && progress.stepsPerEpoch > 0, "a training stands somewhere")
        _ = progress.next
        _ = progress.network
    }

    private static let entries = [
        "format", "settings", "image count", "training images", "teacher", "network", "velocities", "best trained",
        "best statistics", "position", "history",
    ]

    private static func damage(_ path: String, as bytes: [UInt8]) throws {
        let database = try Database(path: path, access: .write)
        try database.execute("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF", "damage")
        var input = FuzzInput(bytes)
        // Without a digest, as in files of older releases, every value is read.
        if input.below(8) > 0 { try database.execute("DELETE FROM entry WHERE name = 'digest'", "damage") }
        for _ in 0..<8 where !input.isEmpty {
            let name = entries[input.below(entries.count)]
            try database.prepare("UPDATE entry SET value = ? WHERE name = ?", "damage")
                .run(.blob(input.block()), .text(name))
        }
    }
}

/// A small training in the middle of an epoch.
private enum SoundTrainingFile {
    static let file = ScratchFile("training")

    static let bytes: [UInt8] = {
        do { return try make() } catch { preconditionFailure("\(error)") }
    }()

    private static func make() throws -> [UInt8] {
        file.remove()
        var generator = SeededGenerator(seed: 1)
        let network = Network.random(.residual(widths: [2], blocksPerStage: 1), using: &generator)
        var settings = TrainingSettings()
        settings.epochs = 3
        settings.batchSize = 4
        settings.shards = 2
        settings.validationImages = 2
        var progress = try TrainingProgress(network, settings: settings, imageCount: 20)
        progress.position.step = 1
        let origin = TrainingFile.Origin(trainingImages: Digest(sha256Of: []), teacher: nil)
        _ = try TrainingFile.create(at: file.path, progress, origin)
        return try file.bytes()
    }
}
