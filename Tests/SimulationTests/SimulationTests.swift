import Shared
import Simulation
import Testing

// Tests/simulate runs more seeds and replays a failing one.

@Test(arguments: [1, 501, 1001, 1501] as [UInt64])
func everyMaskIsRecordedOnceWhateverGoesWrong(first: UInt64) throws {
    for seed in first..<first + 500 { _ = try Simulation(seed: seed).run() }
}

@Test func aSeedReplaysExactly() throws {
    for seed: UInt64 in 1...50 {
        let first = try Simulation(seed: seed).run()
        let second = try Simulation(seed: seed).run()
        #expect(first.fingerprint == second.fingerprint)
        #expect(first.events == second.events)
    }
}

@Test func theSimulationMeetsEveryFault() throws {
    var total = Simulation.Report()
    for seed: UInt64 in 1...100 { total.add(try Simulation(seed: seed).run()) }
    #expect(total.lost > 0)
    #expect(total.damaged > 0)
    #expect(total.workerDeaths > 0)
    #expect(total.coordinatorDeaths > 0)
    #expect(total.dismissals > 0)
    #expect(total.setAside > 0)
    #expect(total.trainings > 10)
    #expect(total.questions > 10)
    #expect(total.sharesGivenAgain > 0)
}
