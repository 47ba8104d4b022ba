/// The shape of one image, or of a network's value for it: channels of `height` × `width` values.
///
/// Vectors, such as a linear layer's outputs, are channels of 1 × 1.
public struct Shape: Sendable, Hashable, Codable, CustomStringConvertible {
    /// Channels.
    public var channels: Int
    /// Rows of a channel.
    public var height: Int
    /// Columns of a channel.
    public var width: Int

    /// Makes a shape.
    public init(channels: Int, height: Int, width: Int) {
        self.channels = channels
        self.height = height
        self.width = width
    }

    /// A vector's shape.
    public init(vector channels: Int) { self.init(channels: channels, height: 1, width: 1) }

    /// Values of one channel.
    public var pixels: Int { height * width }
    /// Values in all.
    public var count: Int { channels * pixels }
    /// Whether every channel is a single value.
    public var isVector: Bool { height == 1 && width == 1 }

    public var description: String { "\(channels) × \(height) × \(width)" }
}
