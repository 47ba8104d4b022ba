import Shared

extension WorkerProtocol {
    /// Stops the program if the protocol contradicts itself: for tests.
    public func checkInvariants() {
        if let broken = brokenInvariant() { preconditionFailure(broken) }
    }

    /// How the protocol contradicts itself, or nil.
    public func brokenInvariant() -> String? {
        let all = held
        let faults: [(Bool, String)] = [
            (Set(all).count != all.count, "it holds a lease twice"),
            (
                computing.count + abandoned.count < slots && waiting.contains { canCompute($0.job) } && ending == nil,
                "it idles although a lease waits"
            ),
            (computing.count > slots, "it computes too many leases"),
            (waiting.count > Self.waitingMax + slots, "too many leases wait"),
            (answers.count > Self.answersMax, "too many answers are kept"),
            (work != .none && run == nil, "it works for no run"),
            (!waiting.isEmpty && work != .prepared, "it has leases before it can compute them"),
            (leavesAt != nil && !waiting.isEmpty, "it leaves although a lease waits"),
            (link == .online && run == nil, "it is online without a welcome"),
            (nextDeadline == .never && ending == nil, "nothing will ever wake it"),
        ]
        if let fault = faults.first(where: \.0) { return fault.1 }
        guard case .fetching(let fetch) = work else { return nil }
        if fetch.blobs.isEmpty { return "it fetches nothing" }
        if fetch.asked.count > Self.partsMax || fetch.early.count > Self.partsMax {
            return "too many parts on their way"
        }
        return nil
    }
}
