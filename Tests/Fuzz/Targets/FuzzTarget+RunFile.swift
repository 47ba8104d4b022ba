import Foundation
import Shared
import TestSupport

@testable import Coordinator

extension FuzzTarget {
    /// A whole file, or a sound one with values inserted into any of its columns; then all code that reads a run file.
    func runFile(_ bytes: [UInt8]) throws {
        let path = SoundRunFile.file.path
        if bytes.starts(with: Array("SQLite".utf8)) {
            SoundRunFile.file.write(bytes)
        } else {
            SoundRunFile.file.write(SoundRunFile.bytes)
            try RunFile.translated { try Self.damage(path, as: bytes) }
        }
        do {
            let file = try RunFile.read(at: path)
            _ = try (file.workers(), file.lives(), file.masksSetAside(), file.standstill(), file.evaluationCount())
            try file.forEachStoryEntry(of: .everything) { _ in }
            try file.forEachStoryEntry(of: .mask(3)) { _ in }
            let report = try Report(RunRecord(file))
            precondition(!report.summary(lines: 3).isEmpty, "a report says something")
        } catch let failure as Failure where failure.kind == .badInput {}
        try resume(path)
    }

    /// The work of `resume` before it listens.
    private func resume(_ path: String) throws {
        let file = try RunFile.resume(at: path)
        let network = try Checkpoint.network(bytes: file.checkpoint(), name: "the network")
        try file.description.check(against: FilterSpace(network.graph))
        guard let run = file.description.runID else { preconditionFailure("a checked description has an identity") }
        let life = try file.beginLife(at: Date(timeIntervalSince1970: 1))
        let ensemble = file.description.ensemble
        let blob = CoordinatorMessage.Blob(digest: Digest(sha256Of: []), size: 0)
        let welcome = CoordinatorMessage.Welcome(
            run: run, life: life,
            work: .masks(
                MaskWork(
                    settings: file.description.settings, network: blob, images: blob, filters: ensemble.filterCount,
                    masks: ensemble.count, ensemble: [], sample: blob.digest)))
        var scheduler = Scheduler(welcome: welcome, at: Moment(milliseconds: 0))
        let identities = try file.workerIdentities()
        try file.forEachEvaluation {
            let known = identities[$0.worker]
            scheduler.restore(mask: $0.mask, by: known?.worker, from: known?.origin)
        }
        scheduler.checkInvariants()
        precondition(scheduler.recordedCount == (try? file.evaluationCount()), "every evaluation is restored")
    }

    /// Columns as `table.column`, and a row's place.
    private static let columns = [
        "meta.value", "meta.key", "evaluation.mask", "evaluation.loss_sum", "evaluation.correct", "evaluation.images",
        "evaluation.worker", "evaluation.recorded_ms", "evaluation.compute_us", "evaluation.checksum", "set_aside.mask",
        "set_aside.reason",
        "worker.id", "worker.identity", "worker.host", "worker.threads", "worker.instruction_set", "worker.version",
        "worker.joined_ms", "worker.dismissed", "worker.key", "worker.address", "lease.life", "lease.number",
        "lease.worker", "lease.masks",
        "lease.granted_ms", "lease.ended_ms", "lease.outcome", "life.number", "life.started_ms", "life.program",
        "life.ended_ms", "life.ending", "occurrence.at_ms", "occurrence.life", "occurrence.worker",
        "occurrence.lease_life", "occurrence.lease_number", "occurrence.masks", "occurrence.what",
    ]

    private static func damage(_ path: String, as bytes: [UInt8]) throws {
        let database = try Database(path: path, access: .write)
        try database.execute("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF", "damage")
        var input = FuzzInput(bytes)
        var steps = 0
        while !input.isEmpty, steps < 16 {
            steps += 1
            let names = columns[input.below(columns.count)].split(separator: ".")
            let (table, column) = (names[0], names[1])
            let row = input.below(16)
            let value: SQLValue
            switch input.below(5) {
            case 0: value = .null
            case 1: value = .integer(input.number())
            case 2: value = .real(Double(bitPattern: input.number()))
            case 3: value = .text(String(decoding: input.block(), as: UTF8.self))
            default: value = .blob(input.block())
            }
            // Keys and columns that must not be null refuse some values, as they do in a real file.
            let key = ["meta": "key", "lease": "life, number"][table] ?? "rowid"
            let sql = """
                UPDATE \(table) SET \(column) = ? WHERE (\(key)) = (SELECT \(key) FROM \(table) LIMIT 1 OFFSET \(row))
                """
            try? database.prepare(sql, "damage").run(value)
        }
    }
}

/// A small run with something in each table.
private enum SoundRunFile {
    static let file = ScratchFile("run")

    static let bytes: [UInt8] = {
        do { return try make() } catch { preconditionFailure("\(error)") }
    }()

    private static func make() throws -> [UInt8] {
        Self.file.remove()
        var generator = SeededGenerator(seed: 1)
        let network = Network.random(.residual(widths: [2, 3], blocksPerStage: 1), using: &generator)
        let checkpoint = Checkpoint.safetensors(of: network)
        let space = FilterSpace(network.graph)
        let ensemble = try Ensemble(.tree, of: space, scope: SamplingScope(dropRate: 0.25), masks: 16, seed: 3)
        let digest = Digest(sha256Of: checkpoint)
        let description = RunDescription(
            run: RunID(high: 1, low: 2).description, created: Date(timeIntervalSince1970: 1), program: "1",
            commandLine: ["run"],
            network: .init(path: "net", digest: digest, architecture: "ResNet-6", filters: space.count),
            data: .init(path: "data", images: digest, calibrationImages: nil),
            settings: EvaluationSettings(split: .train, images: 10, batchNorm: .frozen), ensemble: ensemble,
            masksDigest: ensemble.sample, verifiedShare: 0)
        let file = try RunFile.create(at: Self.file.path, description, checkpoint: checkpoint)
        let time = Date(timeIntervalSince1970: 2)
        let life = try file.beginLife(at: time)
        for low in 1...2 as ClosedRange<UInt64> {
            let hello = WorkerMessage.Hello(
                worker: WorkerID(high: 0, low: low), incarnation: 1, host: "h", threads: 1, instructionSet: "plain",
                programVersion: "1")
            _ = try file.register(hello, at: time)
        }
        for mask in 0..<12 {
            try file.record(
                RecordedEvaluation(
                    mask: mask, evaluation: Evaluation(lossSum: Int64(mask + 1) << 32, correct: mask % 10, images: 10),
                    worker: 1 + mask % 2, recorded: time, computeMicroseconds: 5))
        }
        for number in 1...3 as ClosedRange<UInt32> {
            let lease = LeaseID(life: life, number: number)
            let masks = MaskRuns(Int(number) * 4 - 4..<Int(number) * 4)
            try file.recordLease(lease, worker: 1, masks: masks, at: time)
            try file.endLease(lease, "answered", at: time)
            let occurrence = ClusterAction.Occurrence(lease: lease, masks: masks, what: "late")
            try file.remember(occurrence, worker: 1, life: life, at: time)
        }
        try file.setAside(mask: 13, "failed")
        try file.setStandstill("no workers")
        try file.endLife(life, at: time, "interrupted")
        file.finish()
        return try Self.file.bytes()
    }
}
