import CKernels

extension Engine {
    /// The multiply-add peak of all threads with the instruction set in use, in GFLOP/s (two per multiply-add),
    /// measured on registers for about a third of a second. Throws a ``Failure`` if there are no threads.
    public func multiplyAddPeak() throws -> Double {
        let kernels = instructionSet.kernels
        let repetitions: Int64 = 1_000_000
        let rounds = 30
        var best = 0.0
        // Short rounds, of which the best counts, since other work on the machine only ever lowers the rate.
        for _ in 0..<rounds {
            let start = ContinuousClock.now
            try onThreads(threads) { _ in _ = kernels.multiply_adds(repetitions) }
            let seconds = (ContinuousClock.now - start) / .seconds(1)
            best = max(best, 2e-9 * Double(repetitions * kernels.multiply_adds(0)) * Double(threads) / seconds)
        }
        return best
    }
}
