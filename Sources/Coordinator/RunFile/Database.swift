import CSQLite
import Foundation
import Shared

/// An SQLite error: what was being done to which file, and why it failed.
struct DatabaseError: Error, CustomStringConvertible {
    let operation: String
    let path: String
    /// SQLite's primary result code.
    let code: Int32
    let message: String

    var description: String { "cannot \(operation) \(path): \(message)" }

    /// The error as a user should see it.
    var failure: Failure {
        switch code {
        case SQLITE_FULL:
            Failure(
                .unavailable,
                "no space is left for \(path); recorded evaluations are kept: make space, then resume with "
                    + "'\(RunFile.resumeCommand(path))'")
        case SQLITE_READONLY, SQLITE_PERM, SQLITE_AUTH:
            Failure(.badInput, "cannot write to \(path): \(message); a run needs a writable file")
        case SQLITE_CANTOPEN:
            Failure(.badInput, "cannot open \(path); check that it exists and that its folder is writable")
        case SQLITE_NOTADB: Failure(.badInput, "\(path) is not a run file")
        case SQLITE_CORRUPT:
            Failure(.badInput, "the run file \(path) is damaged or cut short (\(message)); restore it from a copy")
        case SQLITE_IOERR where FileSystem.networkKind(of: path) != nil: FileLock.unsupported(path)
        case SQLITE_BUSY, SQLITE_LOCKED:
            Failure(.unavailable, "another program has locked \(path): \(message)")
        default:
            Failure(
                .unavailable,
                "cannot \(operation) \(path): \(message); recorded evaluations are kept: fix this, then resume "
                    + "with '\(RunFile.resumeCommand(path))'")
        }
    }
}

/// A connection to an SQLite file.
struct Database: ~Copyable {
    /// How a file is opened.
    enum Access {
        /// Creates the file; it must not exist with content.
        case create
        /// An existing file, to write.
        case write
        /// An existing file, only to read.
        case read
    }

    /// How long a reader or writer waits for another's lock.
    private static let busyMilliseconds: Int32 = 5000

    private let handle: OpaquePointer
    let path: String

    /// Opens a file. Throws ``DatabaseError``.
    init(path: String, access: Access) throws {
        switch access {
        case .create: handle = try Self.open(path, path: path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE)
        case .write: handle = try Self.open(path, path: path, SQLITE_OPEN_READWRITE)
        case .read: handle = try Self.open(path, path: path, SQLITE_OPEN_READONLY)
        }
        self.path = path
        sqlite3_busy_timeout(handle, Self.busyMilliseconds)
    }

    /// The handle outlives its statements: SQLite frees it with the last of them.
    deinit { sqlite3_close_v2(handle) }

    private static func open(_ name: String, path: String, _ flags: Int32) throws -> OpaquePointer {
        var handle: OpaquePointer?
        let code = sqlite3_open_v2(name, &handle, flags | SQLITE_OPEN_NOMUTEX, nil)
        guard code == SQLITE_OK, let handle else {
            let message = handle.map { String(cString: sqlite3_errmsg($0)) } ?? "no memory"
            sqlite3_close_v2(handle)
            throw DatabaseError(operation: "open", path: path, code: code & 0xFF, message: message)
        }
        return handle
    }

    /// Runs statements that return nothing. Throws ``DatabaseError``.
    func execute(_ sql: String, _ operation: String) throws {
        guard sqlite3_exec(handle, sql, nil, nil, nil) == SQLITE_OK else { throw error(operation) }
    }

    /// Prepares a statement. Throws ``DatabaseError``.
    func prepare(_ sql: String, _ operation: String) throws -> Statement {
        var statement: OpaquePointer?
        guard sqlite3_prepare_v3(handle, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &statement, nil) == SQLITE_OK,
            let statement
        else { throw error(operation) }
        return Statement(handle: statement, operation: operation, path: path)
    }

    /// The first number of a query's result, or nil. Throws ``DatabaseError``.
    func number(_ sql: String, _ operation: String) throws -> Int64? {
        let statement = try prepare(sql, operation)
        return try statement.step() ? statement.integer(0) : nil
    }

