import Foundation
import Shared

extension RunFile {
    /// A worker of the run.
    public struct Worker: Sendable, Equatable {
        /// Its number in this file.
        public var number: Int
        /// Its host's name.
        public var host: String
        /// Its compute threads.
        public var threads: Int
        /// Its kernels' instruction set.
        public var instructionSet: String
        /// The release of its program.
        public var version: String
        /// When it joined first.
        public var joined: Date
        /// Why it was dismissed, if it was.
        public var dismissed: String?
        /// Its evaluations that are kept.
        public var evaluations: Int
        /// Its compute time for them.
        public var computeSeconds: Double
    }

    /// One lease, for the history of the run.
    public struct LeaseRecord: Sendable, Equatable {
        /// The lease.
        public var lease: LeaseID
        /// The number of the worker that held it.
        public var worker: Int
        /// The indices of its masks.
        public var masks: MaskRuns
        /// When it was granted.
        public var granted: Date
        /// When it ended; nil if it is still out, or was lost with its worker or coordinator.
        public var ended: Date?
        /// How it ended.
        public var outcome: String?
    }

    /// One life of the coordinator.
    public struct Life: Sendable, Equatable {
        /// When it began.
        public var started: Date
        /// The release of its program.
        public var program: String
        /// When it ended; nil if it is running or was killed.
        public var ended: Date?
        /// How it ended.
        public var ending: String?
    }

    /// The number of masks that have an evaluation.
    public func evaluationCount() throws -> Int {
        try Self.translated { Int(try database.number("SELECT count(*) FROM evaluation", "read") ?? 0) }
    }

    /// The number of masks that were recorded after a time.
    func evaluationCount(since time: Date) throws -> Int {
        try Self.translated {
            let statement = try database.prepare("SELECT count(*) FROM evaluation WHERE recorded_ms > ?", "read")
            try statement.bind([.number(time.milliseconds)])
            return try statement.step() ? Int(statement.integer(0)) : 0
        }
    }

    /// The last mask with an evaluation; nil if there is none.
    func lastEvaluatedMask() throws -> Int? {
        try Self.translated {
            try database.number("SELECT mask FROM evaluation ORDER BY mask DESC LIMIT 1", "read").map { Int($0) }
        }
    }

    /// Calls `body` with every evaluation, in the order of the masks. Throws a ``Failure`` if a row does not fit the
    /// run.
    public func forEachEvaluation(_ body: (RecordedEvaluation) throws -> Void) throws {
        try Self.translated {
            let checksum = version >= 3 ? ", checksum" : ""
            let statement = try database.prepare(
                "SELECT \(Self.sealedColumns)\(checksum) FROM evaluation ORDER BY mask", "read")
            while try statement.step() {
                let mask = statement.integer(0)
                let lossSum = statement.integer(1)
                let correct = statement.integer(2)
                let images = statement.integer(3)
                let isWhole = version < 3 || Self.isWhole(statement, checksum: 7)
                let evaluation = Evaluation(
                    lossSum: lossSum, correct: Int(clamping: correct), images: Int(clamping: images))
                guard isWhole, (0..<Int64(description.ensemble.count)).contains(mask), evaluation.isPossible,
                    evaluation.images == description.settings.images
                else {
                    throw Failure(
                        .badInput,
                        "the run file \(path) is damaged: the evaluation of mask \(mask) has changed; "
                            + "'winnow-coordinator resume --run \(path)' redoes it and keeps the others")
                }
                try body(
                    RecordedEvaluation(
                        mask: Int(mask), evaluation: evaluation,
                        worker: Int(statement.integer(4)), recorded: Date(milliseconds: statement.integer(5)),
                        computeMicroseconds: min(UInt64(max(0, statement.integer(6))), Wire.computeMicrosecondsMax)))
            }
        }
    }

    /// The masks that were set aside, and why.
    public func masksSetAside() throws -> [(mask: Int, reason: String)] {
        try Self.translated {
            let statement = try database.prepare("SELECT mask, reason FROM set_aside ORDER BY mask", "read")
            var result: [(mask: Int, reason: String)] = []
            while try statement.step() { result.append((Int(statement.integer(0)), statement.text(1))) }
            return result
        }
    }

