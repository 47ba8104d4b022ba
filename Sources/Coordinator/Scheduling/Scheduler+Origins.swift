import Shared

/// Workers' origins, and their consequences.
extension Scheduler {
    /// Whether the coordinator started a worker itself and trusts it like itself.
    func isOwn(_ worker: Int) -> Bool { workers[worker].place.map { places[$0].origin.isOwn } ?? false }

    /// Whether a worker only judges others' evaluations.
    func isReferee(_ worker: Int) -> Bool { policy.ownWorkersOnlyJudge && isOwn(worker) }

    /// Counts a worker as ready, or no longer.
    mutating func countReady(_ worker: Int, _ change: Int) {
        readyCount += isReferee(worker) ? 0 : change
        if !workers[worker].overdue { countAble(worker, change) }
    }

    /// Records whether a worker missed a deadline, and so gets nothing until it answers or can stop.
    mutating func setOverdue(_ worker: Int, _ isOverdue: Bool) {
        guard workers[worker].overdue != isOverdue else { return }
        workers[worker].overdue = isOverdue
        if workers[worker].peer != nil, workers[worker].stage == .ready { countAble(worker, isOverdue ? -1 : 1) }
        queue(worker)
    }

    private mutating func countAble(_ worker: Int, _ change: Int) {
        guard let place = workers[worker].place else { return }
        func add(_ counts: inout [Int: Int], _ key: Int) {
            let count = counts[key, default: 0] + change
            counts[key] = count == 0 ? nil : count
        }
        add(&readyByWitness, places[place].witness)
        if !isReferee(worker) { add(&readyByPlace, place) }
    }

    // MARK: - Deaths

    /// The failed attempts at a mask.
    struct Trouble: Sendable {
        /// Workers that died or hung while they computed it, by place.
        var deaths: [Int: Int] = [:]
        /// Tries that failed, by place.
        var failures: [Int: Int] = [:]
        /// Why it was set aside.
        var reason = ""

        var deathCount: Int { deaths.values.reduce(0, +) }
        var failureCount: Int { failures.values.reduce(0, +) }
        var isEmpty: Bool { deaths.isEmpty && failures.isEmpty }
        /// Whether it went wrong there.
        func happened(at place: Int) -> Bool { deaths[place] != nil || failures[place] != nil }
    }

    /// Whether a mask failed so often, and at so many of the available places, that the fault must be its own: a host
    /// that dies of everything, or says so, cannot get a healthy mask set aside while others are there.
    func isHopeless(_ trouble: Trouble) -> Bool {
        let happened = Set(trouble.deaths.keys).union(trouble.failures.keys)
        let places = happened.union(readyByPlace.keys.filter { isReliable($0) }).count
        let most = max(policy.deathsPerMaskMax, policy.failuresPerMaskMax)
        return trouble.deathCount + trouble.failureCount >= most && happened.count >= min(most, places)
    }

    /// Whether workers of a place can be expected to answer: they did not die there in succession without an answer.
    private func isReliable(_ place: Int) -> Bool { places[place].deathsInRow < 2 }

    /// Whether a worker may try a mask that failed before: elsewhere first, if that helps. A place that has not
    /// answered since its last death, or ever, may be hung, so this one tries a few times before it waits for such.
    private func mayTry(_ mask: Int, at place: Int) -> Bool {
        guard let trouble = troubles[mask], trouble.happened(at: place) else { return true }
        let tries = (trouble.deaths[place] ?? 0) + (trouble.failures[place] ?? 0)
        let isTried = tries >= max(policy.deathsPerMaskMax, policy.failuresPerMaskMax)
        return !readyByPlace.keys.contains { other in
            !trouble.happened(at: other) && isReliable(other) && (isTried || places[other].hasAnswered)
        }
    }

    /// Masks that failed before, for a worker: a few that failed once, or one alone.
    func chooseSuspects(_ size: Int, for worker: Int) -> MaskRuns? {
        guard !suspects.isEmpty, let place = workers[worker].place else { return nil }
        var chosen = MaskRuns()
        var next = suspects.first(from: 0)
        while let mask = next, chosen.count < max(1, size / 4) {
            next = suspects.first(from: mask + 1)
            guard mayTry(mask, at: place) else { continue }
            let trouble = troubles[mask] ?? Trouble()
            if trouble.deathCount > 1 || !trouble.failures.isEmpty {
                if chosen.isEmpty { chosen.append(mask) }
                break
            }
            chosen.append(mask)
        }
        return chosen.isEmpty ? nil : chosen
    }

    // MARK: - Rest

    /// How long the workers of a place wait before they get masks: longer with every death without an answer between.
    private func restMilliseconds(_ place: Int) -> Int64 {
        let deaths = places[place].deathsInRow
        return deaths < 2
            ? 0 : min(policy.restMillisecondsMin << Int64(min(deaths - 2, 10)), policy.restMillisecondsMax)
    }

    /// Makes a worker wait if its place kills workers, or it answered emptily, repeatedly.
    mutating func rest(_ worker: Int) {
        let empty = workers[worker].emptyAnswers
        let own =
            empty < 2 ? 0 : min(policy.restMillisecondsMin << Int64(min(empty - 2, 10)), policy.restMillisecondsMax)
        let wait = max(workers[worker].place.map { restMilliseconds($0) } ?? 0, own)
        guard wait > 0 else { return }
        workers[worker].restsUntil = now + wait
        giveUpGroup(of: worker)
        guard !resting.contains(worker) else { return }
        resting.append(worker)
        remember("rests for \(wait) ms: \(own == wait ? "its answers are empty" : "its host keeps dying")", worker)
    }

    /// Ends the waiting time of workers whose time has come, or of all if nobody else is left to work.
    mutating func endRests() {
        guard !resting.isEmpty else { return }
        let isReady = { (worker: Roster<Duty>.Worker) in worker.peer != nil && worker.stage == .ready }
        let isNobodyElse = resting.count { isReady(workers[$0]) } >= readyCount
        var still: [Int] = []
        for worker in resting {
            if isReady(workers[worker]), !isNobodyElse, let end = workers[worker].restsUntil, end > now {
                still.append(worker)
            } else {
                workers[worker].restsUntil = nil
                queue(worker)
            }
        }
        resting = still
    }
}
