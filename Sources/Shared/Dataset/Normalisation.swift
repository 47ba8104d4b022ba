/// How byte pixels become a network's inputs: scaled to 0…1, then `(x - mean) / deviation` per channel.
public struct Normalisation: Sendable, Hashable, Codable {
    /// The mean of each channel.
    public var mean: [Float]
    /// The standard deviation of each channel.
    public var deviation: [Float]

    /// Makes a normalisation with as many channels as means.
    public init(mean: [Float], deviation: [Float]) {
        precondition(mean.count == deviation.count, "a mean and a deviation for each channel")
        self.mean = mean
        self.deviation = deviation
    }

    /// The largest possible mean of pixels in 0…1; those of pixels in 0…255 are far above.
    static let meanMax: Float = 1

    /// Nothing is done: pixels are inputs as they are.
    public static let none = Normalisation(mean: [], deviation: [])

    /// Only scales to 0…1.
    public static func scaling(channels: Int) -> Normalisation {
        Normalisation(
            mean: [Float](repeating: 0, count: channels), deviation: [Float](repeating: 1, count: channels))
    }

    /// CIFAR-100's statistics.
    static let cifar100 = Normalisation(mean: [0.5071, 0.4867, 0.4408], deviation: [0.2675, 0.2565, 0.2761])
    /// MNIST's statistics.
    static let mnist = Normalisation(mean: [0.1307], deviation: [0.3081])

    /// ImageNet's statistics, which most CIFAR-10 networks are trained with.
    public static let standard = Normalisation(mean: [0.485, 0.456, 0.406], deviation: [0.229, 0.224, 0.225])
}

extension Normalisation: CustomStringConvertible {
    /// Such as `mean 0.1307, deviation 0.3081`.
    public var description: String {
        func text(_ values: [Float]) -> String { values.map { "\($0)" }.joined(separator: ",") }
        return mean.isEmpty ? "unchanged inputs" : "mean \(text(mean)), deviation \(text(deviation))"
    }
}
