import Glibc
import Shared
import Simulation

/// Runs simulations of many seeds, or replays one of them with every event.
private struct Simulate: Command {
    static let description = CommandDescription(
        name: "seeds", summary: "simulate runs of the cluster with faults, each drawn from a seed")
    @Option("How many seeds.", value: "N") var seeds: Int = 1000
    @Option("The first seed.", value: "S") var seed: Int = 1
    @Flag("Print everything that happens.") var trace: Bool

    func run() throws {
        var total = Simulation.Report()
        var failed: [String] = []
        for offset in 0..<seeds {
            let current = UInt64(seed + offset)
            runningSeed = current
            do {
                let report = try Simulation(seed: current, trace: trace ? { print($0) } : nil).run()
                total.add(report)
            } catch {
                print("FAILED \(error); replay with: Tests/simulate --seeds 1 --seed \(current) --trace")
                failed.append("\(current)")
            }
            if (offset + 1) % 10_000 == 0 { print("\(offset + 1) seeds, \(failed.count) failed") }
        }
        print(total.summary(seeds: seeds, failed: failed.count))
        guard failed.isEmpty else { throw Failure(.internalFault, "\(failed.count) seeds failed") }
    }
}

extension Simulation.Report {
    fileprivate func summary(seeds: Int, failed: Int) -> String {
        """
        \(seeds) seeds, \(failed) failed: \(events) events in \(milliseconds / 3_600_000) virtual hours
        \(messages) messages, \(lost) lost, \(damaged) damaged
        \(workerDeaths) deaths of workers, \(coordinatorDeaths) of coordinators, \(dismissals) dismissals
        \(leases) leases, \(recorded) masks recorded, \(setAside) set aside for good
        \(trainings) trainings, \(steps) steps, \(sharesGivenAgain) shares given again
        \(liesFound) lies found, \(innocentSetAside) healthy masks set aside until the run was resumed
        fingerprint \(String(fingerprint, radix: 16))
        """
    }
}

/// The seed that a trap would stop.
nonisolated(unsafe) private var runningSeed: UInt64 = 0

for trap in [SIGILL, SIGTRAP, SIGSEGV] {
    signal(trap) { number in
        print("FAILED seed \(runningSeed): the program trapped with signal \(number)")
        fflush(nil)
        _exit(70)
    }
}
Program(
    name: "winnow-simulate", summary: "simulates the cluster", version: Version.number, commands: [Simulate.self]
).main()
