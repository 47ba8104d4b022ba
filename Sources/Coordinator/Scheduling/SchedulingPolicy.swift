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
    public var stragglerFactor = 1.5
    /// … but not before this.
    public var stragglerMillisecondsMin: Int64 = 1000
    /// A mask is set aside when so many workers died or hung while they computed it, at so many places or all that
    /// there are; from the second on it is leased alone, so that the others of its lease are not blamed.
    public var deathsPerMaskMax = 3
    /// A mask is set aside when so many tries to compute it failed, at so many places or all that there are.
    public var failuresPerMaskMax = 3
    /// How long a worker waits whose host lost two workers, or that answered emptily twice, without an answer between;
    /// it doubles with each further one …
    public var restMillisecondsMin: Int64 = 1000
    /// … up to this.
    public var restMillisecondsMax: Int64 = 30_000
    /// Whole leases that a worker may fail to compute, one after the other, before it is dismissed.
    public var failedLeasesMax = 3
    /// The share of masks that are evaluated by two workers and compared, 0…1.
    public var verifiedShare = 0.0
    /// Decides which masks are verified.
    public var verificationSeed: UInt64 = 0
    /// Whether a run waits for a second opinion for as long as it takes. Otherwise a sole one counts in the end where
    /// nobody else is there.
    public var verificationWaits = false
    /// Whether the coordinator's own workers only judge what others evaluated.
    public var ownWorkersOnlyJudge = false
    /// How long nothing but opinions must have been missing until a witness may speak twice, or a sole opinion counts, …
    public var soloMilliseconds: Int64 = 1000
    /// … and where the run waits for opinions, until workers with the same key at different addresses count as two:
    /// longer than a worker waits before it connects again.
    public var strictSoloMilliseconds: Int64 = 45_000
    /// How long what two witnesses dispute waits for a third one.
    public var disputeMilliseconds: Int64 = 60_000
    /// Leases of a worker from one in which it is tried with a known mask to the next.
    public var leasesPerTrial = 64
    /// Known masks that are kept.
    public var knownMasksMax = 64
    /// Wrong evaluations for which a worker is dismissed and all that its place evaluated alone is evaluated again.
    public var disagreementsMax = 2
    /// Different evaluations of one mask after which it is set aside.
    public var opinionsMax = 5
    /// How far two evaluations of one mask may be apart that came of different arithmetic (``Arithmetic``), in nats of the
    /// mean loss, plus a share of the loss, and as a share of the images for the right ones. Equal arithmetic must agree to
    /// the bit.
    public var lossTolerance = 1e-4, lossToleranceShare = 1e-3, correctToleranceShare = 0.005
    /// What peers may do.
    public var limits = RosterLimits()

    /// The usual numbers.
    public init() {}
}