    /// The first text of a query's result, or nil. Throws ``DatabaseError``.
    func text(_ sql: String, _ operation: String) throws -> String? {
        let statement = try prepare(sql, operation)
        return try statement.step() ? statement.text(0) : nil
    }

    /// Rows that the last statement changed.
    var changes: Int { Int(sqlite3_changes(handle)) }

    /// Whether a transaction is open; SQLite ends one by itself on some errors.
    var isInTransaction: Bool { sqlite3_get_autocommit(handle) == 0 }

    /// Whether the file was renamed or deleted since it was opened.
    var wasMoved: Bool {
        var moved: Int32 = 0
        return sqlite3_file_control(handle, "main", SQLITE_FCNTL_HAS_MOVED, &moved) == SQLITE_OK && moved != 0
    }

    private func error(_ operation: String) -> DatabaseError {
        DatabaseError(
            operation: operation, path: path, code: sqlite3_errcode(handle) & 0xFF,
            message: String(cString: sqlite3_errmsg(handle)))
    }
}

/// A prepared statement: bind, step through its rows, reset.
struct Statement: ~Copyable {
    private let handle: OpaquePointer
    private let operation: String
    private let path: String

    fileprivate init(handle: OpaquePointer, operation: String, path: String) {
        self.handle = handle
        self.operation = operation
        self.path = path
    }

    deinit { sqlite3_finalize(handle) }

    /// Binds values to the parameters, the first one first, and starts over. Throws ``DatabaseError``.
    func bind(_ values: [SQLValue]) throws {
        sqlite3_reset(handle)
        for (index, value) in values.enumerated() {
            let position = Int32(index + 1)
            let code: Int32
            switch value {
            case .null: code = sqlite3_bind_null(handle, position)
            case .integer(let number): code = sqlite3_bind_int64(handle, position, number)
            case .real(let number): code = sqlite3_bind_double(handle, position, number)
            case .text(let text): code = sqlite3_bind_text(handle, position, text, -1, Self.copied)
            case .blob(let bytes):
                code = sqlite3_bind_blob64(handle, position, bytes, UInt64(bytes.count), Self.copied)
            }
            if code != SQLITE_OK { throw error(code) }
        }
    }

    /// Steps to the next row; false after the last one. Throws ``DatabaseError``.
    func step() throws -> Bool {
        switch sqlite3_step(handle) {
        case SQLITE_ROW: return true
        case SQLITE_DONE:
            sqlite3_reset(handle)
            return false
        case let code:
            sqlite3_reset(handle)
            throw error(code)
        }
    }

    /// Runs a statement without rows. Throws ``DatabaseError``.
    func run(_ values: SQLValue...) throws {
        try bind(values)
        while try step() {}
    }

    /// A column of the row as a whole number.
    func integer(_ column: Int32) -> Int64 { sqlite3_column_int64(handle, column) }

    /// A column of the row as a number.
    func real(_ column: Int32) -> Double { sqlite3_column_double(handle, column) }

    /// A column of the row as text, empty if it is null.
    func text(_ column: Int32) -> String { sqlite3_column_text(handle, column).map { String(cString: $0) } ?? "" }

    /// A column of the row as bytes, empty if it is null.
    func blob(_ column: Int32) -> [UInt8] {
        let count = Int(sqlite3_column_bytes(handle, column))
        return [UInt8](UnsafeRawBufferPointer(start: sqlite3_column_blob(handle, column), count: count))
    }

    /// Whether a column of the row is null.
    func isNull(_ column: Int32) -> Bool { sqlite3_column_type(handle, column) == SQLITE_NULL }

    /// SQLITE_TRANSIENT: SQLite copies what is bound.
    private static var copied: sqlite3_destructor_type { unsafeBitCast(-1, to: sqlite3_destructor_type.self) }

    private func error(_ code: Int32) -> DatabaseError {
        DatabaseError(
            operation: operation, path: path, code: code & 0xFF,
            message: String(cString: sqlite3_errmsg(sqlite3_db_handle(handle))))
    }
}

/// A value of a parameter.
enum SQLValue {
    case null
    case integer(Int64)
    case real(Double)
    case text(String)
    case blob([UInt8])

    /// A whole number.
    static func number(_ value: some BinaryInteger) -> SQLValue { .integer(Int64(value)) }
}
