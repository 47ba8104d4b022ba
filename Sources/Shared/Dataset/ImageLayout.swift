/// The common properties of a set's images: their shape, the number of classes, and how pixels are stored.
public struct ImageLayout: Sendable, Hashable, Codable {
    /// How one pixel value is stored.
    public enum PixelType: String, Sendable, Codable, CaseIterable {
        /// A byte of 0…255, which a ``Normalisation`` turns into an input.
        case uint8
        /// A number that enters the network unchanged.
        case float32

        /// Bytes of one value.
        public var bytes: Int {
            switch self {
            case .uint8: 1
            case .float32: 4
            }
        }
    }

    /// The most channels, rows or columns: far beyond what networks take, so their products never overflow.
    public static let extentMax = 1 << 14
    /// The most classes; ImageNet-21k has 21,841.
    public static let classesMax = 1 << 20

    /// Channels, height and width of an image.
    public var shape: Shape
    /// Classes: labels are 0 … `classes` - 1.
    public var classes: Int
    /// How pixels are stored.
    public var pixelType: PixelType

    /// Makes a layout.
    public init(shape: Shape, classes: Int, pixelType: PixelType = .uint8) {
        self.shape = shape
        self.classes = classes
        self.pixelType = pixelType
    }

    /// Bytes of the pixels of one image, `[channel, row, column]`.
    public var imageBytes: Int { shape.count * pixelType.bytes }

    /// Whether all numbers are within their limits.
    var isWithinLimits: Bool {
        [shape.channels, shape.height, shape.width].allSatisfy { (1...Self.extentMax).contains($0) }
            && (1...Self.classesMax).contains(classes)
    }
}

extension ImageLayout: CustomStringConvertible {
    /// Such as `3 × 32 × 32 in 10 classes`.
    public var description: String { "\(shape) in \(classes) \(classes == 1 ? "class" : "classes")" }
}
