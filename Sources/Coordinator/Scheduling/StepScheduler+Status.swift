import Shared

/// What people and tests are told of the steps.
extension StepScheduler {
    /// Whether workers compute tasks about networks, which may take as long as they need.
    var isAnsweringQuestions: Bool { training == nil && !leases.isEmpty }

    /// Workers that are ready.
    var readyCount: Int { peers.values.count { workers[$0].stage == .ready } }

    /// Why nothing progresses, in plain words, or nil while workers compute.
    func whyIdle(at moment: Moment) -> String? {
        let connected = workers.filter { $0.peer != nil }
        guard !connected.isEmpty else {
            let since = roster.lastWorkerGoneAt ?? roster.startedAt
            return "no worker has been connected for \(max(0, moment - since) / 1000) s"
        }
        let who = connected.count == 1 ? "the only worker is" : "all \(connected.count) workers are"
        if connected.allSatisfy({ $0.stage == .greeted }) { return "\(who) fetching the network and the images" }
        if connected.allSatisfy({ $0.stage == .leaving }) { return "\(who) leaving" }
        let ready = connected.filter { $0.stage == .ready }
        if ready.allSatisfy({ $0.isOverdue }) { return "\(who) past a deadline; stop and restart them" }
        if ready.allSatisfy({ $0.blockedSince != nil }) { return "\(who) not reading what is sent" }
        return nil
    }

    /// How the scheduler contradicts itself, or nil. O(shares + leases + workers): for tests.
    func brokenInvariant() -> String? {
        for (index, share) in shares.enumerated() {
            let isHeld = !share.holders.isEmpty
            if share.answer != nil, isHeld { return "share \(index): answered and held" }
            if isOver { continue }
            let count = waiting.count { $0 == index }
            if share.answer == nil, (count == 1) == isHeld { return "share \(index): waits or somebody has it" }
            if share.answer != nil, count > 0 { return "share \(index): answered and waits" }
            if share.holders.count > policy.copiesMax { return "share \(index): held too often" }
            for number in share.holders where leases[number]?.share != index {
                return "share \(index): held by no lease"
            }
        }
        if shares.count(where: { $0.answer == nil }) != openCount { return "open shares are not counted" }
        for (number, lease) in leases {
            if workers[lease.worker].peer == nil { return "lease \(number): its worker is gone" }
            if !workers[lease.worker].leases.contains(number) { return "lease \(number): its worker does not know" }
        }
        if workers.reduce(0, { $0 + $1.leases.count }) != leases.count { return "a worker has a lease that is closed" }
        for (index, worker) in workers.enumerated() {
            if let peer = worker.peer, peers[peer] != index { return "worker \(index): not found by its peer" }
            if worker.dismissed != nil, worker.peer != nil { return "worker \(index): dismissed and connected" }
        }
        return nil
    }
}
