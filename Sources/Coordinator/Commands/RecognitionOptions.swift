import Shared

/// The options on a network that recognises the images badly, or not as well as the user knows.
struct RecognitionOptions {
    @Flag("Continue even if the network's accuracy is hardly above chance.") var anyway: Bool
    @Option(
        "The unmasked network's known test accuracy, in per cent. Stops if the measured one differs by more "
            + "than half a point, or by three standard errors if fewer images are evaluated.",
        value: "PERCENT") var expectAccuracy: Double?

    /// Throws a `.usage` ``Failure``.
    func validate() throws {
        if let expectAccuracy, !(0...100).contains(expectAccuracy) {
            throw Failure(.usage, "--expect-accuracy must be from 0 to 100 per cent, not \(expectAccuracy)")
        }
    }
}
