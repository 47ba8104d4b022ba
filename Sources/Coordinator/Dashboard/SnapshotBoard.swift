import Shared

/// Where the coordinator's loop posts the newest snapshot and readers find it. The lock is held only to swap one
/// reference, so no reader can hold up the run.
final class SnapshotBoard: Sendable {
    private final class Entry: Sendable {
        let snapshot: RunSnapshot
        let posted = ContinuousClock.now
        init(_ snapshot: RunSnapshot) { self.snapshot = snapshot }
    }

    /// How long after its last poll a page counts as open: a bit more than its longest pause.
    private static let readerSeconds = 8.0

    /// When a page looked last, and at the snapshot of which time.
    private struct Look {
        var at: ContinuousClock.Instant
        var time: Double
        var phase: RunSnapshot.Phase
    }

    private let newest = Locked<Entry?>(nil)
    private let look = Locked<Look?>(nil)

    /// Replaces the snapshot.
    func post(_ snapshot: RunSnapshot) {
        let entry = Entry(snapshot)
        // The old one is freed after the lock is released.
        let old = newest.withLock { current -> Entry? in
            defer { current = entry }
            return current
        }
        withExtendedLifetime(old) {}
    }

    /// The newest snapshot and its age; nil before the first.
    func read() -> (snapshot: RunSnapshot, age: Duration)? {
        guard let entry = newest.withLock({ $0 }) else { return nil }
        return (entry.snapshot, entry.posted.duration(to: .now))
    }

    /// A page was given a snapshot.
    func wasRead(_ snapshot: RunSnapshot) {
        look.withLock { $0 = Look(at: .now, time: snapshot.time, phase: snapshot.phase) }
    }

    /// Whether anybody has the page open.
    var hasReader: Bool {
        look.withLock { $0 }.map { $0.at.duration(to: .now) < .seconds(Self.readerSeconds) } ?? false
    }

    /// Whether a page was given the newest snapshot.
    var isNewestRead: Bool {
        guard let newest = read()?.snapshot, let look = look.withLock({ $0 }) else { return false }
        return look.time == newest.time && look.phase == newest.phase
    }
}
