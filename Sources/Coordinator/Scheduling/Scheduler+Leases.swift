import Shared

extension Scheduler {
    /// Masks that a worker has until a deadline.
    struct Lease: Sendable {
        let worker: Int
        let masks: MaskRuns
        /// The settled mask added to it as a trial.
        let trial: Int?
        /// Its masks that are still open.
        var remaining: Int
        let grantedAt: Moment
        /// When a worker of its speed would answer.
        let expectedAt: Moment
        let deadline: Moment
    }

    // MARK: - Granting

    /// Queues a worker for leases if it may have more.
    mutating func queue(_ worker: Int) {
        guard !workers[worker].queued, wants(worker) else { return }
        workers[worker].queued = true
        hungry.append(worker)
    }

    /// Whether a worker could have another lease.
    func wants(_ worker: Int) -> Bool {
        let worker = workers[worker]
        return worker.peer != nil && worker.stage == .ready && !worker.overdue && worker.restsUntil == nil
            && worker.leases.count < policy.leasesPerWorker
    }

    /// Grants available masks to waiting workers.
    mutating func grantAll() {
        distribute()
        // Sorting all leases is expensive, so do it only when nothing else is left, and rarely.
        guard tailSince != nil || !parked.isEmpty, pending.isEmpty, now - stragglersCheckedAt >= Self.stragglersEvery
        else { return }
        stragglersCheckedAt = now
        copyStragglers()
        settleUnjudged()
        if isSolo, count(.awaiting) > 0 { workAppeared = true }
        if workAppeared { distribute() }
    }

    private static let stragglersEvery: Int64 = 100

    private mutating func distribute() {
        if workAppeared {
            workAppeared = false
            while let worker = parked.popFirst() { hungry.append(worker) }
        }
        while let worker = hungry.popFirst() {
            while wants(worker), let masks = choose(for: worker) { grant(masks, to: worker, copyOf: nil) }
            if wants(worker) { parked.append(worker) } else { workers[worker].queued = false }
        }
    }

    /// Masks for a worker's next lease, or nil if none is left for it.
    private mutating func choose(for worker: Int) -> MaskRuns? {
        let size = batchSize(for: worker)
        let contested = chooseContested(for: worker, size)
        if !contested.isEmpty { return contested }
        guard !isReferee(worker) else { return nil }
        // A worker that has proved alive may find out soon what is wrong with suspect masks.
        let isProven = workers[worker].place.map { places[$0].hasAnswered } ?? false
        if isProven, let masks = chooseSuspects(size, for: worker) { return masks }
        return choosePending(size, for: worker) ?? chooseSuspects(size, for: worker)
    }

    /// How many masks take a worker the usual time, but no fewer than share much (``masksTogether(_:)``); cautiously
    /// while its speed is uncertain, and fewer towards the end of the run, so that all workers finish together.
    func batchSize(for index: Int) -> Int {
        let worker = workers[index]
        var size = policy.firstLeaseMasks
        if let seconds = worker.secondsPerMask {
            let usual = Double(policy.leaseMilliseconds) / 1000 / max(seconds, 1e-9)
            size = Int(min(max(usual, Double(masksTogether(seconds))), Double(max(worker.batch, 1)) * 4))
        } else if let speed = worker.hello?.imagesPerSecond, speed > 0 {
            // A first guess measured without masks: a third of the usual time.
            let seconds = Double(max(work.settings.images, 1)) / speed
            size = Int(min(Double(policy.leaseMilliseconds) / 3000 / seconds, 64))
        }
        let left = count(.pending) + count(.suspect) + count(.awaiting) + count(.disputed)
        if readyCount > 1 { size = min(size, max(left / (2 * readyCount), size / 8)) }
        return max(1, min(size, policy.masksPerLeaseMax, Wire.masksPerLeaseMax))
    }

