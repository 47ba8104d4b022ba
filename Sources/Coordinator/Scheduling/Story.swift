import Shared

/// What happened, newest last, in bounded memory.
struct Story: Sendable {
    /// One thing that happened. Workers are named by their number in the scheduler.
    enum Event: Sendable {
        case joined(worker: Int, peer: Peer)
        case ready(worker: Int)
        case lost(worker: Int, reason: String)
        case granted(lease: UInt32, worker: Int, masks: MaskRuns, copyOf: UInt32?)
        case answered(lease: UInt32, worker: Int, masks: MaskRuns)
        case lateAnswer(lease: LeaseID, worker: Int, count: Int)
        case released(lease: UInt32, worker: Int, masks: MaskRuns, reason: String)
        case failed(mask: Int, worker: Int, reason: String)
        case disputed(mask: Int, worker: Int)
        case recorded(mask: Int, worker: Int)
        case retracted(masks: MaskRuns, worker: Int)
        case setAside(mask: Int, reason: String)
        case dismissed(worker: Int, reason: String)
    }

    private var entries: [(at: Moment, event: Event)] = []
    private var oldest = 0
    private let limit: Int

    /// A story of at most so many entries.
    init(limit: Int) { self.limit = max(1, limit) }

    mutating func append(_ event: Event, at moment: Moment) {
        if entries.count < limit {
            entries.append((moment, event))
        } else {
            entries[oldest] = (moment, event)
            oldest = (oldest + 1) % limit
        }
    }

    /// The entries that match, oldest first. O(entries).
    func entries(where matches: (Event) -> Bool) -> [(at: Moment, event: Event)] {
        (0..<entries.count).map { entries[(oldest + $0) % entries.count] }.filter { matches($0.event) }
    }
}

extension Story.Event {
    /// Whether it is about a mask.
    func isAbout(mask: Int) -> Bool {
        switch self {
        case .granted(_, _, let masks, _), .answered(_, _, let masks), .released(_, _, let masks, _),
            .retracted(let masks, _):
            masks.contains(mask)
        case .failed(let other, _, _), .disputed(let other, _), .recorded(let other, _), .setAside(let other, _):
            other == mask
        default: false
        }
    }

    /// Whether it is about a lease.
    func isAbout(lease: LeaseID, life: UInt32) -> Bool {
        switch self {
        case .granted(let number, _, _, let copied):
            lease.life == life && (number == lease.number || copied == lease.number)
        case .answered(let number, _, _), .released(let number, _, _, _): lease == LeaseID(life: life, number: number)
        case .lateAnswer(let other, _, _): other == lease
        default: false
        }
    }

    /// The worker that it is about.
    var worker: Int? {
        switch self {
        case .joined(let worker, _), .ready(let worker), .lost(let worker, _), .granted(_, let worker, _, _),
            .answered(_, let worker, _), .lateAnswer(_, let worker, _), .released(_, let worker, _, _),
            .failed(_, let worker, _), .disputed(_, let worker), .recorded(_, let worker), .retracted(_, let worker),
            .dismissed(let worker, _):
            worker
        case .setAside: nil
        }
    }

    /// For people; `name` names a worker.
    func text(life: UInt32, name: (Int) -> String) -> String {
        func lease(_ number: UInt32) -> String { "lease \(life).\(number)" }
        switch self {
        case .joined(let worker, let peer): return "\(name(worker)) joined as \(peer)"
        case .ready(let worker): return "\(name(worker)) is ready"
        case .lost(let worker, let reason): return "\(name(worker)) is gone: \(reason)"
        case .granted(let number, let worker, let masks, let copied):
            let origin = copied.map { ", a copy of \(lease($0))" } ?? ""
            return "\(lease(number)) of masks \(masks) granted to \(name(worker))\(origin)"
        case .answered(let number, let worker, let masks):
            return "\(name(worker)) answered \(lease(number)) of masks \(masks)"
        case .lateAnswer(let lease, let worker, let count):
            return "\(name(worker)) answered lease \(lease), no longer open, with \(count) evaluations"
        case .released(let number, let worker, let masks, let reason):
            return "\(lease(number)) of masks \(masks) taken from \(name(worker)): \(reason)"
        case .failed(let mask, let worker, let reason):
            return "\(name(worker)) could not evaluate mask \(mask): \(reason)"
        case .disputed(let mask, let worker): return "\(name(worker)) disagrees about mask \(mask)"
        case .recorded(let mask, let worker): return "mask \(mask) recorded, evaluated by \(name(worker))"
        case .retracted(let masks, let worker): return "masks \(masks) by \(name(worker)) are evaluated again"
        case .setAside(let mask, let reason): return "mask \(mask) set aside: \(reason)"
        case .dismissed(let worker, let reason): return "\(name(worker)) dismissed: \(reason)"
        }
    }
}
