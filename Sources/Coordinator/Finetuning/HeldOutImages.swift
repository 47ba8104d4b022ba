import Shared

/// The images that show a training's progress: the test images, or, if there are none, training images that it does not
/// see.
enum HeldOutImages {
    /// A tenth of the training images, but no more than this many, are held out: enough to resolve a percentage point.
    private static let countMax = 5000
    private static let share = 0.1

    /// The test images; nil if there are none, or they are not separate. Throws a `.badInput` ``Failure`` if they are
    /// damaged.
    static func test(of data: DataSet) throws -> ImageSet? {
        guard data.hasSplits, data.splits.contains(.test) else { return nil }
        return try data.read(.test)
    }

    /// The default number of training images to hold out.
    static func count(of training: Int) -> Int { min(countMax, Int(share * Double(training))) }

    /// The note to the user if images are held out.
    static func note(_ count: Int, of data: DataSet) -> String {
        "\(data.source.path) has no test images: the last \(count) training images are held out of training, "
            + "and 'test' means these"
    }

    /// The last images of the training set. Throws a `.badInput` ``Failure`` if none are held out.
    static func last(_ count: Int, of training: ImageSet) throws -> ImageSet {
        guard count > 0, count < training.count else {
            throw Failure(
                .badInput, "there are no test images, and no training images to hold out: give --validation-images")
        }
        return training.subset(training.count - count..<training.count)
    }
}
