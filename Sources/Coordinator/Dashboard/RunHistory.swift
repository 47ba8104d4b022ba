import Foundation
import Shared

/// Turns the scheduler's state of each second into snapshots for readers: adds the rates, the curve over time, and the
/// workers that are gone.
struct RunHistory {
    /// The most points of the throughput curve; beyond that pairs are merged, so a long run keeps its whole curve.
    static let pointsMax = 600
    /// The most former workers to show.
    static let goneMax = 100

    private let description: RunSnapshot
    private var throughput: [RunSnapshot.Throughput] = []
    private var pointSeconds = 1.0
    private var pointStart: Double?
    private var firstRecorded: Int?
    private var connected: [Scheduler.Snapshot.Worker] = []
    private var connectedAt = 0.0
    private var rate = WorkRate()
    /// Former workers in their last state, the latest first.
    private var gone: [(id: WorkerID, row: RunSnapshot.Worker)] = []

    /// Starts with the constant data: model, data, run file, seed, images per mask, and when the run started.
    init(_ description: RunSnapshot) {
        self.description = description
    }

    /// The snapshot for readers. `time` is in seconds since 1970 and monotonic. O(workers).
    mutating func snapshot(
        of run: Scheduler.Snapshot, _ rate: WorkRate, phase: RunSnapshot.Phase, at time: Double
    ) -> RunSnapshot {
        if firstRecorded == nil { firstRecorded = run.recorded }
        self.rate = rate
        let masksPerSecond = phase == .running ? rate.masksPerSecond : 0
        note(masksPerSecond, at: time)
        var snapshot = description
        snapshot.phase = phase
        snapshot.time = time
        snapshot.masks = run.masks
        snapshot.masksRecorded = run.recorded
        snapshot.masksLeased = run.leased
        snapshot.masksSetAside = run.setAsideCount
        snapshot.evaluationsReceived = max(0, run.recorded - (firstRecorded ?? run.recorded))
        snapshot.evaluationsRepeated = run.figures.duplicates
        snapshot.leasesGranted = run.figures.leases
        snapshot.leasesRequeued = run.figures.released
        snapshot.masksPerSecond = masksPerSecond
        snapshot.imagesPerSecond = masksPerSecond * Double(description.imagesPerMask)
        if phase == .running { snapshot.secondsLeft = rate.secondsLeft }
        if phase == .running { snapshot.stall = run.whyIdle.map { $0.prefix(1).uppercased() + $0.dropFirst() + "." } }
        snapshot.throughput = throughput
        follow(run.workers, at: time)
        snapshot.workers = workers
        snapshot.workersConnected = run.workers.count
        return snapshot
    }

    private mutating func note(_ masksPerSecond: Double, at time: Double) {
        guard let start = pointStart else {
            pointStart = time
            return
        }
        guard time - start >= pointSeconds * 0.99 else { return }
        throughput.append(
            RunSnapshot.Throughput(time: time, imagesPerSecond: masksPerSecond * Double(description.imagesPerMask)))
        pointStart = time
        if throughput.count >= RunHistory.pointsMax {
            throughput = stride(from: 1, to: throughput.count, by: 2).map {
                RunSnapshot.Throughput(
                    time: throughput[$0].time,
                    imagesPerSecond: (throughput[$0 - 1].imagesPerSecond + throughput[$0].imagesPerSecond) / 2)
            }
            pointSeconds *= 2
        }
    }

    /// Updates who is connected, and records who no longer is.
    private mutating func follow(_ workers: [Scheduler.Snapshot.Worker], at time: Double) {
        if !workers.elementsEqual(connected, by: { $0.id == $1.id }) {
            let present = Set(workers.map(\.id))
            gone.removeAll { present.contains($0.id) }
            for worker in connected where !present.contains(worker.id) {
                let row = RunSnapshot.Worker(worker, imagesPerSecond: 0, at: connectedAt)
                gone.insert((worker.id, row.left), at: 0)
            }
            gone.removeLast(max(0, gone.count - RunHistory.goneMax))
        }
        (connected, connectedAt) = (workers, time)
    }

    private var workers: Rows<RunSnapshot.Worker> {
        let (connected, gone, rate, time) = (connected, gone.map(\.row), rate, connectedAt)
        let images = Double(description.imagesPerMask)
        return Rows(count: connected.count + gone.count) { place in
            guard place < connected.count else { return gone[place - connected.count] }
            let worker = connected[place]
            return RunSnapshot.Worker(worker, imagesPerSecond: rate.masksPerSecond(of: worker.id) * images, at: time)
        }
    }
}

extension RunSnapshot.Worker {
    /// A connected worker's row.
    fileprivate init(_ worker: Scheduler.Snapshot.Worker, imagesPerSecond: Double, at time: Double) {
        self.init(
            name: String("\(worker.id)".prefix(8)), host: worker.host, instructionSet: worker.instructionSet,
            threads: worker.threads, imagesPerSecond: imagesPerSecond,
            leases: worker.leases, evaluations: worker.evaluations,
            lastHeard: time - Double(worker.silentMilliseconds) / 1000, isConnected: true)
    }

    /// The row when the worker is gone.
    fileprivate var left: RunSnapshot.Worker {
        RunSnapshot.Worker(
            name: name, host: host, instructionSet: instructionSet, threads: threads, imagesPerSecond: 0, leases: 0,
            evaluations: evaluations, lastHeard: lastHeard, isConnected: false)
    }
}
