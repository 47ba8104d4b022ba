import Foundation
import Shared
import Testing

@testable import Coordinator

private func ensemble(filters: Int, masks: Int) throws -> Ensemble {
    let space = FilterSpace(
        .fullyConnected(
            LinearChain(layers: [
                .init(name: "a", input: CIFAR10.layout.imageBytes, output: filters),
                .init(name: "b", input: filters, output: 10),
            ])))
    let scope = SamplingScope(layers: .hidden, dropRate: 0.25, layerDropRates: [])
    return try Ensemble(.balanced, of: space, scope: scope, masks: masks, seed: 3)
}

@Test func theMonitorRanksWhatHasBeenRecorded() throws {
    let ensemble = try ensemble(filters: 12, masks: 400)
    let monitor = RankingMonitor(ensemble)
    defer { monitor.stop() }
    #expect(monitor.state.ranking.isEmpty)
    // Each disabled filter raises the log-loss by a tenth of its number.
    monitor.record(
        (0..<400).map { index in
            let rise = ensemble.mask(index).disabled.reduce(0.0) { $0 + Double($1) / 10 }
            let loss = 0.01 * exp(rise)
            return (index, Evaluation(lossSum: Int64(loss * 1000 * Evaluation.unitsPerNat), correct: 0, images: 1000))
        })
    let deadline = ContinuousClock.now + .seconds(60)
    while monitor.state.ranking.isEmpty, ContinuousClock.now < deadline { Thread.sleep(forTimeInterval: 0.05) }
    let state = monitor.state
    #expect(state.ranking.map(\.filter) == Array(0..<12))
    #expect(state.settling.last?.masks == 400)
    #expect((state.settling.last?.splitHalfCorrelation ?? 0) > 0.95)
}

@Test func theMonitorIgnoresMasksThatAreNotOfTheRun() throws {
    let monitor = RankingMonitor(try ensemble(filters: 4, masks: 10))
    monitor.record([(mask: 10, evaluation: Evaluation()), (mask: -1, evaluation: Evaluation())])
    monitor.stop()
    #expect(monitor.state.ranking.isEmpty)
}
