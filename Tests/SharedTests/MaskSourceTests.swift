import TestSupport
import Testing

@testable import Shared

/// The masks of leases, of which only the last are kept: a worker's memory does not grow with its run.
@Test func masksOfLeasesAreThoseOfTheEnsembleAndFewAreKept() throws {
    let space = Networks.resnet56
    let ensemble = try Ensemble(.tree, of: space, scope: SamplingScope(), masks: 60_000, seed: 4)
    var source = MaskSource(ensemble)
    var bytesMax = 0
    for start in stride(from: 0, to: ensemble.count, by: 500) {
        let masks = source.masks(MaskRuns(start..<start + 3))
        #expect(masks == ensemble.masks(start..<start + 3))
        bytesMax = max(bytesMax, source.keptBytes)
    }
    #expect(bytesMax > MaskSource.keptBytesMax / 2 && bytesMax <= MaskSource.keptBytesMax)
    // An evicted one is drawn again.
    #expect(source.masks(MaskRuns([7])) == [ensemble.mask(7)])
}
