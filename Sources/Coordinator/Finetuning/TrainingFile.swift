import Foundation
import Shared

/// A training in one SQLite file: settings, position, parameters, velocities, history, and the teacher. Every save is
/// one transaction, so the file is consistent whenever the program is killed.
final class TrainingFile {
    private static let format = "winnow training 2"

    /// The file's content besides the progress.
    struct Origin: Equatable {
        /// The digest of the training split's records.
        var trainingImages: Digest
        /// The teacher.
        var teacher: Network?
    }

    private let database: Database
    /// The file's path.
    let path: String

    /// Marks that this process trains: only one at a time works on a file.
    private let lock: Int32
    /// The locked byte; SQLite's own locks are at 2^30.
    private static let lockedByte: Int64 = 1 << 40

    private init(database: consuming Database, path: String, lock: Int32 = -1) {
        self.database = database
        self.path = path
        self.lock = lock
    }

    deinit { if lock >= 0 { close(lock) } }

    /// Creates a file, which appears when complete; an existing one is refused unless it is empty. Throws a
    /// ``Failure``.
    static func create(at path: String, _ progress: TrainingProgress, _ origin: Origin) throws -> TrainingFile {
        let exists = Failure(
            .badInput, "\(path) exists; resume it with --resume, or name another file with --state")
        return try reporting(path) {
            if (try? InputFile.size(of: path)) == 0 { unlink(path) }
            try WholeFile.make(at: path, ifThere: exists) { part in
                let database = try Database(path: part, access: .create)
                try database.execute("CREATE TABLE entry (name TEXT PRIMARY KEY, value BLOB NOT NULL)", "begin")
                let file = TrainingFile(database: database, path: part)
                try file.write([
                    "format": Array(format.utf8), "settings": try json(progress.settings),
                    "image count": Array(String(progress.imageCount).utf8),
                    "training images": origin.trainingImages.bytes,
                    "teacher": origin.teacher.map { Checkpoint.safetensors(of: $0) } ?? [],
                ])
                try file.save(progress)
            }
            return try own(path)
        }
    }

    /// Opens a file to resume. Throws a ``Failure``, also if another process is working on it.
    static func open(at path: String) throws -> (file: TrainingFile, progress: TrainingProgress, origin: Origin) {
        try reporting(path) {
            let file = try own(path)
            try file.checkDigest()
            var (progress, origin) = try file.read()
            try file.readPosition(&progress)
            return (file, progress, origin)
        }
    }

    private static func own(_ path: String) throws -> TrainingFile {
        let lock = Glibc.open(path, O_RDWR | O_CLOEXEC)
        guard lock >= 0 else {
            throw Failure(.badInput, "cannot open \(path) for writing: \(String(cString: strerror(errno)))")
        }
        if let refusal = FileLock.take(lock, byte: lockedByte) {
            close(lock)
            throw refusal == .taken
                ? Failure(.unavailable, "another process is training from \(path); only one can at a time")
                : FileLock.unsupported(path)
        }
        do {
            let database = try Database(path: path, access: .write)
            try database.execute("PRAGMA journal_mode = WAL", "begin")
            return TrainingFile(database: database, path: path, lock: lock)
        } catch {
            close(lock)
            throw error
        }
    }

    /// Whether the file is no longer at its original path.
    var wasMoved: Bool { database.wasMoved }

    /// Compares the entries with the digest that was written with them; files of older releases have none. Throws a
    /// `.badInput` ``Failure``.
    private func checkDigest() throws {
        guard let stored = try? bytes("digest") else { return }
        guard stored == (try digest()).bytes else { throw damaged }
    }

    /// The digest of all other entries, in the order of their names.
    private func digest() throws -> Digest {
        var hash = SHA256()
        let rows = try database.prepare("SELECT name, value FROM entry WHERE name <> 'digest' ORDER BY name", "read")
        while try rows.step() {
            let (name, value) = (Array(rows.text(0).utf8), rows.blob(1))
            for part in [name, value] {
                withUnsafeBytes(of: UInt64(part.count).littleEndian) { hash.update($0) }
                part.withUnsafeBytes { hash.update($0) }
            }
        }
        return hash.finished()
    }

    /// Saves a training's state.
    func save(_ progress: TrainingProgress) throws {
        try Self.reporting(path) {
            try write([
                "network": Checkpoint.safetensors(of: progress.network),
                "velocities": Self.bytes(progress.optimizer.velocities),
                "best trained": Self.bytes(progress.best.trained),
                "best statistics": Self.bytes(progress.best.statistics),
                "position": try Self.json(progress.position), "history": try Self.json(progress.history),
            ])
        }
    }

