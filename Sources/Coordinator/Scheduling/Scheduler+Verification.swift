import Shared

/// How wrong evaluations are detected: two workers evaluate some masks, with different witnesses if there are any
/// (``Origin/witness``), and every worker occasionally gets masks whose evaluation is known.
///
/// A result counts as right if two witnesses agree on it, or if the coordinator's own worker gives it. Only these
/// convict: a peer with ten names is still one witness.
extension Scheduler {
    /// A worker's evaluation of a mask under verification.
    struct Opinion: Sendable, Equatable {
        var worker: Int
        /// The worker's place at that time; it may connect from elsewhere later.
        var place: Int?
        /// Its witness then, or -1.
        var witness: Int
        var evaluation: Evaluation
        /// What gave it.
        var arithmetic: String
    }

    /// A mask whose evaluation is beyond doubt, to try workers with.
    struct KnownMask: Sendable {
        let mask: Int
        let evaluation: Evaluation
        /// What gave it.
        let arithmetic: String
        /// Who vouches for it, and so cannot be tried with it.
        let witnesses: [Int]
    }

    /// Whether a mask is one of the share that two workers must agree on.
    func isVerified(_ mask: Int) -> Bool {
        guard policy.verifiedShare > 0 else { return false }
        // SplitMix64's mixing: every mask's decision depends on the seed and on nothing else.
        var word = policy.verificationSeed &+ UInt64(mask) &* 0x9E37_79B9_7F4A_7C15
        word = (word ^ word >> 30) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ word >> 27) &* 0x94D0_49BB_1331_11EB
        return Double((word ^ word >> 31) >> 11) * 0x1p-53 < policy.verifiedShare
    }

    /// Whether a worker, or its place, was wrong before.
    func isSuspect(_ worker: Int) -> Bool {
        guard policy.verifiedShare > 0 else { return false }
        return workers[worker].disagreements > 0 || workers[worker].place.map { places[$0].convictions > 0 } ?? false
    }

    /// Whether another worker must confirm this worker's evaluation of a mask.
    func needsVerification(_ mask: Int, by worker: Int) -> Bool {
        !isOwn(worker) && (opinions[mask] != nil || isVerified(mask) || isSuspect(worker))
    }

    func hasOpinion(of worker: Int, on mask: Int) -> Bool {
        guard !opinions.isEmpty else { return false }
        return opinions[mask]?.contains { $0.worker == worker } ?? false
    }

    // MARK: - What agrees

    /// The arithmetic of a worker.
    func arithmetic(of worker: Int) -> String { workers[worker].hello?.arithmetic ?? Arithmetic.lanes }

    /// Whether two evaluations of one mask agree: to the bit with equal arithmetic, otherwise within the policy's
    /// tolerance.
    func agree(_ a: Evaluation, _ first: String, _ b: Evaluation, _ second: String) -> Bool {
        guard first != second else { return a == b }
        let least = min(a.loss, b.loss)
        return a.images == b.images
            && abs(a.loss - b.loss) <= policy.lossTolerance + policy.lossToleranceShare * least
            && Double(abs(a.correct - b.correct)) <= max(1, policy.correctToleranceShare * Double(a.images))
    }

    // MARK: - Who may judge

    /// Whether a worker's vote on a mask would count in addition to the existing ones.
    func mayJudge(_ worker: Int, _ mask: Int) -> Bool {
        guard !opinions.isEmpty, let known = opinions[mask] else { return true }
        guard !known.contains(where: { $0.worker == worker }) else { return false }
        let own = witness(of: worker) ?? -1
        guard known.contains(where: { $0.witness == own }) else { return true }
        // Its witness has voted. It may vote twice if nobody else is left to ask.
        guard isSolo, known.allSatisfy({ $0.witness == own }), isAlone(own) else { return false }
        return !policy.verificationWaits || !known.contains { $0.place == workers[worker].place }
    }

    /// Whether a witness is the only one here.
    private func isAlone(_ witness: Int) -> Bool { readyByWitness.keys.allSatisfy { $0 == witness } }

    /// Whether only votes have been missing for so long that no other witness is likely to come.
    var isSolo: Bool {
        guard let tailSince, !expectsReferee else { return false }
        return now - tailSince >= (policy.verificationWaits ? policy.strictSoloMilliseconds : policy.soloMilliseconds)
    }

    /// Whether nothing is left but opinions.
    public var hasOnlyOpinionsLeft: Bool { tailSince != nil && count(.awaiting) + count(.disputed) > 0 }

    /// Whether masks wait for a vote that no connected worker can give, so the coordinator needs a worker of its own.
    public var wantsReferee: Bool {
        guard policy.verifiedShare > 0, outcome == nil, readyCount > 0, !hasOwnWorker else { return false }
        return count(.disputed) > 0 || (count(.awaiting) > 0 && readyByWitness.count == 1)
    }

    private var hasOwnWorker: Bool {
        roster.witnessIndices[Origin(key: nil, address: "", isOwn: true).witness].map { readyByWitness[$0] != nil }
            ?? false
    }

    /// Masks that need another vote and that this worker may judge.
    mutating func chooseContested(for worker: Int, _ size: Int) -> MaskRuns {
        guard count(.awaiting) + count(.disputed) > 0 else { return MaskRuns() }
        var chosen: [Int] = []
        for mask in disputed.sorted() where chosen.count < size && mayJudge(worker, mask) { chosen.append(mask) }
        let own = witness(of: worker)
        for first in awaiting.keys.sorted() where chosen.count < size && (first != own || isSolo) {
            var kept: [Int] = []
            while chosen.count < size, let mask = awaiting[first]?.popFirst() {
                guard phases[mask] == .awaiting, opinions[mask]?.first?.witness == first else { continue }
                if mayJudge(worker, mask) { chosen.append(mask) } else { kept.append(mask) }
            }
            for mask in kept { awaiting[first]?.append(mask) }
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

    /// Puts a mask that nobody holds into its queue.
    mutating func settle(_ mask: Int) {
        guard let known = opinions[mask], let first = known.first else {
            move(mask, to: troubles[mask].map { $0.isEmpty } ?? true ? .pending : .suspect)
            return
        }
        if known.allSatisfy({ agree($0.evaluation, $0.arithmetic, first.evaluation, first.arithmetic) }) {
            move(mask, to: .awaiting)
            awaiting[first.witness, default: Queue()].append(mask)
        } else {
            move(mask, to: .disputed)
        }
    }

    // MARK: - Opinions

    /// An evaluation of a mask that others must agree with.
    mutating func hear(_ item: MaskEvaluation, from worker: Int) {
        let mask = item.mask
        guard mayJudge(worker, mask) else {
            figures.duplicates += 1
            if holders[mask].first == 0, phases[mask] == .leased { settle(mask) }
            return
        }
        let known = opinions[mask] ?? []
        let own = witness(of: worker) ?? -1
        let arithmetic = arithmetic(of: worker)
        if let ally = known.first(where: { agree($0.evaluation, $0.arithmetic, item.evaluation, arithmetic) }) {
            let agreed = MaskEvaluation(mask: mask, evaluation: ally.evaluation)
            decide(agreed, by: ally.worker, of: ally.arithmetic, ally.witness == own ? [] : [ally.witness, own])
            return
        }
        if let other = known.first {
            remember("disagrees with \(name(other.worker))", worker, masks: MaskRuns([mask]))
            actions.append(.note("\(name(worker)) and \(name(other.worker)) disagree about mask \(mask)"))
            if other.witness == own { figures.contradictions += 1 }
        }
        let opinion = Opinion(
            worker: worker, place: workers[worker].place, witness: own, evaluation: item.evaluation,
            arithmetic: arithmetic)
        opinions[mask] = known + [opinion]
        if known.count + 1 >= policy.opinionsMax {
            setAside(mask, "\(known.count + 1) workers evaluated it differently")
        } else if holders[mask].first == 0 {
            settle(mask)
        }
    }

    /// Records the result that witnesses agree on, or that one of the coordinator's own workers gives; with no
    /// witnesses given, the one that only workers of one witness vouch for. Whoever voted otherwise was wrong.
    mutating func decide(_ item: MaskEvaluation, by worker: Int, of arithmetic: String, _ witnesses: [Int]) {
        let others = (opinions[item.mask] ?? []).filter {
            !agree($0.evaluation, $0.arithmetic, item.evaluation, arithmetic)
        }
        opinions[item.mask] = nil
        record(item, by: worker, as: witnesses.isEmpty ? .recorded : .confirmed)
        guard !witnesses.isEmpty else { return }
        keepKnown(
            KnownMask(mask: item.mask, evaluation: item.evaluation, arithmetic: arithmetic, witnesses: witnesses))
        for other in others { disprove(other.worker, of: item.mask) }
    }

    /// A worker was wrong about a mask with a known evaluation.
    private mutating func disprove(_ worker: Int, of mask: Int) {
        figures.disagreements += 1
        workers[worker].disagreements += 1
        actions.append(.note("\(name(worker)) evaluated mask \(mask) wrongly: others agree on a different loss"))
        remember("evaluated wrongly: others agree on a different loss", worker, masks: MaskRuns([mask]))
        guard workers[worker].disagreements >= policy.disagreementsMax, workers[worker].dismissed == nil else { return }
        dismiss(worker, "its evaluations differ from those of others")
        if let place = workers[worker].place { places[place].convictions += 1 }
        distrust(worker)
    }

    /// Re-evaluates masks that only workers of this one's place vouch for.
    private mutating func distrust(_ worker: Int) {
        func isAccused(_ other: Int, _ place: Int?) -> Bool {
            other == worker || (place != nil && place == workers[worker].place)
        }
        var retracted = MaskRuns()
        for mask in phases.indices where phases[mask] == .recorded && recordedBy[mask] > 0 {
            let other = Int(recordedBy[mask]) - 1
            guard isAccused(other, workers[other].place) else { continue }
            retracted.append(mask)
            recordedBy[mask] = 0
            move(mask, to: .pending)
        }
        for mask in opinions.keys.sorted()
        where opinions[mask]?.contains(where: { isAccused($0.worker, $0.place) }) == true {
            let rest = opinions[mask]?.filter { !isAccused($0.worker, $0.place) } ?? []
            opinions[mask] = rest.isEmpty ? nil : rest
            if phases[mask] != .leased { settle(mask) }
        }
        guard !retracted.isEmpty else { return }
        remember("not trusted any more, evaluated again", worker, masks: retracted)
        actions.append(.retract(retracted))
    }

    // MARK: - Known masks

    private mutating func keepKnown(_ item: KnownMask) {
        guard policy.verifiedShare > 0, knownMasks[item.mask] == nil else { return }
        if knownOrder.count >= policy.knownMasksMax, let oldest = knownOrder.popFirst() { knownMasks[oldest] = nil }
        knownMasks[item.mask] = item
        knownOrder.append(item.mask)
    }

    /// A mask to try a worker with in its next lease, or nil if it is not its turn.
    mutating func chooseTrial(for worker: Int) -> Int? {
        guard !knownMasks.isEmpty else { return nil }
        defer { workers[worker].leasesGranted += 1 }
        let isDue = isSuspect(worker) || workers[worker].leasesGranted % policy.leasesPerTrial == 0
        guard isDue, let own = witness(of: worker) else { return nil }
        let open = workers[worker].leases.compactMap { leases[$0]?.trial }
        // The coordinator's own workers may be tried with their own results: failing memory contradicts itself.
        return knownMasks.values.filter {
            (isOwn(worker) || !$0.witnesses.contains(own)) && !open.contains($0.mask)
        }.map(\.mask).max { trialRank($0, worker) < trialRank($1, worker) }
    }

    /// Another order of the known masks for every worker and lease.
    private func trialRank(_ mask: Int, _ worker: Int) -> UInt64 {
        (UInt64(mask) &+ UInt64(workers[worker].leasesGranted) &* 0x9E37_79B9 &+ workers[worker].id.low)
            &* 0xBF58_476D_1CE4_E5B9
    }

    /// Compares an evaluation of a settled mask with the known one.
    mutating func compare(_ item: MaskEvaluation, by worker: Int) {
        guard let known = knownMasks[item.mask],
            !agree(known.evaluation, known.arithmetic, item.evaluation, arithmetic(of: worker))
        else { return }
        if let own = witness(of: worker), known.witnesses.contains(own) {
            figures.contradictions += 1
            actions.append(
                .note("\(name(worker)) evaluated mask \(item.mask) differently from its host's earlier evaluation"))
            remember("evaluated differently from its host's earlier evaluation", worker, masks: MaskRuns([item.mask]))
        } else {
            disprove(worker, of: item.mask)
        }
    }

    // MARK: - The end

    /// Settles masks at the end that nobody can verify: a single vote counts if the user did not ask for two, and masks
    /// that two witnesses dispute are left out.
    mutating func settleUnjudged() {
        guard isSolo, !policy.verificationWaits, count(.awaiting) + count(.disputed) > 0 else { return }
        let here = workers.indices.filter { workers[$0].peer != nil && workers[$0].stage == .ready }
        for mask in opinions.keys.sorted() where phases[mask] == .awaiting || phases[mask] == .disputed {
            guard let known = opinions[mask], !here.contains(where: { mayJudge($0, mask) }) else { continue }
            if phases[mask] == .awaiting, let only = known.first {
                decide(
                    MaskEvaluation(mask: mask, evaluation: only.evaluation), by: only.worker, of: only.arithmetic, [])
            } else if let tailSince, now - tailSince >= policy.disputeMilliseconds {
                setAside(mask, "\(known.count) workers evaluated it differently and no other is here to decide")
            }
        }
    }
}
