import Foundation
import Testing

@testable import Coordinator
@testable import Shared

/// Run files in a folder of their own.
final class RunFileTests {
    private let folder: String
    private var path: String { "\(folder)/run.winnow" }

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "winnow-runfile-\(UUID())").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    private static let space = FilterSpace(
        .fullyConnected(
            LinearChain(layers: [
                .init(name: "0", input: 3072, output: 20), .init(name: "2", input: 20, output: 10),
            ])))

    private static func description(masks: Int = 100, checkpoint: [UInt8] = []) throws -> RunDescription {
        let ensemble = try Ensemble(.tree, of: space, scope: SamplingScope(dropRate: 0.25), masks: masks, seed: 3)
        return RunDescription(
            run: RunID.random().description, created: Date(milliseconds: 1_700_000_000_000), program: "0.1.0",
            commandLine: ["winnow-coordinator", "run"],
            network: .init(
                path: "net", digest: Digest(sha256Of: checkpoint), architecture: "fully connected", filters: space.count
            ),
            data: .init(path: "data", images: Digest(sha256Of: [2]), calibrationImages: nil),
            settings: EvaluationSettings(split: .train, images: 10, batchNorm: .frozen), ensemble: ensemble,
            masksDigest: ensemble.sample, verifiedShare: 0)
    }

    private static func evaluation(_ mask: Int, lossSum: Int64 = 5, worker: Int = 1) -> RecordedEvaluation {
        RecordedEvaluation(
            mask: mask, evaluation: Evaluation(lossSum: lossSum, correct: 3, images: 10), worker: worker,
            recorded: Date(milliseconds: 1_700_000_000_123), computeMicroseconds: 77)
    }

    private func all(_ file: RunFile) throws -> [RecordedEvaluation] {
        var result: [RecordedEvaluation] = []
        try file.forEachEvaluation { result.append($0) }
        return result
    }

    /// The failure of opening the file to resume it.
    private func failure(_ body: () throws -> Void) -> Failure? {
        do {
            try body()
            return nil
        } catch { return error as? Failure }
    }

    @Test func whatIsCommittedIsReadBack() throws {
        let description = try Self.description(checkpoint: [9, 8, 7])
        let file = try RunFile.create(at: path, description, checkpoint: [9, 8, 7])
        for mask in [5, 2, 9] { try file.record(Self.evaluation(mask)) }
        try file.commit()
        let reader = try RunFile.read(at: path)
        #expect(reader.description == description)
        #expect(try reader.checkpoint() == [9, 8, 7])
        #expect(try all(reader) == [2, 5, 9].map { Self.evaluation($0) })
        try file.record(Self.evaluation(1))
        #expect(try reader.evaluationCount() == 3, "what is not committed is not seen")
    }

    @Test func aTimeThatAWorkerMadeUpDoesNotKeepARunFromItsReport() throws {
        let file = try RunFile.create(at: path, Self.description(), checkpoint: [])
        let hello = WorkerMessage.Hello(
            worker: WorkerID(high: 1, low: 2), incarnation: 1, host: "h", threads: 1, instructionSet: "plain",
            programVersion: "1")
        let worker = try file.register(hello, at: Date())
        for mask in 0..<3 {
            var item = Self.evaluation(mask, worker: worker)
            item.computeMicroseconds = .max
            try file.record(item)
        }
        try file.commit()
        let reader = try RunFile.read(at: path)
        let limit = Double(Wire.computeMicrosecondsMax) / 1e6
        #expect(try reader.workers().map(\.computeSeconds) == [3 * limit])
        #expect(try all(reader).map(\.computeMicroseconds) == Array(repeating: Wire.computeMicrosecondsMax, count: 3))
    }

    @Test func aCopyHasWhatStandsInTheLogToo() throws {
        let file = try RunFile.create(at: path, Self.description(), checkpoint: [9])
        for mask in 0..<32 { try file.record(Self.evaluation(mask)) }
        try file.commit()
        // The run is still active, as when its coordinator is killed: the evaluations are only in the log.
        #expect(file.log != nil)
        let reader = try RunFile.read(at: path)
        try reader.copy(to: "\(folder)/copy.winnow")
        #expect(failure { try reader.copy(to: "\(self.folder)/copy.winnow") }?.kind == .usage)
        let copy = try RunFile.resume(at: "\(folder)/copy.winnow")
        #expect(try all(copy) == (0..<32).map { Self.evaluation($0) })
        #expect(copy.description == file.description)
    }

    @Test func aFileWithoutItsLogMissesLittle() throws {
        let file = try RunFile.create(at: path, Self.description(), checkpoint: [9])
        for mask in 0..<32 { try file.record(Self.evaluation(mask)) }
        try file.commit()
        file.shortenLog()
        try FileManager.default.copyItem(atPath: path, toPath: "\(folder)/alone.winnow")
        #expect(try RunFile.read(at: "\(folder)/alone.winnow").evaluationCount() == 32)
    }

    @Test func statusTellsPeopleAndPrograms() throws {
        let file = try RunFile.create(at: path, Self.description(), checkpoint: [9])
        let life = try file.beginLife(at: Date(milliseconds: 1_700_000_000_000))
        for mask in 0..<32 { try file.record(Self.evaluation(mask)) }
        try file.commit()
        // A minute after they were recorded.
        let status = try RunStatus(RunFile.read(at: path), at: Date(milliseconds: 1_700_000_060_000))
        #expect(status.state == .running && status.resume == nil)
        #expect(status.masksPerSecond.map { abs($0 - 32.0 / 60) < 1e-9 } == true)
        #expect(status.secondsLeft.map { abs($0 - 68 / (32.0 / 60)) < 1e-6 } == true)
        // Copying the file requires knowing about its log.
        #expect(status.text.contains("\(path)-wal: copy both files"))
        try file.endLife(life, at: Date(), "interrupted")
        file.finish()
        #expect(try !RunStatus(RunFile.read(at: path)).text.contains("-wal"))
    }

    @Test func aFileSystemThatCannotLockIsNotAnotherCoordinator() {
        #expect(FileLock.refusal(EAGAIN) == .taken && FileLock.refusal(EACCES) == .taken)
        for code in [ENOLCK, EOPNOTSUPP, EINVAL, EIO] { #expect(FileLock.refusal(code) == .unsupported) }
        #expect(FileLock.unsupported(path).description.contains("put the run file on a local disk"))
        func error(_ code: Int32) -> DatabaseError {
            DatabaseError(operation: "set up", path: path, code: code, message: "")
        }
        #expect(FileLock.isUnsupported(error(10)) && FileLock.isUnsupported(error(15)))
        // On a local disk a reader may be busy.
        #expect(!FileLock.isUnsupported(error(5)))
        #expect(FileSystem.networkKind(of: folder) == nil)
    }

    @Test func theOptionsOfARunAreRemembered() throws {
        let file = try RunFile.create(at: path, Self.description(), checkpoint: [])
        #expect(try file.rememberedOptions() == nil)
        guard
            case .command(let command) = try coordinatorProgram.parse([
                "run", "--model", "m", "--data", "d", "--masks", "9", "--run", path, "--bind", "tcp://127.0.0.1:0",
                "--insecure", "--report", "/r", "--admit", "/a", "--admit", "/b", "--http", "127.0.0.1:0",
            ])
        else { return }
        try file.remember(
            Resume.options(of: command, listeningAt: "tcp://127.0.0.1:5", pageAt: "127.0.0.1:6"))
        let words = try #require(try RunFile.read(at: path).rememberedOptions()).words
        // What decides the run is in its description.
        #expect(!words.contains("--model") && !words.contains("--masks") && !words.contains("--run"))
        guard case .command(let later) = try coordinatorProgram.parse(["resume", "--run", path] + words) else { return }
        let resume = try #require(later as? Resume)
        #expect(resume.cluster.bind == "tcp://127.0.0.1:5")
        #expect(resume.cluster.admit == ["/a", "/b"] && resume.cluster.insecure)
        #expect(resume.report == "/r" && resume.livePage.http == "127.0.0.1:6")
        #expect(RunFile.resumeCommand("a b") == "winnow-coordinator resume --run 'a b'")
    }

    @Test func theFirstEvaluationOfAMaskIsKept() throws {
        let file = try RunFile.create(at: path, Self.description(), checkpoint: [])
        #expect(try file.record(Self.evaluation(4, lossSum: 10)))
        #expect(try !file.record(Self.evaluation(4, lossSum: 11)))
        try file.commit()
        #expect(try all(file).map(\.evaluation.lossSum) == [10])
        try file.discard(masks: [4])
        #expect(try file.record(Self.evaluation(4, lossSum: 12)))
        #expect(try all(file).map(\.evaluation.lossSum) == [12])
    }

    @Test func whatWasNotCommittedIsGoneAfterTheOwnerIs() throws {
        do {
            let file = try RunFile.create(at: path, Self.description(), checkpoint: [])
            try file.record(Self.evaluation(1))
            try file.commit()
            try file.record(Self.evaluation(2))
        }
        #expect(try all(RunFile.resume(at: path)).map(\.mask) == [1])
    }

    @Test func livesAreNumberedAndRemembered() throws {
        let file = try RunFile.create(at: path, Self.description(), checkpoint: [])
        #expect(try file.beginLife(at: Date(milliseconds: 1000)) == 1)
        try file.endLife(1, at: Date(milliseconds: 2000), "interrupted")
        #expect(try file.beginLife(at: Date(milliseconds: 3000)) == 2)
        let lives = try file.lives()
        #expect(lives.map(\.ending) == ["interrupted", nil])
        #expect(lives.map(\.started.milliseconds) == [1000, 3000])
    }

    @Test func aWorkerKeepsItsNumberAndLeasesTheirHistory() throws {
        let file = try RunFile.create(at: path, Self.description(), checkpoint: [])
        let hello = WorkerMessage.Hello(
            worker: .random(), incarnation: 1, host: "a", threads: 2, instructionSet: "AVX2", programVersion: "0.1.0")
        var again = hello
        again.host = "b"
        let number = try file.register(hello, at: Date(milliseconds: 1))
        #expect(try file.register(again, at: Date(milliseconds: 2)) == number)
        try file.record(Self.evaluation(3, worker: number))
        let lease = LeaseID(life: 1, number: 1)
        try file.recordLease(lease, worker: number, masks: MaskRuns([3, 4, 5, 9]), at: Date(milliseconds: 5))
        try file.recordLease(
            LeaseID(life: 1, number: 2), worker: number, masks: MaskRuns([6]), at: Date(milliseconds: 6))
        try file.endLease(lease, "answered", at: Date(milliseconds: 8))
        try file.dismiss(worker: number, "wrong answers")
        try file.setAside(mask: 7, "killed three workers")
        try file.commit()
        let workers = try file.workers()
        #expect(workers.map(\.host) == ["b"])
        #expect(workers.map(\.evaluations) == [1])
        #expect(workers.map(\.dismissed) == ["wrong answers"])
        #expect(try file.leases().map(\.masks.stored) == ["3-5,9", "6"])
        #expect(try file.leases().map(\.outcome) == ["answered", nil])
        #expect(try file.leases(atMost: 1).count == 1)
        #expect(try file.masksSetAside().map(\.mask) == [7])
    }

    @Test func aStoryTellsWhatHappenedInOrder() throws {
        let file = try RunFile.create(at: path, Self.description(), checkpoint: [])
        let life = try file.beginLife(at: Date(milliseconds: 0))
        let lease = LeaseID(life: life, number: 1)
        try file.recordLease(lease, worker: 1, masks: MaskRuns(2...5), at: Date(milliseconds: 1))
        try file.endLease(lease, "taken back: it was silent", at: Date(milliseconds: 5))
        let occurrence = Scheduler.Occurrence(masks: MaskRuns([4]), what: "set aside")
        try file.remember(occurrence, worker: nil, life: life, at: Date(milliseconds: 6))
        let late = Scheduler.Occurrence(lease: lease, masks: MaskRuns([2, 3]), what: "answered late")
        try file.remember(late, worker: 1, life: life, at: Date(milliseconds: 7))
        try file.record(Self.evaluation(3))
        try file.endLife(life, at: Date(milliseconds: 9), "complete")
        func story(_ subject: RunFile.StorySubject) throws -> [String] {
            var lines: [String] = []
            try RunFile.read(at: path).forEachStoryEntry(of: subject) { lines.append($0.what) }
            return lines
        }
        let frame = (begin: "life 1 of the coordinator began", end: "life 1 of the coordinator ended: complete")
        let all = ["granted", "taken back: it was silent", "set aside", "answered late"]
        #expect(try story(.everything) == [frame.begin] + all + [frame.end])
        #expect(try story(.lease(lease)) == [frame.begin, all[0], all[1], all[3], frame.end])
        #expect(try story(.worker(1)) == [frame.begin, all[0], all[1], all[3], frame.end])
        #expect(try story(.mask(4)) == [frame.begin, all[0], all[1], all[2], frame.end])
        #expect(try story(.mask(3)).last == "recorded: loss 0.000000, 3 correct")
        #expect(try story(.mask(9)) == [frame.begin, frame.end])
    }

    @Test func aStandstillIsToldUntilTheNextLife() throws {
        let file = try RunFile.create(at: path, Self.description(), checkpoint: [])
        try file.setStandstill("no worker has connected")
        try file.commit()
        #expect(try RunFile.read(at: path).standstill() == "no worker has connected")
        _ = try file.beginLife(at: Date())
        #expect(try file.standstill() == nil)
    }

    @Test func aFileOfTheFirstVersionIsReadAndGoesOn() throws {
        do {
            let file = try RunFile.create(at: path, Self.description(), checkpoint: [])
            try file.record(Self.evaluation(3))
            try file.commit()
            try file.database.execute(
                """
                DROP TABLE occurrence; ALTER TABLE evaluation DROP COLUMN checksum; ALTER TABLE worker DROP COLUMN key;
                ALTER TABLE worker DROP COLUMN address; DELETE FROM meta WHERE key = 'description digest';
                PRAGMA user_version = 1
                """, "age")
        }
        #expect(try all(RunFile.read(at: path)).map(\.mask) == [3])
        try RunFile.read(at: path).forEachStoryEntry(of: .everything) { _ in }
        let file = try RunFile.resume(at: path)
        #expect(try all(file).map(\.mask) == [3])
        try file.remember(.init(what: "joined"), worker: nil, life: 1, at: Date())
        try file.commit()
    }

    @Test func aChangedBitInAnEvaluationIsNoticedAndItsMaskIsDoneAgain() throws {
        for column in ["mask", "loss_sum", "correct", "images", "worker", "recorded_ms", "compute_us", "checksum"] {
            unlink(path)
            do {
                let file = try RunFile.create(at: path, Self.description(), checkpoint: [])
                for mask in [3, 8, 20] { try file.record(Self.evaluation(mask)) }
                try file.commit()
                try file.database.execute("UPDATE evaluation SET \(column) = \(column) + 1 WHERE mask = 8", "damage")
                file.finish()
            }
            let failure = failure { _ = try self.all(RunFile.read(at: path)) }
            #expect(failure?.kind == .badInput)
            #expect(failure?.description.contains("resume") == true)
            #expect(try all(RunFile.resume(at: path)).map(\.mask) == [3, 20])
        }
    }

    @Test func aChangedBitInTheNetworkOrTheDescriptionIsNoticed() throws {
        let checkpoint = [UInt8](repeating: 1, count: 5000)
        for (change, what) in [
            ("UPDATE meta SET value = zeroblob(5000) WHERE key = 'checkpoint'", "network"),
            ("UPDATE meta SET value = replace(value, '0.1.0', '0.1.1') WHERE key = 'description'", "description"),
        ] {
            unlink(path)
            do {
                let file = try RunFile.create(
                    at: path, Self.description(checkpoint: checkpoint), checkpoint: checkpoint)
                try file.database.execute(change, "damage")
                file.finish()
            }
            for open in [RunFile.read(at:), RunFile.resume(at:)] {
                let failure = failure { _ = try open(path).checkpoint() }
                #expect(failure?.kind == .badInput)
                #expect(failure?.description.contains("its \(what)") == true || what == "network")
                #expect(failure?.description.contains("damaged") == true)
            }
        }
    }

    @Test func noFlippedBitChangesWhatIsReadInSilence() throws {
        let checkpoint = (0..<3000).map { UInt8(truncatingIfNeeded: $0 &* 37) }
        let description = try Self.description(checkpoint: checkpoint)
        do {
            let file = try RunFile.create(at: path, description, checkpoint: checkpoint)
            for mask in 0..<60 { try file.record(Self.evaluation(mask, lossSum: Int64(mask) << 30)) }
            try file.commit()
            file.finish()
        }
        let whole = try Data(contentsOf: URL(fileURLWithPath: path))
        let evaluations = try all(RunFile.read(at: path))
        for bit in stride(from: 0, to: whole.count * 8, by: 977) {
            var bytes = whole
            bytes[bit / 8] ^= 1 << UInt8(bit % 8)
            try bytes.write(to: URL(fileURLWithPath: path))
            // Whatever is read equals what was written; anything else is missing, or an error.
            guard let file = try? RunFile.read(at: path), let read = try? file.checkpoint() else { continue }
            #expect(read == checkpoint)
            #expect(file.description == description)
            guard let found = try? all(file) else { continue }
            for item in found { #expect(evaluations[item.mask] == item) }
        }
    }

    @Test func aFileThatIsMovedOrDeletedIsNoticed() throws {
        let file = try RunFile.create(at: path, Self.description(), checkpoint: [])
        #expect(!file.wasMoved)
        rename(path, path + "2")
        #expect(file.wasMoved)
        rename(path + "2", path)
        #expect(!file.wasMoved)
        unlink(path)
        #expect(file.wasMoved)
    }

    @Test func theTableOfLeasesKnowsWhoHadWhat() throws {
        let file = try RunFile.create(at: path, Self.description(), checkpoint: [])
        let hello = WorkerMessage.Hello(
            worker: WorkerID(high: 3, low: 4), incarnation: 1, host: "h", threads: 1, instructionSet: "plain",
            programVersion: "1")
        let origin = Origin(key: "k", address: "10.0.0.1")
        let worker = try file.register(hello, from: origin, at: Date())
        let lease = LeaseID(life: 2, number: 7)
        try file.recordLease(lease, worker: worker, masks: MaskRuns([1, 2, 3, 9]), at: Date())
        let known = try file.grantedLease(lease)
        #expect(known?.worker == hello.worker)
        #expect(known?.masks == MaskRuns([1, 2, 3, 9]))
        #expect(try file.grantedLease(LeaseID(life: 2, number: 8)) == nil)
        #expect(try file.workerIdentities()[worker]?.origin == origin)
    }

    @Test func masksAreReadOnlyAsTheyAreWritten() {
        #expect(MaskRuns(stored: "1-3,7") == MaskRuns([1, 2, 3, 7]))
        for text in ["", "-", "3-1", "1-2-3", "a", "1,,2", "0-9223372036854775807", "5,4", "1-3,3"] {
            #expect(MaskRuns(stored: text) == nil)
        }
    }

    @Test func aSecondCoordinatorIsRefused() throws {
        let file = try RunFile.create(at: path, Self.description(), checkpoint: [])
        #expect(failure { _ = try RunFile.resume(at: path) }?.kind == .unavailable)
        #expect(try file.evaluationCount() == 0)
    }

    @Test func anExistingFileIsNeverOverwritten() throws {
        _ = FileManager.default.createFile(atPath: path, contents: Data("mine".utf8))
        #expect(failure { _ = try RunFile.create(at: path, Self.description(), checkpoint: []) }?.kind == .badInput)
        #expect(FileManager.default.contents(atPath: path) == Data("mine".utf8))
    }

    @Test func aFileThatIsNotOneIsNamed() throws {
        _ = FileManager.default.createFile(atPath: path, contents: Data(repeating: 65, count: 5000))
        let failure = failure { _ = try RunFile.resume(at: path) }
        #expect(failure?.kind == .badInput)
        #expect(failure?.description.contains("not a run file") == true)
        #expect(self.failure { _ = try RunFile.read(at: "\(folder)/none") }?.kind == .badInput)
    }

    @Test(arguments: [1, 100, 4096, 9000])
    func aFileCutShortIsNamed(bytes: Int) throws {
        do {
            let checkpoint = [UInt8](repeating: 1, count: 20_000)
            let file = try RunFile.create(at: path, Self.description(checkpoint: checkpoint), checkpoint: checkpoint)
            file.finish()
        }
        truncate(path, bytes)
        let failure = failure { _ = try RunFile.resume(at: path) }
        #expect(failure?.kind == .badInput)
    }

    @Test func aNewerFormatIsRefused() throws {
        do {
            let file = try RunFile.create(at: path, Self.description(), checkpoint: [])
            try file.database.execute("PRAGMA user_version = 99", "change")
        }
        #expect(failure { _ = try RunFile.resume(at: path) }?.description.contains("newer release") == true)
    }

    @Test func aRowThatDoesNotFitTheRunIsNamed() throws {
        let file = try RunFile.create(at: path, Self.description(), checkpoint: [])
        try file.record(Self.evaluation(100))
        try file.commit()
        #expect(failure { _ = try self.all(file) }?.kind == .badInput)
    }

    @Test func aFullDiskLeavesTheFileWhole() throws {
        let file = try RunFile.create(at: path, Self.description(masks: 100_000), checkpoint: [])
        try file.record(Self.evaluation(1))
        try file.commit()
        // SQLite's own limit gives the same error as a full disk.
        let pages = try file.database.number("PRAGMA page_count", "read") ?? 0
        try file.database.execute("PRAGMA max_page_count = \(pages + 2)", "limit")
        let failure = failure {
            for mask in 2..<100_000 { try file.record(Self.evaluation(mask)) }
            try file.commit()
        }
        #expect(failure?.kind == .unavailable)
        #expect(failure?.description.contains("no space") == true)
        try? file.database.execute("ROLLBACK", "")
        #expect(try all(RunFile.read(at: path)).map(\.mask) == [1])
    }

    @Test func aFinishedFileIsOneFile() throws {
        let file = try RunFile.create(at: path, Self.description(), checkpoint: [])
        try file.record(Self.evaluation(1))
        try file.commit()
        file.finish()
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder) == ["run.winnow"])
        #expect(try all(RunFile.read(at: path)).count == 1)
    }
}
