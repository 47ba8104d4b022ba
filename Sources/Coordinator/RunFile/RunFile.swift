import CSQLite
import Foundation
import Shared

/// Everything about one run in one SQLite file: what is evaluated, the network, and every evaluation.
///
/// One coordinator at a time has it, for the whole run; anybody may read it meanwhile. What was committed survives a
/// `kill -9` at any instant (write-ahead log); a power cut may lose the last commits, never the file, and `resume`
/// evaluates again what was lost.
public final class RunFile {
    /// The largest checkpoint that is kept: SQLite's limit for one value.
    public static let checkpointBytesMax = 900 << 20
    /// Leases whose history is kept, and bytes of what else happened. They bound the file: of a longer run's later
    /// leases, or when peers make much happen, the rest is not written down.
    static let leasesMax = 10_000_000
    static let occurrenceBytesMax = 64 << 20
    /// What a row of the history takes besides its texts, about.
    private static let occurrenceRowBytes = 32
    /// `application_id`: "WNNW".
    static let applicationID: Int64 = 0x574E_4E57
    /// `user_version`; raised with every change of ``schema``. Older ones are read, and brought up to it by `resume`.
    static let schemaVersion: Int64 = 4
    /// The byte whose lock says that a coordinator has the file; SQLite's own locks lie at 2^30.
    static let lockedByte: Int64 = 1 << 40

    static let schema = """
        CREATE TABLE meta(key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
        CREATE TABLE evaluation(
            mask INTEGER PRIMARY KEY, loss_sum INTEGER NOT NULL, correct INTEGER NOT NULL, images INTEGER NOT NULL,
            worker INTEGER NOT NULL, recorded_ms INTEGER NOT NULL, compute_us INTEGER NOT NULL, checksum INTEGER);
        CREATE TABLE set_aside(mask INTEGER PRIMARY KEY, reason TEXT NOT NULL);
        CREATE TABLE worker(
            id INTEGER PRIMARY KEY, identity TEXT NOT NULL UNIQUE, host TEXT NOT NULL, threads INTEGER NOT NULL,
            instruction_set TEXT NOT NULL, version TEXT NOT NULL, joined_ms INTEGER NOT NULL, dismissed TEXT,
            key TEXT, address TEXT);
        CREATE TABLE lease(
            life INTEGER NOT NULL, number INTEGER NOT NULL, worker INTEGER NOT NULL, masks TEXT NOT NULL,
            granted_ms INTEGER NOT NULL, ended_ms INTEGER, outcome TEXT,
            PRIMARY KEY(life, number)) WITHOUT ROWID;
        CREATE TABLE life(
            number INTEGER PRIMARY KEY, started_ms INTEGER NOT NULL, program TEXT NOT NULL, ended_ms INTEGER,
            ending TEXT);
        \(occurrenceTable);
        """
    /// What is in files of version 2 and later: what happened besides leases and evaluations.
    static let occurrenceTable = """
        CREATE TABLE IF NOT EXISTS occurrence(
            id INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, life INTEGER NOT NULL, worker INTEGER, lease_life INTEGER,
            lease_number INTEGER, masks TEXT NOT NULL, what TEXT NOT NULL)
        """

    /// Where it is.
    public let path: String
    /// What is evaluated.
    public private(set) var description: RunDescription
    let database: Database
    /// The columns' names of a file of this or an older format, which differ.
    let version: Int64
    private let insertEvaluation: Statement
    private let insertLease: Statement
    private let endLease: Statement
    private let findLease: Statement
    private var leaseCount = 0
    private var occurrenceBytes = 0
    private var notedStandstill: String?
    private var notedForecast: Forecast?
    private var lock: Int32 = -1

