/// Something to compute about a network that comes with it. Sets of images are named by their places in ``NetworkWork``.
public enum NetworkTask: Sendable, Hashable {
    /// The evaluations of masks.
    case evaluations(MaskBatch)
    /// For each of so many filters the sum over some images of the squared derivative of an image's loss with respect to a
    /// gate on the filter (Molchanov et al. 2019, equation 8): a row of as many floats.
    case gateGradients(filters: Int, imageSet: Int, Range<Int>)
    /// The network with the batch-norm statistics that it has under a mask, taken on the first images of a set: a row with
    /// its checkpoint.
    case statistics(EvaluationSettings.BatchNorm, under: Mask, imageSet: Int)
    /// As many filters of each layer as a mask disables, chosen for a refit on the first images of a set.
    case selection(asManyAs: Mask, imageSet: Int, images: Int)
    /// The network without a mask's filters, the layers after them refitted on the first images of a set: a row with its
    /// checkpoint.
    case reconstruction(removing: Mask, imageSet: Int, images: Int)

    /// Masks of a network and the images that they are evaluated on.
    public struct MaskBatch: Sendable, Hashable {
        /// The most masks of a batch.
        public static let masksMax = 64

        /// The masks.
        public var masks: [Mask]
        /// The index of the first one among all masks of the question: it decides which images it gets where they rotate.
        public var first: Int
        /// The set of images.
        public var imageSet: Int
        /// The images of the set that every mask is evaluated on, or from which images that rotate are picked.
        public var images: Range<Int>
        /// The set whose first images calibrate; nil where the evaluated ones do, or nothing does.
        public var calibrationSet: Int?
        /// How masks are evaluated. The split is that of the images, for the record.
        public var settings: EvaluationSettings

        /// Makes a batch.
        public init(
            masks: [Mask], first: Int, imageSet: Int, images: Range<Int>, calibrationSet: Int?,
            settings: EvaluationSettings
        ) {
            self.masks = masks
            self.first = first
            self.imageSet = imageSet
            self.images = images
            self.calibrationSet = calibrationSet
            self.settings = settings
        }

        /// How many images each mask is evaluated on.
        public var imagesOfMask: Int { settings.rotation == nil ? images.count : settings.images }
    }

    /// Which of the cases it is: tasks of one kind take about equally long.
    public var kind: Int {
        switch self {
        case .evaluations: 0
        case .gateGradients: 1
        case .statistics: 2
        case .selection: 3
        case .reconstruction: 4
        }
    }

    /// The filters of the network that it is about, as far as the task says.
    public var filters: Int {
        switch self {
        case .evaluations(let batch): batch.masks.first?.count ?? 0
        case .gateGradients(let filters, _, _): filters
        case .statistics(_, let mask, _), .selection(let mask, _, _), .reconstruction(let mask, _, _): mask.count
        }
    }

    /// Whether the sets of images that it names are among so many.
    public func fits(imageSets: Int) -> Bool {
        switch self {
        case .evaluations(let batch): batch.imageSet < imageSets && (batch.calibrationSet ?? 0) < imageSets
        case .gateGradients(_, let set, _), .statistics(_, _, let set), .selection(_, let set, _),
            .reconstruction(_, let set, _):
            set < imageSets
        }
    }
}

extension RowPart {
    /// A file as a row of floats with its bits, four bytes each; the last ones are filled up with blanks, which a
    /// checkpoint of safetensors never needs.
    public static func row(of bytes: [UInt8]) -> [Float] {
        var bytes = bytes
        while bytes.count % 4 != 0 { bytes.append(UInt8(ascii: " ")) }
        return bytes.withUnsafeBytes { raw in
            (0..<raw.count / 4).map {
                Float(bitPattern: UInt32(littleEndian: raw.loadUnaligned(fromByteOffset: 4 * $0, as: UInt32.self)))
            }
        }
    }

    /// The bytes of a row's floats.
    public static func bytes(of row: [Float]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(4 * row.count)
        for value in row { withUnsafeBytes(of: value.bitPattern.littleEndian) { bytes += $0 } }
        return bytes
    }
}
