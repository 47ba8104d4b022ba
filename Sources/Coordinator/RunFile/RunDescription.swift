import Foundation
import Shared

/// What a run evaluates and how it was made: everything that decides its result, and enough to tell a colleague.
public struct RunDescription: Sendable, Equatable, Codable {
    /// The ranked network. Its checkpoint is in the run file.
    public struct NetworkSource: Sendable, Equatable, Codable {
        /// Where the checkpoint was read from.
        public var path: String
        /// The digest of its bytes.
        public var digest: Digest
        /// Its architecture in words, such as `ResNet-20`.
        public var architecture: String
        /// Its filters: bits of a mask.
        public var filters: Int
    }

    /// The evaluation images. They are not in the run file.
    public struct DataSource: Sendable, Equatable, Codable {
        /// The folder or file that they were read from.
        public var path: String
        /// In which form they are and how they were read.
        public var source: ImageSource?
        /// The digest of the evaluated images, ``ImageSet/digest``.
        public var images: Digest
        /// The digest of the images for recalibrating batch norms, if any.
        public var calibrationImages: Digest?
    }

    /// The run.
    public var run: String
    /// When the run file was created.
    public var created: Date
    /// The program that made it.
    public var program: String
    /// The command that made it.
    public var commandLine: [String]
    /// The network.
    public var network: NetworkSource
    /// The images.
    public var data: DataSource
    /// How masks are evaluated.
    public var settings: EvaluationSettings
    /// Which masks are evaluated.
    public var ensemble: Ensemble
    /// The digest of a sample of the masks, to check that a later program draws the same; see ``Ensemble/sample``.
    public var masksDigest: Digest
    /// The reliability that stops the run before all masks are evaluated; nil if none does.
    public var untilReliability: Double?
    /// The share of the masks to evaluate twice, by different workers, to detect wrong results.
    public var verifiedShare: Double
    /// Whether the run waits until other workers agree, because the user asked for it. Otherwise a single vote counts
    /// if nobody else is there.
    public var verificationWaits: Bool?

    /// The default share: a worker that is always wrong is found within some hundred masks.
    static let defaultVerifiedShare = 0.02

    /// The run's identity on the wire, or nil if the text is not one.
    public var runID: RunID? { RunID(text: run) }

    /// Checks a description read from a file against its network. Throws a `.badInput` ``Failure``.
    func check(against space: FilterSpace) throws {
        try ensemble.check(against: space)
        guard runID != nil, network.filters == space.count, (0...1).contains(verifiedShare), settings.fits(ensemble)
        else { throw Failure(.badInput, "the run's description contradicts itself") }
        guard ensemble.sample == masksDigest else {
            throw Failure(
                .badInput,
                "this program (\(Version.number)) draws other masks than \(program), which created the run; "
                    + "use that release"
            )
        }
    }
}

extension RunDescription {
    /// Describes a new run of a network with a checkpoint read from `path`, on images of a source.
    init(
        of network: Network, checkpoint: [UInt8], from path: String, images: ImageSet, calibration: ImageSet?,
        in source: ImageSource, settings: EvaluationSettings, ensemble: Ensemble,
        untilReliability: Double? = nil, verifiedShare: Double = defaultVerifiedShare, verificationWaits: Bool = false
    ) {
        func absolute(_ path: String) -> String { URL(fileURLWithPath: path).standardizedFileURL.path }
        self.init(
            run: RunID.random().description, created: Date(milliseconds: Date().milliseconds), program: Version.number,
            commandLine: CommandLine.arguments,
            network: NetworkSource(
                path: absolute(path), digest: Digest(sha256Of: checkpoint),
                architecture: network.graph.summary, filters: FilterSpace(network.graph).count),
            data: DataSource(
                path: absolute(source.path), source: source, images: images.digest,
                calibrationImages: calibration?.digest),
            settings: settings, ensemble: ensemble, masksDigest: ensemble.sample,
            untilReliability: untilReliability,
            verifiedShare: verifiedShare, verificationWaits: verificationWaits)
    }
}
