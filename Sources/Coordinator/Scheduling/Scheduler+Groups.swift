import Shared

/// Keeps neighbouring masks that share layers together.
///
/// If a whole group takes too long for one lease, a worker reserves the group and gets it part by part, so it can reuse
/// what it kept from earlier parts. Others get reserved masks only when nothing else is left.
extension Scheduler {
    /// The masks that a worker of this pace should get together at least.
    func masksTogether(_ secondsPerMask: Double) -> Int {
        func fits(_ masks: Int, _ milliseconds: Int64) -> Bool {
            Double(masks) * secondsPerMask * 1000 <= Double(milliseconds)
        }
        if fits(policy.maskGroup, policy.groupMillisecondsMax) { return policy.maskGroup }
        return fits(policy.maskSubgroup, policy.subgroupMillisecondsMax) ? policy.maskSubgroup : 1
    }

    /// Pending masks for a worker's next lease, or nil if there are none.
    mutating func choosePending(_ size: Int, for worker: Int) -> MaskRuns? {
        guard size < policy.maskGroup else {
            giveUpGroup(of: worker)
            return neighbours(size, of: unreserved.isEmpty ? pending : unreserved, below: phases.count)
        }
        if let own = workers[worker].group, let first = pending.first(from: own * policy.maskGroup),
            first / policy.maskGroup == own
        {
            return neighbours(size, of: pending, from: first, below: end(ofGroup: own))
        }
        giveUpGroup(of: worker)
        if let first = unreserved.first(from: 0) { reserve(first / policy.maskGroup, for: worker) }
        guard let first = pending.first(from: workers[worker].group.map { $0 * policy.maskGroup } ?? 0) else {
            return nil
        }
        return neighbours(size, of: pending, from: first, below: end(ofGroup: first / policy.maskGroup))
    }

    private func end(ofGroup group: Int) -> Int { min((group + 1) * policy.maskGroup, phases.count) }

    /// The first masks of a set.
    private func neighbours(_ size: Int, of set: PendingSet, from start: Int = 0, below end: Int) -> MaskRuns? {
        var chosen = MaskRuns()
        var next = set.first(from: start)
        while let mask = next, mask < end, chosen.count < size {
            chosen.append(mask)
            next = set.first(from: mask + 1)
        }
        // A lease that ends with its group, or with a part of it, leaves whole ones to the next.
        let whole = size < policy.maskGroup ? policy.maskSubgroup : policy.maskGroup
        if whole > 1, chosen.count == size, chosen.ranges.count == 1, let run = chosen.ranges.first {
            let end = run.upperBound - run.upperBound % whole
            if end > run.lowerBound { chosen = MaskRuns(run.lowerBound..<end) }
        }
        return chosen.isEmpty ? nil : chosen
    }

    private mutating func reserve(_ group: Int, for worker: Int) {
        reservations[group] = worker
        workers[worker].group = group
        for mask in group * policy.maskGroup..<end(ofGroup: group) { unreserved.remove(mask) }
    }

    /// Releases a worker's reserved group to others. O(masks of a group).
    mutating func giveUpGroup(of worker: Int) {
        guard let group = workers[worker].group else { return }
        workers[worker].group = nil
        reservations[group] = nil
        for mask in group * policy.maskGroup..<end(ofGroup: group) where pending.contains(mask) {
            unreserved.insert(mask)
        }
    }
}
