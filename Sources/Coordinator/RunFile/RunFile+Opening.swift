import Foundation
import Shared

/// Making, resuming and reading run files.
extension RunFile {
    /// Files up to this size are checked from end to end when they are opened for writing.
    private static let checkedBytesMax: Int64 = 2 << 30

    /// Creates the file of a new run, which appears when complete: a crash leaves no run behind. Throws a ``Failure``
    /// if the path exists already, or cannot be written.
    public static func create(
        at path: String, _ description: RunDescription, checkpoint: [UInt8], taylor: [Double]? = nil
    ) throws -> RunFile {
        guard checkpoint.count <= checkpointBytesMax else {
            throw Failure(.badInput, "the checkpoint is larger than \(checkpointBytesMax >> 20) MB")
        }
        do {
            try WholeFile.make(at: path, ifThere: exists(path)) { try write(description, checkpoint, taylor, to: $0) }
        } catch let error as DatabaseError {
            throw Failure(error.failure.kind, "cannot make the run file \(path): \(error.message)")
        }
        return try own(path) { database in
            try setUp(database)
            return description
        }
    }

    private static func exists(_ path: String) -> Failure {
        Failure(
            .badInput,
            "\(path) exists already; resume it ('\(resumeCommand(path))') or name another file")
    }

    /// Writes a run file without evaluations.
    private static func write(
        _ description: RunDescription, _ checkpoint: [UInt8], _ taylor: [Double]?, to path: String
    ) throws {
        let json = try JSONEncoder().encode(description)
        let database = try Database(path: path, access: .create)
        try database.execute(
            "BEGIN; PRAGMA application_id = \(applicationID); PRAGMA user_version = \(schemaVersion); \(schema)",
            "set up")
        let insert = try database.prepare("INSERT INTO meta VALUES(?, ?)", "write the description to")
        let text = String(decoding: json, as: UTF8.self)
        try insert.run(.text("description"), .text(text))
        try writeDigest(of: text, to: database)
        try insert.run(.text("checkpoint"), .blob(checkpoint))
        if let taylor { try insert.run(.text("taylor"), .blob(RunFile.bytes(of: taylor))) }
        try database.execute("COMMIT", "write the description to")
    }

    /// If the log or its shared map is not available, it says so now rather than after the first hour.
    private static func setUp(_ database: borrowing Database) throws {
        do {
            guard try database.text("PRAGMA journal_mode = WAL", "set up") == "wal" else {
                throw FileLock.unsupported(database.path)
            }
            try database.execute("PRAGMA synchronous = NORMAL; BEGIN IMMEDIATE; COMMIT", "set up")
        } catch let error as DatabaseError where FileLock.isUnsupported(error) {
            throw FileLock.unsupported(database.path)
        }
    }

    /// Opens the file of a run to resume it. Throws a ``Failure`` if it is not one, is damaged, was made by a newer
    /// program, cannot be written, or is in use by another coordinator.
    public static func resume(at path: String) throws -> RunFile {
        try own(path) { database in
            try check(database)
            try setUp(database)
            let size = try database.number(
                "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size", "read")
            if size ?? 0 <= checkedBytesMax, let fault = try database.text("PRAGMA quick_check(1)", "check"),
                fault != "ok"
            {
                throw Failure(.badInput, "the run file \(path) is damaged (\(fault)); restore it from a copy")
            }
            try upgrade(database)
            let damaged = try discardDamaged(database)
            if damaged > 0 {
                Log.shared.line(
                    "\(damaged) evaluations in \(path) were damaged and will be redone; check the disk and the "
                        + "memory of this host")
            }
            return try readDescription(database)
        }
    }

    /// Takes a file for this coordinator; `prepare` makes it ready for writing.
    private static func own(
        _ path: String, _ prepare: (borrowing Database) throws -> RunDescription
    ) throws -> RunFile {
        let lock = open(path, O_RDWR | O_CLOEXEC)
        guard lock >= 0 else {
            let reason = String(cString: strerror(errno))
            throw Failure(.badInput, "cannot open the run file \(path) for writing: \(reason)")
        }
        do {
            try take(lock, path: path)
            return try translated {
                let database = try Database(path: path, access: .write)
                let description = try prepare(database)
                return try RunFile(path: path, description: description, database: database, lock: lock)
            }
        } catch {
            close(lock)
            throw error
        }
    }

    /// Opens the file of a run for reading, even while a coordinator has it. Throws a ``Failure`` if it is not one.
    public static func read(at path: String) throws -> RunFile {
        guard access(path, R_OK) == 0 else {
            throw Failure(.badInput, "cannot read the run file \(path): \(String(cString: strerror(errno)))")
        }
        return try translated {
            let database = try Database(path: path, access: .read)
            try check(database)
            return try RunFile(path: path, description: readDescription(database), database: database, lock: -1)
        }
    }

    /// Takes the lock that marks a coordinator's file.
    private static func take(_ descriptor: Int32, path: String) throws {
        switch FileLock.take(descriptor, byte: lockedByte) {
        case nil: break
        case .taken:
            throw Failure(
                .unavailable, "another coordinator is working on the run file \(path); only one can at a time")
        case .unsupported: throw FileLock.unsupported(path)
        }
    }

    /// Checks that a file is a run file of a known version.
    private static func check(_ database: borrowing Database) throws {
        let path = database.path
        guard try database.number("PRAGMA application_id", "read") == applicationID else {
            throw Failure(.badInput, "\(path) is not a run file")
        }
        let version = try database.number("PRAGMA user_version", "read") ?? 0
        guard version <= schemaVersion else {
            throw Failure(
                .badInput,
                "\(path) was made by a newer release (its format is \(version), this program knows \(schemaVersion))")
        }
    }

    private static func readDescription(_ database: borrowing Database) throws -> RunDescription {
        guard let json = try database.text("SELECT value FROM meta WHERE key = 'description'", "read") else {
            throw Failure(.badInput, "the run file \(database.path) has no description; it is damaged")
        }
        try check(description: json, in: database)
        do {
            return try JSONDecoder().decode(RunDescription.self, from: Data(json.utf8))
        } catch {
            throw Failure(.badInput, "the description in the run file \(database.path) cannot be read; it is damaged")
        }
    }
}
