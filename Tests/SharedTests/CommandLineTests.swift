import Testing

@testable import Shared

private struct Sharing {
    @Flag("Say more.") var verbose: Bool
}

private struct Sample: Command {
    static let description = CommandDescription(name: "sample", summary: "A sample.")
    @Option("A file.", value: "FILE") var model: String
    @Option("A number.", value: "N") var localWorkers: Int = 2
    @Option("A limit.", value: "X") var limit: Double?
    @Option("Layers.", value: "NAME") var layer: [String]
    @Option("Split.", value: "SPLIT") var split: EvaluationSettings.Split = .test
    @OptionGroup var sharing = Sharing()
    @Argument("Where to.", value: "TARGET") var target: String
    func run() throws {}
}

private let program = Program(name: "p", summary: "s", version: "1", commands: [Sample.self])

private func parse(_ words: String...) throws -> Sample {
    guard case .command(let command) = try program.parse(words), let sample = command as? Sample else {
        throw Failure(.internalFault, "not a command")
    }
    return sample
}

private func complaint(_ words: String...) -> String {
    do {
        _ = try program.parse(words)
        return ""
    } catch {
        return "\(error)"
    }
}

@Test func optionsAreReadInBothForms() throws {
    let sample = try parse(
        "sample", "--model", "m", "--local-workers=3", "--limit", "0.5", "--layer", "a", "--layer=b", "--split",
        "train", "--verbose", "there")
    #expect(sample.model == "m")
    #expect(sample.localWorkers == 3)
    #expect(sample.limit == 0.5)
    #expect(sample.layer == ["a", "b"])
    #expect(sample.split == .train)
    #expect(sample.sharing.verbose)
    #expect(sample.target == "there")
}

@Test func defaultsHoldWhereNothingIsGiven() throws {
    let sample = try parse("sample", "--model=m", "t")
    #expect(sample.localWorkers == 2)
    #expect(sample.limit == nil)
    #expect(sample.layer == [])
    #expect(sample.split == .test)
    #expect(!sample.sharing.verbose)
}

@Test func wrongCommandLinesSayWhatToDo() {
    #expect(complaint("smaple").contains("did you mean 'sample'?"))
    #expect(complaint("sample", "--modle", "m").contains("did you mean '--model'?"))
    #expect(complaint("sample", "t").contains("--model is missing"))
    #expect(complaint("sample", "--model", "m").contains("TARGET is missing"))
    #expect(complaint("sample", "--model").contains("--model needs a value"))
    #expect(complaint("sample", "--model=m", "--model=n", "t").contains("given twice"))
    #expect(complaint("sample", "--model=m", "--local-workers", "many", "t").contains("must be a whole number"))
    #expect(complaint("sample", "--model=m", "--split", "both", "t").contains("test|train"))
    #expect(complaint("sample", "--model=m", "t", "u").contains("unexpected argument 'u'"))
}

@Test func helpShowsEveryOptionWithItsDefault() throws {
    guard case .text(let help) = try program.parse(["sample", "--help"]) else {
        Issue.record("no help")
        return
    }
    #expect(help.contains("--local-workers N"))
    #expect(help.contains("(default: 2)"))
    #expect(help.contains("--verbose"))
    #expect(help.contains("TARGET"))
}
