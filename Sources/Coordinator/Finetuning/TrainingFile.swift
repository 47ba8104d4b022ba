import Foundation
import Shared

/// A training in one SQLite file: settings, where it stands, parameters, velocities, history, and the teacher. Every
/// save is one transaction, so the file is whole whenever the program is killed.
final class TrainingFile {
    private static let format = "winnow training 2"

    /// What is in a file besides the progress.
    struct Origin: Equatable {
        /// The digest of the training split's records.
        var trainingImages: Digest
        /// The network that distillation learns from.
        var teacher: Network?
    }

    private let database: Database
    /// The file's path.
    let path: String

    private init(database: consuming Database, path: String) {
        self.database = database
        self.path = path
    }

    /// Makes a file; one that is there is refused unless it is empty. Throws a ``Failure``.
    static func create(at path: String, _ progress: TrainingProgress, _ origin: Origin) throws -> TrainingFile {
        if (try? InputFile.size(of: path)) ?? 0 > 0 {
            throw Failure(
                .badInput, "\(path) exists; go on with it by --resume, or name another file by --state")
        }
        return try reporting(path) {
            let database = try Database(path: path, access: .create)
            try database.execute(
                "PRAGMA journal_mode = WAL; CREATE TABLE entry (name TEXT PRIMARY KEY, value BLOB NOT NULL)", "begin")
            let file = TrainingFile(database: database, path: path)
            try file.write([
                "format": Array(format.utf8), "settings": try json(progress.settings),
                "image count": Array(String(progress.imageCount).utf8),
                "training images": origin.trainingImages.bytes,
                "teacher": origin.teacher.map { Checkpoint.safetensors(of: $0) } ?? [],
            ])
            try file.save(progress)
            return file
        }
    }

    /// Opens a file to go on. Throws a ``Failure``.
    static func open(at path: String) throws -> (file: TrainingFile, progress: TrainingProgress, origin: Origin) {
        try reporting(path) {
            let file = TrainingFile(database: try Database(path: path, access: .write), path: path)
            var (progress, origin) = try file.read()
            try file.readPosition(&progress)
            return (file, progress, origin)
        }
    }

    /// Saves where a training stands.
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

    /// Leaves one file, without those that SQLite keeps beside one that is written to.
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

    private var damaged: Failure { Failure(.badInput, "\(path) is damaged; begin the training again") }

    private func write(_ entries: [String: [UInt8]]) throws {
        try database.execute("BEGIN IMMEDIATE", "save")
        do {
            let statement = try database.prepare("INSERT OR REPLACE INTO entry VALUES (?, ?)", "save")
            for (name, value) in entries { try statement.run(.text(name), .blob(value)) }
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
            throw Failure(.badInput, "\(path) is damaged; begin the training again")
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
                error.failure.kind, "\(error); what was saved before is kept, and --resume goes on from there")
        }
    }
}
