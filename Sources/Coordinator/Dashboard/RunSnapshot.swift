/// The state of a run at one moment for readers: an immutable value that the coordinator's loop makes about once a
/// second.
///
/// Times are seconds since 1970; rates are per second.
struct RunSnapshot: Sendable {
    enum Phase: String, Sendable {
        case starting, running, fitting, pruning, training, finished, interrupted

        /// Whether the coordinator's loop is running, so an old snapshot means a fault.
        var turns: Bool { self == .running || self == .training }
    }

    /// A point of a curve over time.
    struct Throughput: Sendable, Equatable {
        let time: Double
        let imagesPerSecond: Double
    }

    /// A worker as known to the coordinator.
    struct Worker: Sendable {
        let name: String
        let host: String
        /// The kernels' instruction set.
        let instructionSet: String
        let threads: Int
        let imagesPerSecond: Double
        /// Leases that it has now.
        let leases: Int
        /// Evaluations recorded from it.
        let evaluations: Int
        /// When something last came from it.
        let lastHeard: Double
        let isConnected: Bool
    }

    /// A filter's place in the ranking so far.
    struct Filter: Sendable {
        let layer: String
        let filter: Int
        let importance: Double
        let standardError: Double
    }

    /// The state of a training.
    struct Training: Sendable {
        /// A completed epoch; accuracies as shares.
        struct Epoch: Sendable {
            let epoch: Int
            let trainingAccuracy: Double
            let validationAccuracy: Double?
            let testAccuracy: Double?
        }

        /// The current epoch, from one, and the step in it.
        var epoch = 0
        var epochs = 0
        var step = 0
        var steps = 0
        /// Of the images of this epoch so far.
        var loss: Double?
        var accuracyBefore: Double?
        var history: [Epoch] = []
    }

    /// The current part of a longer job, such as "round 1 of 2: ranking"; empty for a single run.
    var step = ""
    /// Where the report is, or will be; empty if not requested.
    var report = ""
    /// The current training; nil while masks are evaluated.
    var training: Training?
    /// The network's file and the images, in words.
    var model = ""
    var data = ""
    var runFile = ""
    var seed: UInt64 = 0
    var phase = Phase.starting
    var started = 0.0
    /// When the snapshot was made.
    var time = 0.0
    /// Masks of the run, and how many of them are recorded, leased, and set aside because they failed workers.
    var masks = 0
    var masksRecorded = 0
    var masksLeased = 0
    var masksSetAside = 0
    /// Images per mask.
    var imagesPerMask = 0
    /// Evaluations that this process recorded, and answers that were not the first for their mask.
    var evaluationsReceived = 0
    var evaluationsRepeated = 0
    /// Leases granted, and those that ended without a result: their worker was lost, or their deadline passed.
    var leasesGranted = 0
    var leasesRequeued = 0
    var masksPerSecond = 0.0
    var imagesPerSecond = 0.0
    var secondsLeft: Double?
    /// In plain words why there is no progress, and what to do; nil while there is.
    var stall: String?
    var throughput: [Throughput] = []
    /// The connected workers, then the former ones, the latest first.
    var workers = Rows<Worker>([])
    var workersConnected = 0
    var settling: [RankingMonitor.Settling] = []
    /// The ranking so far, least important first, and the number of its masks.
    var rankedMasks = 0
    var ranking = Rows<Filter>([])
    /// Processor time that the coordinator's loop has spent on the live page.
    var loopSeconds = 0.0
    /// The log's last lines, oldest first.
    var log: [String] = []
}
