import Foundation
import Shared

/// How a run file detects changed bits: on a disk, in memory, or in transit to another host.
///
/// SQLite detects damage to a file's structure, not to its values. So the description and the checkpoint have digests,
/// and every evaluation, on which a ranking is based, has a checksum. Damaged data is never used: damaged evaluations
/// are lost, and ``resume(at:)`` has them evaluated again.
extension RunFile {
    /// Upgrades the tables of an older format.
    static func upgrade(_ database: borrowing Database) throws {
        let version = try database.number("PRAGMA user_version", "read") ?? 0
        try database.execute("BEGIN IMMEDIATE", "write to")
        if version < 2 { try database.execute(occurrenceTable, "write to") }
        if version < 3 {
            for column in ["evaluation ADD COLUMN checksum INTEGER", "worker ADD COLUMN key TEXT"]
                + ["worker ADD COLUMN address TEXT"]
            {
                try database.execute("ALTER TABLE \(column)", "write to")
            }
            try seal(database)
        }
        // The pragma writes nothing if the version stays; this does.
        try database.execute("PRAGMA user_version = \(schemaVersion); COMMIT", "write to")
    }

    /// Adds checksums and a digest to the data of an older release.
    private static func seal(_ database: borrowing Database) throws {
        let rows = try database.prepare("SELECT \(sealedColumns) FROM evaluation", "read")
        let update = try database.prepare("UPDATE evaluation SET checksum = ? WHERE mask = ?", "write to")
        while try rows.step() { try update.run(.number(checksum(ofRow: rows)), .integer(rows.integer(0))) }
        if let description = try database.text("SELECT value FROM meta WHERE key = 'description'", "read") {
            try writeDigest(of: description, to: database)
        }
    }

    static func writeDigest(of description: String, to database: borrowing Database) throws {
        try database.prepare("INSERT OR REPLACE INTO meta VALUES('description digest', ?)", "write to")
            .run(.text(Digest(sha256Of: Array(description.utf8)).description))
    }

    /// Checks the description's text. Throws a `.badInput` ``Failure``. Files of older formats have no digest.
    static func check(description: String, in database: borrowing Database) throws {
        guard let digest = try database.text("SELECT value FROM meta WHERE key = 'description digest'", "read"),
            digest != Digest(sha256Of: Array(description.utf8)).description
        else { return }
        throw Failure(
            .badInput,
            "the run file \(database.path) is damaged: its description has changed; restore it from a copy")
    }

    /// Checks the checkpoint's bytes. Throws a `.badInput` ``Failure``.
    func check(checkpoint: [UInt8]) throws {
        guard Digest(sha256Of: checkpoint) != description.network.digest else { return }
        throw Failure(
            .badInput,
            "the run file \(path) is damaged: it does not hold the network that was ranked; restore it from a "
                + "copy, or rank \(description.network.path) in a new run")
    }

    /// Deletes damaged evaluations, so they are redone, and returns how many. Throws a ``Failure``.
    static func discardDamaged(_ database: borrowing Database) throws -> Int {
        var damaged: [Int64] = []
        let rows = try database.prepare("SELECT \(sealedColumns), checksum FROM evaluation", "read")
        while try rows.step() {
            if !isWhole(rows, checksum: 7) { damaged.append(rows.integer(0)) }
        }
        let delete = try database.prepare("DELETE FROM evaluation WHERE mask = ?", "correct")
        for mask in damaged { try delete.run(.integer(mask)) }
        return damaged.count
    }

    /// Whether the row of ``sealedColumns`` is as it was written.
    static func isWhole(_ row: borrowing Statement, checksum column: Int32) -> Bool {
        !row.isNull(column) && row.integer(column) == Int64(checksum(ofRow: row))
    }

    /// The columns of an evaluation that its checksum covers.
    static let sealedColumns = "mask, loss_sum, correct, images, worker, recorded_ms, compute_us"

    private static func checksum(ofRow row: borrowing Statement) -> UInt32 {
        checksum(of: (0..<7).map { row.integer($0) })
    }

    /// The CRC-32 of numbers as 64-bit little-endian words.
    static func checksum(of numbers: [Int64]) -> UInt32 {
        numbers.map(\.littleEndian).withUnsafeBytes { Checksum.of($0) }
    }

    /// Whether the file is no longer at its original path, so further records would be lost with it.
    var wasMoved: Bool { database.wasMoved }
}
