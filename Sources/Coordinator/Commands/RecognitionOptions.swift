import Shared

/// The options about a network that recognises the images badly, or not as well as its user knows.
struct RecognitionOptions {
    @Flag("Go on though the network recognises the images hardly more often than by chance.") var anyway: Bool
    @Option(
        "The accuracy that the unmasked network is known to have on the test images, in per cent. Where it has another, by "
            + "more than half a per cent, or three standard errors where fewer images are looked at, nothing is done.",
        value: "PERCENT") var expectAccuracy: Double?

    /// Throws a `.usage` ``Failure``.
    func validate() throws {
        if let expectAccuracy, !(0...100).contains(expectAccuracy) {
            throw Failure(.usage, "--expect-accuracy must be from 0 to 100 per cent, not \(expectAccuracy)")
        }
    }
}