    /// The workers, in the order in which they joined.
    public func workers() throws -> [Worker] {
        try Self.translated {
            // Files of earlier releases may hold times that a worker made up, and `sum` fails if they overflow.
            let statement = try database.prepare(
                """
                SELECT id, host, threads, instruction_set, version, joined_ms, dismissed, count(mask),
                total(min(max(compute_us, 0), \(Wire.computeMicrosecondsMax))) FROM worker LEFT JOIN evaluation ON worker.id = evaluation.worker
                GROUP BY id ORDER BY id
                """, "read")
            var result: [Worker] = []
            while try statement.step() {
                result.append(
                    Worker(
                        number: Int(statement.integer(0)), host: statement.text(1), threads: Int(statement.integer(2)),
                        instructionSet: statement.text(3), version: statement.text(4),
                        joined: Date(milliseconds: statement.integer(5)),
                        dismissed: statement.isNull(6) ? nil : statement.text(6),
                        evaluations: Int(statement.integer(7)), computeSeconds: statement.real(8) / 1e6))
            }
            return result
        }
    }

    /// The workers' identities and last origins, by their numbers in this file.
    func workerIdentities() throws -> [Int: (worker: WorkerID, origin: Origin?)] {
        try Self.translated {
            let origin = version >= 3 ? ", key, address" : ", NULL, NULL"
            let statement = try database.prepare("SELECT id, identity\(origin) FROM worker", "read")
            var result: [Int: (worker: WorkerID, origin: Origin?)] = [:]
            while try statement.step() {
                guard let identity = WorkerID(text: statement.text(1)) else { continue }
                let key = statement.isNull(2) ? nil : statement.text(2)
                result[Int(statement.integer(0))] = (
                    identity, statement.isNull(3) ? nil : Origin(key: key, address: statement.text(3))
                )
            }
            return result
        }
    }

    /// The leases, in the order they were granted; if more than `most`, every second, third, … one.
    public func leases(atMost most: Int = .max) throws -> [LeaseRecord] {
        try Self.translated {
            let count = try database.number("SELECT count(*) FROM lease", "read") ?? 0
            let stride = max(1, (Double(count) / Double(max(1, most))).rounded(.up))
            let statement = try database.prepare(
                """
                SELECT life, number, worker, masks, granted_ms, ended_ms, outcome FROM lease
                WHERE number % \(Int64(stride)) = 0 ORDER BY granted_ms, life, number
                """, "read")
            var result: [LeaseRecord] = []
            while try statement.step() {
                guard let masks = MaskRuns(stored: statement.text(3)) else {
                    throw Failure(.badInput, "the run file \(path) is damaged: a lease has no masks")
                }
                result.append(
                    LeaseRecord(
                        lease: LeaseID(
                            life: UInt32(truncatingIfNeeded: statement.integer(0)),
                            number: UInt32(truncatingIfNeeded: statement.integer(1))),
                        worker: Int(statement.integer(2)), masks: masks,
                        granted: Date(milliseconds: statement.integer(4)),
                        ended: statement.isNull(5) ? nil : Date(milliseconds: statement.integer(5)),
                        outcome: statement.isNull(6) ? nil : statement.text(6)))
            }
            return result
        }
    }

    /// Why nothing progresses, as the coordinator noted it last; nil while something does.
    public func standstill() throws -> String? {
        try Self.translated { try database.text("SELECT value FROM meta WHERE key = 'standstill'", "read") }
    }

    /// The lives of the coordinator, the first one first.
    public func lives() throws -> [Life] {
        try Self.translated {
            let statement = try database.prepare(
                "SELECT started_ms, program, ended_ms, ending FROM life ORDER BY number", "read")
            var result: [Life] = []
            while try statement.step() {
                result.append(
                    Life(
                        started: Date(milliseconds: statement.integer(0)), program: statement.text(1),
                        ended: statement.isNull(2) ? nil : Date(milliseconds: statement.integer(2)),
                        ending: statement.isNull(3) ? nil : statement.text(3)))
            }
            return result
        }
    }
}
