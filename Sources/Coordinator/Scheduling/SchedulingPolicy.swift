import Shared

/// The numbers by which a ``Scheduler`` decides.
public struct SchedulingPolicy: Sendable {
    /// How long a lease should take on the worker that gets it: long enough that the way to it does not matter, short
    /// enough that its loss does not hurt.
    public var leaseMilliseconds: Int64 = 1500
    /// Masks of the first lease of a worker whose speed is not known.
    public var firstLeaseMasks = 4
    /// The most masks of a lease; the message's size bounds it too.
    public var masksPerLeaseMax = Wire.masksPerLeaseMax
    /// Leases that a worker holds: one is computed, the others wait so that it never idles.
    public var leasesPerWorker = 2
    /// Neighbouring masks that share much when evaluated together: a lease is not smaller than such a group, …
    public var maskGroup = 1
    /// … where it takes at most this, …
    public var groupMillisecondsMax: Int64 = 2000
    /// … and otherwise not smaller than a part of a group whose masks share most, …
    public var maskSubgroup = 1
    /// … where that takes at most this at the worker's last pace; apart, its masks cost about twice as much.
    public var subgroupMillisecondsMax: Int64 = 60_000
    /// The time by which a lease is surely answered: so many times the expected one, …
    public var deadlineFactor = 8.0
    /// … but at least this, …
    public var deadlineMillisecondsMin: Int64 = 30_000
    /// … and this where the worker's speed is not known.
    public var firstDeadlineMilliseconds: Int64 = 600_000
    /// A lease that took so many times its expected time is also given to an idle worker, …
    public var stragglerFactor = 2.0
    /// … but not before this.
    public var stragglerMillisecondsMin: Int64 = 2000
    /// A mask is set aside when so many workers died or hung while they computed it; from the second on it is leased
    /// alone, so that the others of its lease are not blamed.
    public var deathsPerMaskMax = 3
    /// A mask is set aside when so many tries to compute it failed.
    public var failuresPerMaskMax = 3
    /// Whole leases that a worker may fail to compute, one after the other, before it is dismissed.
    public var failedLeasesMax = 3
    /// Answers without a meaning for which a worker is dismissed.
    public var malformedMax = 3
    /// Unreadable messages for which a worker is dismissed.
    public var unreadableMax = 100
    /// Messages in one second for which a worker is dismissed.
    public var messagesPerSecondMax = 50_000
    /// The share of masks that are evaluated by two workers and compared, 0…1.
    public var verifiedShare = 0.0
    /// Decides which masks are verified.
    public var verificationSeed: UInt64 = 0
    /// Wrong evaluations for which a worker is dismissed and all that it evaluated alone is evaluated again.
    public var disagreementsMax = 2
    /// Different evaluations of one mask after which it is set aside.
    public var opinionsMax = 5
    /// Workers connected at one time.
    public var workersMax = 10_000
    /// Different workers in one life of the coordinator.
    public var identitiesMax = 1 << 18

    /// The usual numbers.
    public init() {}
}