    init(path: String, description: RunDescription, database: consuming Database, lock: Int32) throws {
        self.path = path
        self.description = description
        self.lock = lock
        version = try database.number("PRAGMA user_version", "read") ?? 0
        // A file of an older format is only read.
        let checksum = version >= 3 ? ", checksum) VALUES(?, ?, ?, ?, ?, ?, ?, ?)" : ") VALUES(?, ?, ?, ?, ?, ?, ?)"
        insertEvaluation = try database.prepare(
            "INSERT OR IGNORE INTO evaluation(\(Self.sealedColumns)\(checksum)", "record evaluations in")
        findLease = try database.prepare(
            "SELECT identity, masks FROM lease JOIN worker ON worker.id = lease.worker WHERE life = ? AND number = ?",
            "read")
        insertLease = try database.prepare(
            "INSERT OR IGNORE INTO lease VALUES(?, ?, ?, ?, ?, NULL, NULL)", "record leases in")
        endLease = try database.prepare(
            "UPDATE lease SET ended_ms = ?, outcome = ? WHERE life = ? AND number = ? AND outcome IS NULL",
            "record leases in")
        // Who only reads counts nothing.
        if lock >= 0 {
            leaseCount = Int(try database.number("SELECT count(*) FROM lease", "read") ?? 0)
            let bytes = try database.number(
                "SELECT total(length(masks) + length(what) + \(Self.occurrenceRowBytes)) FROM occurrence", "read")
            occurrenceBytes = Int(clamping: bytes ?? 0)
        }
        self.database = database
    }

    deinit { if lock >= 0 { close(lock) } }

    /// Whether a coordinator has the file now; of a file that is only read.
    public var hasCoordinator: Bool {
        if lock >= 0 { return true }
        let descriptor = open(path, O_RDWR | O_CLOEXEC)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        return FileLock.take(descriptor, byte: Self.lockedByte) == .taken
    }

    /// Runs what may fail in SQLite and turns its errors into those that a user should see.
    static func translated<Result>(_ body: () throws -> Result) throws -> Result {
        do { return try body() } catch let error as DatabaseError { throw error.failure }
    }

    /// The checkpoint's bytes. Throws a ``Failure``, also where they are not those of the run.
    public func checkpoint() throws -> [UInt8] {
        let bytes = try storedCheckpoint()
        try check(checkpoint: bytes)
        return bytes
    }

    private func storedCheckpoint() throws -> [UInt8] {
        try Self.translated {
            let statement = try database.prepare("SELECT value FROM meta WHERE key = 'checkpoint'", "read")
            guard try statement.step() else {
                throw Failure(.badInput, "the run file \(path) has no checkpoint; it is damaged")
            }
            return statement.blob(0)
        }
    }

    // MARK: Writing

    /// Begins a life of the coordinator: 1 for the first, one more for each after it. Throws a ``Failure``.
    func beginLife(at time: Date) throws -> UInt32 {
        try Self.translated {
            let statement = try database.prepare(
                "INSERT INTO life(started_ms, program) VALUES(?, ?) RETURNING number", "write to")
            try statement.bind([.number(time.milliseconds), .text(Version.number)])
            guard try statement.step() else { throw Failure(.internalFault, "a life has no number") }
            let number = statement.integer(0)
            guard let life = UInt32(exactly: number) else {
                throw Failure(.badInput, "the run file \(path) is damaged: it has lived \(number) times")
            }
            while try statement.step() {}
            // A new life tries again what an earlier one could not.
            try database.execute("DELETE FROM set_aside; DELETE FROM meta WHERE key = 'standstill'", "write to")
            return life
        }
    }

    /// Ends a life of the coordinator and commits. Throws a ``Failure``.
    func endLife(_ life: UInt32, at time: Date, _ ending: String) throws {
        try Self.translated {
            try begin()
            try database.prepare("UPDATE life SET ended_ms = ?, ending = ? WHERE number = ?", "write to")
                .run(.number(time.milliseconds), .text(ending), .number(life))
        }
        try commit()
    }

