import Shared

extension Scheduler {
    /// Masks that a worker has until a deadline.
    struct Lease: Sendable {
        let worker: Int
        let masks: MaskRuns
        /// Its masks that are still wanted from it.
        var remaining: Int
        let grantedAt: Moment
        /// When a worker of its speed would answer.
        let expectedAt: Moment
        let deadline: Moment
    }

    // MARK: - Granting

    /// Puts a worker into the queue for leases if it may have more.
    mutating func queue(_ worker: Int) {
        guard !workers[worker].queued, wants(worker) else { return }
        workers[worker].queued = true
        hungry.append(worker)
    }

    /// Whether a worker could have another lease.
    func wants(_ worker: Int) -> Bool {
        let worker = workers[worker]
        return worker.peer != nil && worker.stage == .ready && !worker.overdue
            && worker.leases.count < policy.leasesPerWorker
    }

    /// Grants what there is to whoever wants it.
    mutating func dispatch() {
        if workAppeared {
            workAppeared = false
            while let worker = parked.popFirst() { hungry.append(worker) }
        }
        while let worker = hungry.popFirst() {
            while wants(worker), let masks = choose(for: worker) { grant(masks, to: worker, copyOf: nil) }
            if wants(worker) { parked.append(worker) } else { workers[worker].queued = false }
        }
        // Sorting all leases is dear, so it is done only when nothing else is left and seldom.
        guard !parked.isEmpty, pending.isEmpty, now - stragglersCheckedAt >= Self.stragglersEvery else { return }
        stragglersCheckedAt = now
        copyStragglers()
    }

    private static let stragglersEvery: Int64 = 250

    /// Masks for a worker's next lease, or nil where none is left for it.
    private mutating func choose(for worker: Int) -> MaskRuns? {
        let size = batchSize(for: worker)
        let contested = chooseContested(for: worker, size)
        if !contested.isEmpty { return contested }
        return choosePending(size, for: worker)
    }

    /// How many masks take the usual time on a worker, but not fewer than share much (``masksTogether(_:)``); with
    /// caution while its speed is not well known, and fewer towards the end of the run, so that all workers end together.
    func batchSize(for index: Int) -> Int {
        let worker = workers[index]
        var size = policy.firstLeaseMasks
        if let seconds = worker.secondsPerMask {
            let usual = Double(policy.leaseMilliseconds) / 1000 / max(seconds, 1e-9)
            size = Int(min(max(usual, Double(masksTogether(seconds))), Double(max(worker.batch, 1)) * 4))
        } else if let speed = worker.hello?.imagesPerSecond, speed > 0 {
            // A first guess that was measured without masks: a third of the usual time.
            let seconds = Double(max(welcome.settings.images, 1)) / speed
            size = Int(min(Double(policy.leaseMilliseconds) / 3000 / seconds, 64))
        }
        let left = count(.pending) + count(.awaiting) + count(.disputed)
        if readyCount > 1 { size = min(size, max(left / (2 * readyCount), size / 8)) }
        return max(1, min(size, policy.masksPerLeaseMax, Wire.masksPerLease(filters: welcome.filters)))
    }

    /// Grants masks that are not held by two leases yet.
    mutating func grant(_ masks: MaskRuns, to worker: Int, copyOf original: UInt32?) {
        guard let peer = workers[worker].peer else { return }
        let number = nextLease
        nextLease += 1
        for mask in masks {
            if holders[mask].first == 0 { holders[mask].first = number } else { holders[mask].second = number }
            move(mask, to: .leased)
        }
        let seconds = workers[worker].secondsPerMask
        let expected = Int64(min((seconds ?? 0) * Double(masks.count) * 1000, 1e9))
        let begin = workers[worker].leases.last.flatMap { leases[$0]?.expectedAt } ?? now
        let expectedAt = max(begin, now) + (seconds == nil ? policy.leaseMilliseconds : expected)
        let patience =
            seconds == nil
            ? policy.firstDeadlineMilliseconds
            : max(policy.deadlineMillisecondsMin, Int64(Double(expectedAt - now) * policy.deadlineFactor))
        leases[number] = Lease(
            worker: worker, masks: masks, remaining: masks.count, grantedAt: now, expectedAt: expectedAt,
            deadline: now + patience)
        workers[worker].leases.append(number)
        if original == nil { figures.leases += 1 } else { figures.copies += 1 }
        let lease = LeaseID(life: welcome.life, number: number)
        if let original {
            remember("a copy of lease \(welcome.life).\(original), which is late", worker, lease: lease, masks: masks)
        }
        actions.append(.grant(peer, lease, masks))
    }

    /// Gives leases that outlive their peers to idle workers too, the oldest first.
    private mutating func copyStragglers() {
        var late = leases.filter { isStraggler($0.value) }.keys.sorted()[...]
        var stillIdle = Queue<Int>()
        while let worker = parked.popFirst() {
            if workers[worker].leases.isEmpty, wants(worker),
                let position = late.firstIndex(where: { leases[$0].map { $0.worker != worker } ?? false })
            {
                let number = late.remove(at: position)
                var masks = MaskRuns()
                for mask in leases[number]?.masks ?? MaskRuns()
                where holders[mask] == (number, 0) && !hasOpinion(of: worker, on: mask) { masks.append(mask) }
                if !masks.isEmpty { grant(masks, to: worker, copyOf: number) }
            }
            if wants(worker) { stillIdle.append(worker) } else { workers[worker].queued = false }
        }
        parked = stillIdle
    }

