import Shared

extension Scheduler {
    /// Whether a mask is one of the share that two workers must agree on.
    func isVerified(_ mask: Int) -> Bool {
        guard policy.verifiedShare > 0 else { return false }
        // SplitMix64's mixing: every mask's decision depends on the seed and on nothing else.
        var word = policy.verificationSeed &+ UInt64(mask) &* 0x9E37_79B9_7F4A_7C15
        word = (word ^ word >> 30) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ word >> 27) &* 0x94D0_49BB_1331_11EB
        return Double((word ^ word >> 31) >> 11) * 0x1p-53 < policy.verifiedShare
    }

    func hasOpinion(of worker: Int, on mask: Int) -> Bool {
        guard !opinions.isEmpty else { return false }
        return opinions[mask]?.contains { $0.worker == worker } ?? false
    }

    /// Masks that need a further opinion and on which this worker has none.
    mutating func chooseContested(for worker: Int, _ size: Int) -> MaskRuns {
        guard count(.awaiting) + count(.disputed) > 0 else { return MaskRuns() }
        var chosen: [Int] = []
        for mask in disputed.sorted() where chosen.count < size && !hasOpinion(of: worker, on: mask) {
            chosen.append(mask)
        }
        for first in awaiting.keys.sorted() where first != worker {
            while chosen.count < size, let mask = awaiting[first]?.popFirst() {
                if phases[mask] == .awaiting, opinions[mask]?.first?.worker == first { chosen.append(mask) }
            }
            if awaiting[first]?.isEmpty == true { awaiting[first] = nil }
        }
        var masks = MaskRuns()
        var previous = -1
        for mask in chosen.sorted() where mask != previous {
            masks.append(mask)
            previous = mask
        }
        return masks
    }

    /// Puts a mask that nobody holds where it belongs.
    mutating func settle(_ mask: Int) {
        guard let known = opinions[mask], let first = known.first else {
            move(mask, to: .pending)
            return
        }
        if known.count == 1 {
            move(mask, to: .awaiting)
            awaiting[first.worker, default: Queue()].append(mask)
        } else {
            move(mask, to: .disputed)
        }
    }

    /// An evaluation of a mask that two workers must agree on.
    mutating func hear(_ item: MaskEvaluation, from worker: Int) {
        let mask = item.mask
        guard !hasOpinion(of: worker, on: mask) else {
            figures.duplicates += 1
            if holders[mask].first == 0, phases[mask] == .leased { settle(mask) }
            return
        }
        var known = opinions[mask] ?? []
        if let ally = known.first(where: { $0.evaluation == item.evaluation }) {
            opinions[mask] = nil
            record(item, by: ally.worker, as: .confirmed)
            for other in known where other.evaluation != item.evaluation { disprove(other, of: mask) }
            return
        }
        if !known.isEmpty {
            remember("evaluated otherwise than by \(name(known[0].worker))", worker, masks: MaskRuns([mask]))
            actions.append(.note("\(name(worker)) and \(name(known[0].worker)) disagree about mask \(mask)"))
        }
        known.append(Opinion(worker: worker, evaluation: item.evaluation))
        opinions[mask] = known
        if known.count >= policy.opinionsMax {
            setAside(mask, "\(known.count) workers evaluated it differently")
        } else if holders[mask].first == 0 {
            settle(mask)
        }
    }

    /// Two workers agreed against this one.
    private mutating func disprove(_ opinion: Opinion, of mask: Int) {
        let worker = opinion.worker
        figures.disagreements += 1
        workers[worker].disagreements += 1
        actions.append(.note("\(name(worker)) evaluated mask \(mask) wrongly: two others agree on another loss"))
        remember("evaluated wrongly: two others agree on another loss", worker, masks: MaskRuns([mask]))
        if workers[worker].disagreements >= policy.disagreementsMax, workers[worker].dismissed == nil {
            dismiss(worker, "its evaluations differ from those of others")
            distrust(worker)
        }
    }

    /// Evaluates again what a worker evaluated alone.
    private mutating func distrust(_ worker: Int) {
        var retracted = MaskRuns()
        for mask in phases.indices where recordedBy[mask] == UInt32(worker + 1) && phases[mask] == .recorded {
            retracted.append(mask)
            recordedBy[mask] = 0
            move(mask, to: .pending)
        }
        for mask in opinions.keys.sorted() where hasOpinion(of: worker, on: mask) {
            let rest = opinions[mask]?.filter { $0.worker != worker } ?? []
            opinions[mask] = rest.isEmpty ? nil : rest
            if phases[mask] != .leased { settle(mask) }
        }
        guard !retracted.isEmpty else { return }
        remember("not trusted any more, evaluated again", worker, masks: retracted)
        actions.append(.retract(retracted))
    }
}
