/// Colour images with their labels, as CIFAR-10's binary format holds them.
public struct ImageSet: Sendable, Equatable {
    /// Height and width of an image.
    public static let size = 32
    /// Channels of an image: red, green, blue.
    public static let channels = 3
    /// Classes, so labels are 0…9.
    public static let classes = 10
    /// Bytes of one image: `[channel, row, column]`.
    public static let imageBytes = channels * size * size
    /// Bytes of one record: the label, then the image.
    public static let recordBytes = 1 + imageBytes

    /// The records, ``recordBytes`` each: a label, then the pixels.
    public let records: [UInt8]

    /// The number of images.
    public var count: Int { records.count / Self.recordBytes }

    /// Makes a set of whole records whose labels are all below ``classes``; readers check that.
    public init(records: [UInt8]) {
        precondition(records.count % Self.recordBytes == 0, "records must be whole")
        self.records = records
    }

    /// The label of an image.
    public func label(_ image: Int) -> UInt8 { records[image * Self.recordBytes] }
}

/// How pixels become a network's inputs: scaled to 0…1, then `(x - mean) / deviation` for each channel.
public struct Normalisation: Sendable, Hashable, Codable {
    /// The mean of each channel.
    public var mean: [Float]
    /// The standard deviation of each channel.
    public var deviation: [Float]

    /// Makes a normalisation of three channels.
    public init(mean: [Float], deviation: [Float]) {
        precondition(mean.count == ImageSet.channels && deviation.count == ImageSet.channels, "three channels")
        self.mean = mean
        self.deviation = deviation
    }

    /// ImageNet's statistics, which most CIFAR-10 networks are trained with.
    public static let standard = Normalisation(mean: [0.485, 0.456, 0.406], deviation: [0.229, 0.224, 0.225])
}
