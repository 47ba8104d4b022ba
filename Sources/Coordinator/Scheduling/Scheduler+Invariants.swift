extension Scheduler {
    /// Stops the program if the scheduler contradicts itself. O(masks + leases + workers): for tests.
    public func checkInvariants() {
        if let broken = brokenInvariant() { preconditionFailure(broken) }
    }

    /// How the scheduler contradicts itself, or nil. O(masks + leases + workers).
    public func brokenInvariant() -> String? {
        do {
            try checkMasks()
            try checkLeases()
            try checkWorkers()
            return nil
        } catch {
            return error.description
        }
    }

    private func expect(_ holds: Bool, _ what: @autoclosure () -> String) throws(BrokenInvariant) {
        if !holds { throw BrokenInvariant(description: what()) }
    }

    private func checkMasks() throws(BrokenInvariant) {
        var found = [Int](repeating: 0, count: counts.count)
        for mask in phases.indices {
            let phase = phases[mask]
            found[Int(phase.rawValue)] += 1
            try expect(pending.contains(mask) == (phase == .pending), "mask \(mask): pending in both or neither")
            let isReserved = reservations[mask / policy.maskGroup] != nil
            try expect(
                unreserved.contains(mask) == (phase == .pending && !isReserved),
                "mask \(mask): reserved in both or neither")
            try expect(disputed.contains(mask) == (phase == .disputed), "mask \(mask): disputed in both or neither")
            try expect(suspects.contains(mask) == (phase == .suspect), "mask \(mask): suspect in both or neither")
            let (first, second) = holders[mask]
            try expect((phase == .leased) == (first != 0), "mask \(mask): leased exactly while a lease holds it")
            try expect(second == 0 || (first != 0 && first != second), "mask \(mask): held by two leases")
            for number in [first, second] where number != 0 {
                try expect(leases[number]?.masks.contains(mask) == true, "mask \(mask): held by a lease that has it")
            }
            let voices = opinions[mask]?.count ?? 0
            switch phase {
            case .pending, .suspect: try expect(voices == 0, "mask \(mask): pending without opinions")
            case .leased: break
            case .awaiting: try expect(voices == 1, "mask \(mask): awaits a second opinion")
            case .disputed: try expect(voices >= 2, "mask \(mask): disputed by two")
            case .recorded, .confirmed, .aside: try expect(voices == 0, "mask \(mask): settled")
            }
            if let known = opinions[mask] {
                try expect(Set(known.map(\.worker)).count == known.count, "mask \(mask): an opinion each")
            }
        }
        try expect(found == counts, "counts are those of the phases")
        try expect(pending.count == count(.pending), "the pending set counts")
        try expect(Set(knownMasks.keys).count == knownOrder.count, "known masks are kept in order")
        try expect(knownMasks.keys.allSatisfy { phases[$0] == .confirmed }, "known masks are confirmed")
        // Nobody may forget a mask that waits for a second opinion.
        var queued = Set<Int>()
        for (first, masks) in awaiting {
            var masks = masks
            while let mask = masks.popFirst() {
                if opinions[mask]?.first?.witness == first { queued.insert(mask) }
            }
        }
        for mask in phases.indices where phases[mask] == .awaiting {
            try expect(queued.contains(mask), "mask \(mask): in the queue of its first opinion")
        }
    }

    private func checkLeases() throws(BrokenInvariant) {
        for (number, lease) in leases {
            let held = lease.masks.reduce(0) { $0 + (isHeld($1, by: number) ? 1 : 0) }
            try expect(held == lease.remaining, "lease \(number): \(held) masks held, \(lease.remaining) counted")
            try expect(held > 0, "lease \(number): open while a mask is wanted")
            try expect(workers[lease.worker].leases.contains(number), "lease \(number): its worker has it")
            try expect(workers[lease.worker].peer != nil, "lease \(number): its worker is connected")
            try expect(lease.grantedAt <= now && lease.deadline > lease.grantedAt, "lease \(number): in time")
        }
    }

    private func checkWorkers() throws(BrokenInvariant) {
        var ready = 0
        var connected = 0
        var able = 0
        var hungryCopy = hungry
        var parkedCopy = parked
        var queued = Set<Int>()
        while let worker = hungryCopy.popFirst() { queued.insert(worker) }
        while let worker = parkedCopy.popFirst() { queued.insert(worker) }
        for (index, worker) in workers.enumerated() {
            try expect(roster.indices[worker.id] == index, "worker \(index): found by its identity")
            try expect(worker.queued == queued.contains(index), "worker \(index): queued in both or neither")
            for number in worker.leases {
                try expect(leases[number]?.worker == index, "worker \(index): its leases are open")
            }
            try expect(worker.leases.count <= policy.leasesPerWorker, "worker \(index): few leases")
            guard let peer = worker.peer else { continue }
            connected += 1
            try expect(worker.dismissed == nil, "worker \(index): dismissed and connected")
            try expect(peers[peer] == index, "worker \(index): found by its peer")
            if worker.stage == .ready, !isReferee(index) { ready += 1 }
            if worker.stage == .ready, !isReferee(index), !worker.overdue { able += 1 }
            try expect(
                outcome != nil || pending.isEmpty || isReferee(index) || !wants(index),
                "worker \(index): idle while masks are pending")
            try expect(worker.restsUntil == nil || resting.contains(index), "worker \(index): rests in both or neither")
        }
        for (group, worker) in reservations {
            try expect(workers[worker].group == group, "group \(group): its worker knows")
            try expect(wants(worker) || !workers[worker].leases.isEmpty, "group \(group): its worker works")
        }
        try expect(workers.count { $0.group != nil } == reservations.count, "no group without a reservation")
        try expect(ready == readyCount, "ready workers are counted")
        try expect(readyByPlace.values.reduce(0, +) == able, "able workers are counted by place")
        try expect(
            readyByPlace.keys.allSatisfy { readyByWitness[places[$0].witness] != nil }, "and by witness")
        try expect(connected == peers.count, "every peer is a worker's")
        try expect(connected <= policy.limits.workersMax, "no more workers than allowed")
        try expect(outcome == nil || leases.isEmpty, "no lease after the end")
    }
}

/// What does not hold.
private struct BrokenInvariant: Error {
    let description: String
}