    /// The number of a worker in the tables; the same worker keeps its number. Committed with the next commit.
    func register(_ hello: WorkerMessage.Hello, from origin: Origin? = nil, at time: Date) throws -> Int {
        try Self.translated {
            try begin()
            let origin = origin?.lasting
            let statement = try database.prepare(
                """
                INSERT INTO worker(identity, host, threads, instruction_set, version, joined_ms, key, address)
                VALUES(?, ?, ?, ?, ?, ?, ?, ?)
                ON CONFLICT(identity) DO UPDATE SET host = excluded.host, threads = excluded.threads,
                instruction_set = excluded.instruction_set, version = excluded.version, key = excluded.key,
                address = excluded.address RETURNING id
                """, "record workers in")
            try statement.bind([
                .text(hello.worker.description), .text(hello.host), .number(hello.threads),
                .text(hello.instructionSet), .text(hello.programVersion), .number(time.milliseconds),
                origin?.key.map { .text($0) } ?? .null, origin.map { .text($0.address) } ?? .null,
            ])
            guard try statement.step() else { throw Failure(.internalFault, "a worker has no number") }
            let number = Int(statement.integer(0))
            while try statement.step() {}
            return number
        }
    }

    /// Notes that a worker was dismissed, and why. Committed with the next commit.
    func dismiss(worker: Int, _ reason: String) throws {
        try Self.translated {
            try begin()
            try database.prepare("UPDATE worker SET dismissed = ? WHERE id = ?", "record workers in")
                .run(.text(reason), .number(worker))
        }
    }

    /// Records a mask's evaluation, unless it has one already. It counts once ``commit()`` returns. Returns whether it
    /// was the first.
    @discardableResult
    func record(_ evaluation: RecordedEvaluation) throws -> Bool {
        try Self.translated {
            try begin()
            let numbers = [
                Int64(evaluation.mask), evaluation.evaluation.lossSum, Int64(evaluation.evaluation.correct),
                Int64(evaluation.evaluation.images), Int64(evaluation.worker), evaluation.recorded.milliseconds,
                Int64(clamping: evaluation.computeMicroseconds),
            ]
            try insertEvaluation.bind(numbers.map { .integer($0) } + [.number(Self.checksum(of: numbers))])
            while try insertEvaluation.step() {}
            return database.changes == 1
        }
    }

    /// Forgets evaluations that cannot be trusted. Committed with the next commit.
    func discard(masks: [Int]) throws {
        try Self.translated {
            try begin()
            let statement = try database.prepare("DELETE FROM evaluation WHERE mask = ?", "correct")
            for mask in masks { try statement.run(.number(mask)) }
        }
    }

    /// Changes the number of the run's masks, and the reliability that ends it before, and commits. Evaluations of masks
    /// that are not of the run any more are forgotten. Throws a ``Failure``.
    func change(masks: Int, untilReliability: Double?) throws {
        var changed = description
        changed.untilReliability = untilReliability
        changed.ensemble = try changed.ensemble.with(masks: masks)
        changed.masksDigest = changed.ensemble.sample
        guard changed != description else { return }
        let text = String(decoding: try JSONEncoder().encode(changed), as: UTF8.self)
        try Self.translated {
            try begin()
            for table in ["evaluation", "set_aside"] {
                try database.prepare("DELETE FROM \(table) WHERE mask >= ?", "write to").run(.number(masks))
            }
            try database.prepare("UPDATE meta SET value = ? WHERE key = 'description'", "write to").run(.text(text))
            try Self.writeDigest(of: text, to: database)
        }
        try commit()
        description = changed
    }

    /// Notes that a mask is not evaluated, and why. Committed with the next commit.
    func setAside(mask: Int, _ reason: String) throws {
        try Self.translated {
            try begin()
            try database.prepare("INSERT OR REPLACE INTO set_aside VALUES(?, ?)", "write to")
                .run(.number(mask), .text(reason))
        }
    }

