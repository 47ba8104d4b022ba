import Foundation
import Shared

/// The folder of a compression: an existing file is a completed step, so a killed compression resumes from it. Every
/// file appears only when complete. One process at a time has the folder.
final class CompressionFolder {
    /// The files of one round, in the order they are made.
    struct Round {
        let folder: String
        /// The run file of the ranking.
        var run: String { "\(folder)/ranking.winnow" }
        /// The folder of the ranking's report.
        var ranking: String { "\(folder)/ranking" }
        /// The smaller network, its batch norms recalibrated.
        var pruned: String { "\(folder)/pruned.safetensors" }
        /// The same with the layers after the removed filters refitted, where fine-tuning starts.
        var reconstructed: String { "\(folder)/reconstructed.safetensors" }
        /// A baseline's result for the same network and budget.
        func baseline(_ method: PruningMethod) -> String { "\(folder)/\(method.rawValue).safetensors" }
        /// The result of pruning: a ``CompressionRound`` without fine-tuning.
        var pruning: String { "\(folder)/pruning.json" }
        /// The state of the fine-tuning.
        var training: String { "\(folder)/finetuned.training" }
        /// The network after fine-tuning.
        var finetuned: String { "\(folder)/finetuned.safetensors" }
        /// The whole ``CompressionRound``.
        var result: String { "\(folder)/round.json" }
        /// The same three for a long fine-tuning, with an accuracy target.
        var longTraining: String { "\(folder)/finetuned-long.training" }
        var longFinetuned: String { "\(folder)/finetuned-long.safetensors" }
        var longResult: String { "\(folder)/round-long.json" }
    }

    /// The files beside the rounds' folders.
    struct Paths {
        let path: String

        init(_ path: String) { self.path = path }

        /// The ``CompressionPlan``.
        var plan: String { "\(path)/plan.json" }
        /// The unpruned network, unchanged.
        var unpruned: String { "\(path)/unpruned" }
        /// Its data: a ``CompressionPoint``.
        var start: String { "\(path)/unpruned.json" }
        /// With an accuracy target, the fine-tuning of the unpruned network without the held-out images: its state, the
        /// network, and its history, a ``TrainingHistory``.
        var referenceTraining: String { "\(path)/reference.training" }
        var referenceNetwork: String { "\(path)/reference.safetensors" }
        var reference: String { "\(path)/reference.json" }
        /// The result.
        var compressed: String { "\(path)/compressed.safetensors" }
        var report: String { "\(path)/report.html" }
        var curveCSV: String { "\(path)/curve.csv" }
        var curveJSON: String { "\(path)/curve.json" }
        /// The process that works here locks a byte of it.
        var lock: String { "\(path)/lock" }

        /// The files of a round, counted from one.
        func round(_ number: Int) -> Round { Round(folder: "\(path)/round-\(number)") }
    }

    let paths: Paths
    var path: String { paths.path }
    private let lock: Int32

    /// Creates the folder, or opens it to resume. Throws a ``Failure`` if it cannot be created, or another process has
    /// it.
    init(_ path: String) throws {
        paths = Paths(path)
        try Self.makeFolder(path)
        lock = open(paths.lock, O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
        guard lock >= 0 else {
            throw Failure(.unavailable, "cannot write to \(path): \(String(cString: strerror(errno)))")
        }
        if let refusal = FileLock.take(lock, byte: 0) {
            close(lock)
            throw refusal == .unsupported
                ? FileLock.unsupported(path)
                : Failure(.unavailable, "another process is compressing in \(path); only one can at a time")
        }
    }

    deinit { close(lock) }

    /// Whether a process works in a folder now.
    static func isOwned(_ path: String) -> Bool {
        let lock = open(Paths(path).lock, O_RDWR | O_CLOEXEC)
        guard lock >= 0 else { return false }
        defer { close(lock) }
        return FileLock.take(lock, byte: 0) == .taken
    }

    var plan: String { paths.plan }
    var unpruned: String { paths.unpruned }
    var reference: String { paths.reference }
    var start: String { paths.start }
    var compressed: String { paths.compressed }
    var report: String { paths.report }
    var curveCSV: String { paths.curveCSV }
    var curveJSON: String { paths.curveJSON }

    /// The files of a round, counted from one; creates their folder.
    func round(_ number: Int) throws -> Round {
        let round = paths.round(number)
        try Self.makeFolder(round.folder)
        return round
    }

    /// Whether a file exists, and so is complete.
    func has(_ file: String) -> Bool { InputFile.isReadable(file) }

    /// The content of a JSON file, or, if it does not exist, the result of `make`, which is written. Throws a
    /// ``Failure``.
    func stored<Value: Codable>(_ file: String, _ make: () throws -> Value) throws -> Value {
        if has(file) { return try Self.read(file) }
        let value = try make()
        try write(try Self.json(value), to: file)
        return value
    }

    /// The content of a JSON file. Throws a `.badInput` ``Failure``.
    static func read<Value: Decodable>(_ file: String) throws -> Value {
        do {
            return try JSONDecoder().decode(Value.self, from: Data(contentsOf: URL(fileURLWithPath: file)))
        } catch {
            throw Failure(.badInput, "\(file) is damaged; remove it, and the same command recreates it")
        }
    }

    /// Writes a file.
    func write(_ bytes: [UInt8], to file: String) throws { try OutputFile.write(bytes, to: file) }

    /// Lets `make` write a file under another name, and renames it when complete, unless it exists. Removes the
    /// unfinished files of an earlier process.
    func ensure(_ file: String, _ make: (String) throws -> Void) throws {
        if has(file) { return }
        let part = "\(file).part"
        for suffix in ["", "-wal", "-shm", "-journal"] { unlink(part + suffix) }
        try make(part)
        guard rename(part, file) == 0 else {
            throw Failure(.unavailable, "cannot make \(file): \(String(cString: strerror(errno)))")
        }
    }

    /// JSON that is the same bytes for the same value.
    static func json(_ value: some Encodable) throws -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return Array(try encoder.encode(value)) + [UInt8(ascii: "\n")]
    }

    private static func makeFolder(_ path: String) throws {
        do {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        } catch { throw Failure(.unavailable, "cannot make the folder \(path): \(error.localizedDescription)") }
    }
}
