extension Scheduler {
    /// Stops the program where the scheduler contradicts itself. O(masks + leases + workers): for tests.
    public func checkInvariants() {
        checkMasks()
        checkLeases()
        checkWorkers()
    }

    private func checkMasks() {
        var found = [Int](repeating: 0, count: counts.count)
        for mask in phases.indices {
            let phase = phases[mask]
            found[Int(phase.rawValue)] += 1
            precondition(pending.contains(mask) == (phase == .pending), "mask \(mask): pending in both or neither")
            precondition(disputed.contains(mask) == (phase == .disputed), "mask \(mask): disputed in both or neither")
            let (first, second) = holders[mask]
            precondition((phase == .leased) == (first != 0), "mask \(mask): leased exactly while a lease holds it")
            precondition(second == 0 || (first != 0 && first != second), "mask \(mask): held by two leases")
            for number in [first, second] where number != 0 {
                precondition(leases[number]?.masks.contains(mask) == true, "mask \(mask): held by a lease that has it")
            }
            let voices = opinions[mask]?.count ?? 0
            switch phase {
            case .pending: precondition(voices == 0, "mask \(mask): pending without opinions")
            case .leased: break
            case .awaiting: precondition(voices == 1, "mask \(mask): awaits a second opinion")
            case .disputed: precondition(voices >= 2, "mask \(mask): disputed by two")
            case .recorded, .confirmed, .aside: precondition(voices == 0, "mask \(mask): settled")
            }
            if let known = opinions[mask] {
                precondition(Set(known.map(\.worker)).count == known.count, "mask \(mask): an opinion each")
            }
        }
        precondition(found == counts, "counts are those of the phases")
        precondition(pending.count == count(.pending), "the pending set counts")
        // Nobody may forget a mask that waits for a second opinion.
        var queued = Set<Int>()
        for (first, masks) in awaiting {
            var masks = masks
            while let mask = masks.popFirst() {
                if opinions[mask]?.first?.worker == first { queued.insert(mask) }
            }
        }
        for mask in phases.indices where phases[mask] == .awaiting {
            precondition(queued.contains(mask), "mask \(mask): in the queue of its first opinion")
        }
    }

    private func checkLeases() {
        for (number, lease) in leases {
            let held = lease.masks.reduce(0) { $0 + (isHeld($1, by: number) ? 1 : 0) }
            precondition(held == lease.remaining, "lease \(number): \(held) masks held, \(lease.remaining) counted")
            precondition(held > 0, "lease \(number): open while a mask is wanted")
            precondition(workers[lease.worker].leases.contains(number), "lease \(number): its worker has it")
            precondition(workers[lease.worker].peer != nil, "lease \(number): its worker is connected")
            precondition(lease.grantedAt <= now && lease.deadline > lease.grantedAt, "lease \(number): in time")
        }
    }

    private func checkWorkers() {
        var ready = 0
        var connected = 0
        var hungryCopy = hungry
        var parkedCopy = parked
        var queued = Set<Int>()
        while let worker = hungryCopy.popFirst() { queued.insert(worker) }
        while let worker = parkedCopy.popFirst() { queued.insert(worker) }
        for (index, worker) in workers.enumerated() {
            precondition(indices[worker.id] == index, "worker \(index): found by its identity")
            precondition(worker.queued == queued.contains(index), "worker \(index): queued in both or neither")
            for number in worker.leases {
                precondition(leases[number]?.worker == index, "worker \(index): its leases are open")
            }
            precondition(worker.leases.count <= policy.leasesPerWorker, "worker \(index): few leases")
            guard let peer = worker.peer else { continue }
            connected += 1
            precondition(worker.dismissed == nil, "worker \(index): dismissed and connected")
            precondition(peers[peer] == index, "worker \(index): found by its peer")
            if worker.stage == .ready { ready += 1 }
        }
        precondition(ready == readyCount, "ready workers are counted")
        precondition(connected == peers.count, "every peer is a worker's")
        precondition(connected <= policy.workersMax, "no more workers than allowed")
        precondition(outcome == nil || leases.isEmpty, "no lease after the end")
    }
}