    /// Grants masks that fewer than two leases hold.
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
        let isFull = masks.count >= Wire.masksPerLeaseMax
        let trial = isFull ? nil : chooseTrial(for: worker)
        leases[number] = Lease(
            worker: worker, masks: masks, trial: trial, remaining: masks.count, grantedAt: now, expectedAt: expectedAt,
            deadline: now + patience)
        workers[worker].leases.append(number)
        if original == nil { figures.leases += 1 } else { figures.copies += 1 }
        let lease = LeaseID(life: roster.welcome.life, number: number)
        if let original {
            remember(
                "a copy of lease \(roster.welcome.life).\(original), which is late", worker, lease: lease, masks: masks)
        }
        let all = trial.map { MaskRuns((Array(masks) + [$0]).sorted()) } ?? masks
        actions.append(.grant(peer, lease, .masks(all)))
    }

    /// Also gives late leases to idle workers, the oldest first. If two workers have a mask and both are late, the
    /// earlier one loses it; its answer still counts if it comes first.
    private mutating func copyStragglers() {
        var late = leases.filter { isLate($0.key, $0.value) }.keys.sorted()[...]
        var stillIdle = Queue<Int>()
        while let worker = parked.popFirst() {
            if !isReferee(worker), workers[worker].leases.isEmpty, wants(worker) {
                while let number = late.popFirst() {
                    let masks = masksToCopy(of: number, for: worker)
                    guard !masks.isEmpty else { continue }
                    grant(masks, to: worker, copyOf: number)
                    break
                }
            }
            if wants(worker) { stillIdle.append(worker) } else { workers[worker].queued = false }
        }
        parked = stillIdle
    }

    /// The masks of a late lease that another worker may compute as well.
    private mutating func masksToCopy(of number: UInt32, for worker: Int) -> MaskRuns {
        guard let lease = leases[number], lease.worker != worker else { return MaskRuns() }
        func isProven(_ worker: Int) -> Bool { workers[worker].evaluations > 0 }
        /// Whether the worker may replace one of two: both are late, and it has shown that it works, or they have not
        /// either.
        func mayReplace(_ holders: [Lease]) -> Bool {
            guard !holders.contains(where: { $0.worker == worker }) else { return false }
            return isProven(worker) || !holders.contains { isProven($0.worker) }
        }
        var masks = MaskRuns()
        var given: Set<UInt32> = []
        for mask in lease.masks where isHeld(mask, by: number) && mayJudge(worker, mask) {
            let (first, second) = holders[mask]
            if second == 0 {
                masks.append(mask)
            } else if let one = leases[first], let other = leases[second], isLate(first, one), isLate(second, other),
                mayReplace([one, other])
            {
                given.insert(first)
                masks.append(mask)
            }
        }
        for number in given.sorted() {
            guard let slow = leases[number]?.worker else { continue }
            takeBack(number, from: slow, "others are given it, since it is late")
        }
        // Taking one lease back may have settled more than requested.
        return MaskRuns(masks.filter { phases[$0] == .leased && holders[$0].second == 0 })
    }

    /// Whether a lease takes much longer than expected, or waits behind one that does.
    private func isLate(_ number: UInt32, _ lease: Lease) -> Bool {
        let first = workers[lease.worker].leases.first.flatMap { leases[$0] } ?? lease
        return takesLong(first) || takesLong(lease)
    }

    private func takesLong(_ lease: Lease) -> Bool {
        let expected = Double(lease.expectedAt - lease.grantedAt) * policy.stragglerFactor
        return now - lease.grantedAt > max(policy.stragglerMillisecondsMin, Int64(expected))
    }

    /// Takes a lease back from a worker that may still compute it; the worker gets no other before it answers or can
    /// stop.
    private mutating func takeBack(_ number: UInt32, from worker: Int, _ reason: String) {
        setOverdue(worker, true)
        giveUpGroup(of: worker)
        if let peer = workers[worker].peer {
            actions.append(.cancel(peer, LeaseID(life: roster.welcome.life, number: number)))
        }
        release(number, reason)
    }

    // MARK: - Ending

    /// Closes a lease and makes its masks that are still wanted pending again. It may be closed already.
    mutating func release(_ number: UInt32, _ reason: String) {
        guard leases[number] != nil else { return }
        figures.released += 1
        actions.append(.release(LeaseID(life: roster.welcome.life, number: number), reason: reason))
        close(number)
    }

    /// Closes a lease; its masks that nobody else holds go back to their queues.
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

    /// Takes a mask out of all leases, and cancels those that are now empty.
    mutating func dropHolders(of mask: Int) {
        while holders[mask].first != 0 {
            let number = holders[mask].first
            dropHolder(number, of: mask)
            guard let lease = leases[number], lease.remaining == 0 else { continue }
            if let peer = workers[lease.worker].peer {
                actions.append(.cancel(peer, LeaseID(life: roster.welcome.life, number: number)))
            }
            close(number)
        }
    }

    /// Compares a worker's reported leases with those granted to it: a lease may be lost in transit, and so may a
    /// cancellation. `seen` is the last lease up to which it has read everything.
    mutating func reconcile(_ worker: Int, _ held: [LeaseID], _ seen: LeaseID, _ peer: Peer) {
        let grace = Int64(roster.welcome.heartbeatMilliseconds * roster.welcome.liveness)
        for number in workers[worker].leases {
            guard let lease = leases[number], now - lease.grantedAt > grace else { continue }
            // It does not know of leases sent after what it has read.
            guard seen.life == roster.welcome.life, number <= seen.number else { continue }
            if !held.contains(LeaseID(life: roster.welcome.life, number: number)) {
                release(number, "it does not hold it")
            }
        }
        var isBusy = false
        for lease in held where lease.life == roster.welcome.life && leases[lease.number]?.worker != worker {
            actions.append(.cancel(peer, lease))
            isBusy = true
        }
        // A worker that missed a deadline but could stop has its threads free again.
        if workers[worker].overdue, !isBusy {
            setOverdue(worker, false)
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
            actions.append(.note("\(name(worker)) did not answer lease \(roster.welcome.life).\(number) in time"))
            takeBack(number, from: worker, "its deadline passed")
        }
    }

    // MARK: - Blame

    /// Blames the masks of a lease that was being computed for its worker's end.
    mutating func blame(_ number: UInt32, _ reason: String) {
        guard let lease = leases[number], let place = workers[lease.worker].place else { return }
        // A host that never answers may die of anything; a mask that it dies of alone may be the cause.
        let counts = places[place].hasAnswered || lease.remaining == 1
        places[place].deathsInRow += 1
        places[place].hasAnswered = false
        var blamed = MaskRuns()
        for mask in lease.masks where isHeld(mask, by: number) {
            blamed.append(mask)
            troubles[mask, default: Trouble()].deaths[place, default: 0] += 1
            guard counts, let trouble = troubles[mask], isHopeless(trouble) else { continue }
            setAside(mask, "\(trouble.deathCount) workers died or hung while they computed it; the last: \(reason)")
        }
        workers[lease.worker].blamed = blamed
    }

    /// Withdraws the blame for a worker that turned out to be alive.
    mutating func forgive(_ worker: Int) {
        guard !workers[worker].blamed.isEmpty, let place = workers[worker].place else { return }
        places[place].deathsInRow = max(0, places[place].deathsInRow - 1)
        for mask in workers[worker].blamed {
            guard var trouble = troubles[mask], let deaths = trouble.deaths[place] else { continue }
            trouble.deaths[place] = deaths > 1 ? deaths - 1 : nil
            troubles[mask] = trouble.isEmpty ? nil : trouble
            if phases[mask] == .suspect || (phases[mask] == .aside && !isHopeless(trouble)) { settle(mask) }
        }
        workers[worker].blamed = MaskRuns()
    }
}
