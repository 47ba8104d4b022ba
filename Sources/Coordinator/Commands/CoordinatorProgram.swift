import Shared

/// The program `winnow-coordinator`.
public var coordinatorProgram: Program {
    Program(
        name: "winnow-coordinator",
        summary: "rank the filters of a trained network by what removing them does to its loss",
        version: Version.number,
        commands: [
            Run.self, Resume.self, Status.self, Story.self, ReportCommand.self, EnsembleCommand.self, Prune.self,
            Compress.self, Finetune.self, Train.self, Export.self, ConvertImages.self, Copy.self, Keygen.self,
        ])
}