    private func isStraggler(_ lease: Lease) -> Bool {
        let expected = Double(lease.expectedAt - lease.grantedAt) * policy.stragglerFactor
        return now - lease.grantedAt > max(policy.stragglerMillisecondsMin, Int64(expected))
    }

    // MARK: - Ending

    /// Closes a lease and makes its masks that are still wanted pending again. It may be closed already.
    mutating func release(_ number: UInt32, _ reason: String) {
        guard leases[number] != nil else { return }
        figures.released += 1
        actions.append(.release(LeaseID(life: welcome.life, number: number), reason: reason))
        close(number)
    }

    /// Closes a lease; its masks that nobody else holds go back to where they came from.
    mutating func close(_ number: UInt32) {
        guard let lease = leases.removeValue(forKey: number) else { return }
        workers[lease.worker].leases.removeAll { $0 == number }
        for mask in lease.masks where isHeld(mask, by: number) {
            dropHolder(number, of: mask)
            if holders[mask].first == 0 { settle(mask) }
        }
        queue(lease.worker)
    }

    func isHeld(_ mask: Int, by number: UInt32) -> Bool {
        holders[mask].first == number || holders[mask].second == number
    }

    /// Takes a mask out of a lease that stays open.
    mutating func dropHolder(_ number: UInt32, of mask: Int) {
        if holders[mask].first == number {
            holders[mask] = (holders[mask].second, 0)
        } else if holders[mask].second == number {
            holders[mask].second = 0
        } else {
            return
        }
        leases[number]?.remaining -= 1
    }

    /// Takes a mask out of all leases, and cancels those of which nothing is left.
    mutating func dropHolders(of mask: Int) {
        while holders[mask].first != 0 {
            let number = holders[mask].first
            dropHolder(number, of: mask)
            guard let lease = leases[number], lease.remaining == 0 else { continue }
            if let peer = workers[lease.worker].peer {
                actions.append(.cancel(peer, LeaseID(life: welcome.life, number: number)))
            }
            close(number)
        }
    }

    /// Compares what a worker says it holds with what it was given: a lease may be lost on its way, and so may a
    /// cancellation.
    mutating func reconcile(_ worker: Int, _ held: [LeaseID], _ peer: Peer) {
        let grace = Int64(welcome.heartbeatMilliseconds * welcome.liveness)
        for number in workers[worker].leases {
            guard let lease = leases[number], now - lease.grantedAt > grace else { continue }
            if !held.contains(LeaseID(life: welcome.life, number: number)) { release(number, "it does not hold it") }
        }
        var isBusy = false
        for lease in held where lease.life == welcome.life && leases[lease.number]?.worker != worker {
            actions.append(.cancel(peer, lease))
            isBusy = true
        }
        // A worker that missed a deadline but could stop has its threads free again.
        if workers[worker].overdue, !isBusy {
            workers[worker].overdue = false
            queue(worker)
        }
    }

    /// Takes back leases past their deadline.
    mutating func expireLeases(of worker: Int) {
        // Only the first is being computed; the others wait for it.
        let computed = workers[worker].leases.first
        for number in workers[worker].leases {
            guard let lease = leases[number], lease.deadline < now else { continue }
            if number == computed {
                blame(number, "\(name(worker)) did not answer for \(now - lease.grantedAt) ms")
            }
            workers[worker].overdue = true
            giveUpGroup(of: worker)
            if let peer = workers[worker].peer {
                actions.append(.cancel(peer, LeaseID(life: welcome.life, number: number)))
            }
            actions.append(.note("\(name(worker)) did not answer lease \(welcome.life).\(number) in time"))
            release(number, "its deadline passed")
        }
    }

    // MARK: - Blame

    /// Blames the masks of a lease, which was being computed, for its worker's end.
    mutating func blame(_ number: UInt32, _ reason: String) {
        guard let lease = leases[number] else { return }
        var blamed = MaskRuns()
        for mask in lease.masks where isHeld(mask, by: number) {
            blamed.append(mask)
            troubles[mask, default: Trouble()].deaths += 1
            guard let deaths = troubles[mask]?.deaths, deaths >= policy.deathsPerMaskMax else { continue }
            setAside(mask, "\(deaths) workers died or hung while they computed it; the last: \(reason)")
        }
        workers[lease.worker].blamed = blamed
    }

    /// Withdraws the blame for a worker that turned out to live.
    mutating func forgive(_ worker: Int) {
        for mask in workers[worker].blamed {
            guard var trouble = troubles[mask] else { continue }
            trouble.deaths -= 1
            troubles[mask] = trouble.deaths > 0 || trouble.failures > 0 ? trouble : nil
            if phases[mask] == .aside, trouble.deaths < policy.deathsPerMaskMax,
                trouble.failures < policy.failuresPerMaskMax
            {
                settle(mask)
            }
        }
        workers[worker].blamed = MaskRuns()
    }
}
