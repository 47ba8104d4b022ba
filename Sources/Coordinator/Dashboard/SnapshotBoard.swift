import Shared

/// Where the coordinator's loop leaves the newest snapshot and readers find it. The lock is held for the swap of one
/// reference only, so that no reader can hold up the run.
final class SnapshotBoard: Sendable {
    private final class Entry: Sendable {
        let snapshot: RunSnapshot
        let posted = ContinuousClock.now
        init(_ snapshot: RunSnapshot) { self.snapshot = snapshot }
    }

    private let newest = Locked<Entry?>(nil)

    /// Replaces the snapshot.
    func post(_ snapshot: RunSnapshot) {
        let entry = Entry(snapshot)
        // The old one is freed after the lock is given back.
        let old = newest.withLock { current -> Entry? in
            defer { current = entry }
            return current
        }
        withExtendedLifetime(old) {}
    }

    /// The newest snapshot and how long ago it was posted; nil before the first.
    func read() -> (snapshot: RunSnapshot, age: Duration)? {
        guard let entry = newest.withLock({ $0 }) else { return nil }
        return (entry.snapshot, entry.posted.duration(to: .now))
    }
}