    /// Notes a lease, for the history. Committed with the next commit.
    func recordLease(_ lease: LeaseID, worker: Int, masks: MaskRuns, at time: Date) throws {
        guard leaseCount < Self.leasesMax else { return }
        leaseCount += 1
        try Self.translated {
            try begin()
            try insertLease.run(
                .number(lease.life), .number(lease.number), .number(worker), .text(masks.stored),
                .number(time.milliseconds))
        }
    }

    /// Who had a lease of any life, and its masks; nil where the table has none of it. Throws a ``Failure``.
    func grantedLease(_ lease: LeaseID) throws -> Scheduler.GrantedLease? {
        try Self.translated {
            try findLease.bind([.number(lease.life), .number(lease.number)])
            guard try findLease.step() else { return nil }
            let identity = WorkerID(text: findLease.text(0))
            let masks = MaskRuns(stored: findLease.text(1))
            while try findLease.step() {}
            guard let identity, let masks else { return nil }
            return (identity, masks)
        }
    }

    /// Notes how a lease ended. Committed with the next commit.
    func endLease(_ lease: LeaseID, _ outcome: String, at time: Date) throws {
        try Self.translated {
            try begin()
            try endLease.run(.number(time.milliseconds), .text(outcome), .number(lease.life), .number(lease.number))
        }
    }

    /// Notes what happened, for the history. Committed with the next commit.
    func remember(_ occurrence: ClusterAction.Occurrence, worker: Int?, life: UInt32, at time: Date) throws {
        guard occurrenceBytes < Self.occurrenceBytesMax else { return }
        let masks = occurrence.masks.stored
        occurrenceBytes += masks.utf8.count + occurrence.what.utf8.count + Self.occurrenceRowBytes
        try Self.translated {
            try begin()
            try database.prepare("INSERT INTO occurrence VALUES(NULL, ?, ?, ?, ?, ?, ?, ?)", "record the history in")
                .run(
                    .number(time.milliseconds), .number(life), worker.map { .number($0) } ?? .null,
                    occurrence.lease.map { .number($0.life) } ?? .null,
                    occurrence.lease.map { .number($0.number) } ?? .null,
                    .text(masks), .text(occurrence.what))
        }
    }

    /// Notes why nothing progresses, for ``standstill()``; nil while something does. Committed with the next commit.
    func setStandstill(_ reason: String?) throws {
        guard reason != notedStandstill else { return }
        notedStandstill = reason
        try Self.translated {
            try begin()
            if let reason {
                try database.prepare("INSERT OR REPLACE INTO meta VALUES('standstill', ?)", "write to")
                    .run(.text(reason))
            } else {
                try database.execute("DELETE FROM meta WHERE key = 'standstill'", "write to")
            }
        }
    }

    /// Notes how sure the ranking is by now, for ``forecast()``. Committed with the next commit.
    func setForecast(_ forecast: Forecast) throws {
        guard forecast != notedForecast else { return }
        notedForecast = forecast
        let text = String(decoding: try JSONEncoder().encode(forecast), as: UTF8.self)
        try Self.translated {
            try begin()
            try database.prepare("INSERT OR REPLACE INTO meta VALUES('forecast', ?)", "write to").run(.text(text))
        }
    }

    private func begin() throws { if !database.isInTransaction { try database.execute("BEGIN", "write to") } }

    /// Commits everything since the last commit; when it returns, a `kill -9` loses none of it. Throws a ``Failure``.
    func commit() throws {
        try Self.translated { if database.isInTransaction { try database.execute("COMMIT", "write to") } }
    }

    /// Puts everything into the one file, so that it can be copied and read anywhere. Readers may prevent that, which
    /// does no harm.
    func finish() { try? database.execute("PRAGMA journal_mode = DELETE", "close") }
}

extension Date {
    /// Milliseconds since 1970.
    var milliseconds: Int64 { Int64((timeIntervalSince1970 * 1000).rounded()) }

    /// So many milliseconds since 1970.
    init(milliseconds: Int64) { self.init(timeIntervalSince1970: Double(milliseconds) / 1000) }
}
