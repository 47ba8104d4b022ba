import Shared

/// The program `winnow-worker`.
public var workerProgram: Program {
    Program(
        name: "winnow-worker",
        summary: "evaluate the loss of a network under filter masks",
        version: Version.number,
        commands: [
            Serve.self, Evaluate.self, Benchmark.self, Recalibrate.self, Select.self, Reconstruct.self, Gradients.self,
            BenchTraining.self,
        ])
}