    /// Starts another life of the coordinator: the training's identity on the wire, and the number of its starts and
    /// resumes, so workers can tell what an earlier life gave them from what this one does.
    func beginLife() throws -> (run: RunID, life: UInt32) {
        try Self.reporting(path) {
            let text = (try? bytes("run")).map { String(decoding: $0, as: UTF8.self) } ?? ""
            let known = text.split(separator: " ")
            let run = known.first.flatMap { RunID(text: $0) } ?? .random()
            let life = (known.last.flatMap { UInt32($0) } ?? 0) &+ 1
            try write(["run": Array("\(run) \(life)".utf8)])
            return (run, life)
        }
    }

    /// Leaves a single file, without SQLite's companion files.
    func finish() throws {
        try Self.reporting(path) { try database.execute("PRAGMA journal_mode = DELETE", "close") }
    }

    private func read() throws -> (TrainingProgress, Origin) {
        guard (try? bytes("format")) == Array(Self.format.utf8) else {
            throw Failure(.badInput, "\(path) is not a training of this version of Winnow")
        }
        let settings = try Self.decode(TrainingSettings.self, try bytes("settings"), path)
        let network = try Checkpoint.network(bytes: try bytes("network"), name: path)
        guard let imageCount = Int(String(decoding: try bytes("image count"), as: UTF8.self)),
            (1...TrainingShard.imageMax).contains(imageCount), let digest = Digest(bytes: try bytes("training images"))
        else { throw damaged }
        let teacherBytes = try bytes("teacher")
        let teacher = teacherBytes.isEmpty ? nil : try Checkpoint.network(bytes: teacherBytes, name: path)
        // Its settings were checked before they were written.
        guard let progress = try? TrainingProgress(network, settings: settings, imageCount: imageCount) else {
            throw damaged
        }
        return (progress, Origin(trainingImages: digest, teacher: teacher))
    }

    private func readPosition(_ progress: inout TrainingProgress) throws {
        progress.position = try Self.decode(TrainingProgress.Position.self, try bytes("position"), path)
        progress.history = try Self.decode(TrainingHistory.self, try bytes("history"), path)
        progress.optimizer.velocities = Self.floats(try bytes("velocities"))
        progress.best = (Self.floats(try bytes("best trained")), Self.floats(try bytes("best statistics")))
        let layout = progress.layout
        let position = progress.position
        guard progress.optimizer.velocities.count == layout.trainedCount,
            [0, layout.trainedCount].contains(progress.best.trained.count),
            progress.best.trained.isEmpty || progress.best.statistics.count == layout.statisticsCount,
            (0...progress.settings.epochs).contains(position.epoch),
            (0...progress.stepsPerEpoch).contains(position.step), progress.history.epochs.count == position.epoch
        else { throw damaged }
    }

    private var damaged: Failure { Failure(.badInput, "\(path) is damaged; start the training again") }

    private func write(_ entries: [String: [UInt8]]) throws {
        try database.execute("BEGIN IMMEDIATE", "save")
        do {
            let statement = try database.prepare("INSERT OR REPLACE INTO entry VALUES (?, ?)", "save")
            for (name, value) in entries { try statement.run(.text(name), .blob(value)) }
            try statement.run(.text("digest"), .blob(digest().bytes))
            try database.execute("COMMIT", "save")
        } catch {
            if database.isInTransaction { try? database.execute("ROLLBACK", "save") }
            throw error
        }
    }

    private func bytes(_ name: String) throws -> [UInt8] {
        let statement = try database.prepare("SELECT value FROM entry WHERE name = ?", "read")
        try statement.bind([.text(name)])
        guard try statement.step() else { throw damaged }
        return statement.blob(0)
    }

    private static func json(_ value: some Encodable) throws -> [UInt8] { Array(try JSONEncoder().encode(value)) }

    private static func decode<Value: Decodable>(_ type: Value.Type, _ bytes: [UInt8], _ path: String) throws -> Value {
        do {
            return try JSONDecoder().decode(type, from: Data(bytes))
        } catch {
            throw Failure(.badInput, "\(path) is damaged; start the training again")
        }
    }

    private static func bytes(_ floats: [Float]) -> [UInt8] {
        floats.flatMap { withUnsafeBytes(of: $0.bitPattern.littleEndian) { Array($0) } }
    }

    private static func floats(_ bytes: [UInt8]) -> [Float] {
        bytes.withUnsafeBytes { raw in
            (0..<raw.count / 4).map {
                Float(bitPattern: UInt32(littleEndian: raw.loadUnaligned(fromByteOffset: 4 * $0, as: UInt32.self)))
            }
        }
    }

    private static func reporting<Result>(_ path: String, _ body: () throws -> Result) throws -> Result {
        do {
            return try body()
        } catch let error as DatabaseError {
            throw Failure(
                error.failure.kind, "\(error); earlier saves are kept, and --resume resumes from there")
        }
    }
}
