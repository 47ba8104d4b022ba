import Shared

/// The unmasked network's outputs for images, in place of their labels.
struct Answers {
    weak var images: PreparedImages?
    let normalisation: Normalisation
    /// For every image, the logarithm of each class's probability and the probability, `[image][class][2]`.
    let values: [Double]

    /// The memory that answers take.
    static func bytes(images: Int, classes: Int) -> Int { 2 * images * classes * MemoryLayout<Double>.stride }
}
