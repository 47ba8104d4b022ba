import Shared

/// The parameters of a ``Scheduler``'s decisions.
public struct SchedulingPolicy: Sendable {
    /// How long a lease should take its worker: long enough to make transfers negligible, short enough that its loss
    /// does not hurt.
    public var leaseMilliseconds: Int64 = 1500
    /// Masks of a worker's first lease while its speed is unknown.
    public var firstLeaseMasks = 4
    /// The most masks of a lease; the message's size bounds it too.
    public var masksPerLeaseMax = Wire.masksPerLeaseMax
    /// Leases that a worker holds: one is computed, the others wait, so it never idles.
    public var leasesPerWorker = 2
    /// Neighbouring masks that share much when evaluated together: a lease is at least such a group, …
    public var maskGroup = 1
    /// … if that takes at most this long, …
    public var groupMillisecondsMax: Int64 = 2000
    /// … and otherwise at least a part of a group whose masks share most, …
    public var maskSubgroup = 1
    /// … if that takes at most this long at the worker's last rate; apart, its masks cost about twice as much.
    public var subgroupMillisecondsMax: Int64 = 60_000
    /// The deadline of a lease, as a multiple of its expected time, …
    public var deadlineFactor = 8.0
    /// … but at least this, …
    public var deadlineMillisecondsMin: Int64 = 30_000
    /// … and this if the worker's speed is unknown.
    public var firstDeadlineMilliseconds: Int64 = 600_000
    /// A lease that took this multiple of its expected time also goes to an idle worker, …
    public var stragglerFactor = 1.5
    /// … but not before this.
    public var stragglerMillisecondsMin: Int64 = 1000
    /// A mask is set aside when this many workers died or hung while they computed it, at as many places or all there
    /// are; from the second death on it is leased alone, so the other masks of its lease are not blamed.
    public var deathsPerMaskMax = 3
    /// A mask is set aside when this many attempts failed, at as many places or all there are.
    public var failuresPerMaskMax = 3
    /// How long a worker waits whose host lost two workers, or that answered emptily twice, without an answer between;
    /// it doubles with each further one …
    public var restMillisecondsMin: Int64 = 1000
    /// … up to this.
    public var restMillisecondsMax: Int64 = 30_000
    /// Whole leases in succession that a worker may fail to compute before it is dismissed.
    public var failedLeasesMax = 3
    /// The share of masks that two workers evaluate for comparison, 0…1.
    public var verifiedShare = 0.0
    /// Decides which masks are verified.
    public var verificationSeed: UInt64 = 0
    /// Whether a run waits for a second vote as long as it takes. Otherwise a single one counts in the end if nobody
    /// else is there.
    public var verificationWaits = false
    /// Whether the coordinator's own workers only judge others' evaluations.
    public var ownWorkersOnlyJudge = false
    /// How long only votes must have been missing until a witness may vote twice, or a single vote counts, …
    public var soloMilliseconds: Int64 = 1000
    /// … and, if the run waits for votes, until workers with the same key at different addresses count as two: longer
    /// than a worker waits before it reconnects.
    public var strictSoloMilliseconds: Int64 = 45_000
    /// How long a dispute between two witnesses waits for a third one.
    public var disputeMilliseconds: Int64 = 60_000
    /// A worker's leases between two trials with a known mask.
    public var leasesPerTrial = 64
    /// Known masks that are kept.
    public var knownMasksMax = 64
    /// Wrong evaluations after which a worker is dismissed and everything that its place evaluated alone is
    /// re-evaluated.
    public var disagreementsMax = 2
    /// Different evaluations of one mask after which it is set aside.
    public var opinionsMax = 5
    /// How far two evaluations of one mask with different arithmetic (``Arithmetic``) may differ, in nats of the mean
    /// loss, plus a share of the loss, and as a share of the images for the correct ones. Equal arithmetic must agree
    /// to the bit.
    public var lossTolerance = 1e-4, lossToleranceShare = 1e-3, correctToleranceShare = 0.005
    /// What peers may do.
    public var limits = RosterLimits()

    /// The usual numbers.
    public init() {}
}
