import Foundation
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
    #expect(complaint("sample").contains("TARGET and --model are missing"))
    #expect(complaint("smaple").hasSuffix("did you mean 'sample'?"))
    #expect(complaint("sample", "--modle", "m").hasSuffix("did you mean '--model'?"))
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

@Test func aShareMayBeWrittenInPerCent() throws {
    #expect(try parse("sample", "--model=m", "--limit", "50%", "t").limit == 0.5)
    #expect(complaint("sample", "--model=m", "--limit", "50 %", "t").contains("0.5 or 50%"))
}

@Test func optionsThatWereGivenAreGivenAgainToALaterCommand() throws {
    let first = try parse(
        "sample", "--model", "a file", "--layer=a", "--layer", "b", "--local-workers", "5", "--verbose", "t")
    var options = GivenOptions(in: first)
    options.replace("local-workers", by: "6")
    let stored = try JSONDecoder().decode(GivenOptions.self, from: JSONEncoder().encode(options))
    let later = try parse("sample", "--model", "other", "--layer", "c", "t")
    stored.restore(into: later)
    // Options given again win; the rest stays.
    #expect(later.model == "other")
    #expect(later.layer == ["c"])
    #expect(later.localWorkers == 6)
    #expect(later.sharing.verbose)
    #expect(later.limit == nil)
    // Later commands run in other folders.
    let path = URL(fileURLWithPath: "a file").path
    #expect(options.words.prefix(2) == ["--model", path])
    #expect(
        options.understood(by: later, except: "model", "verbose").words == ["--local-workers", "6"]
            + ["--layer", "a", "--layer", "b"])
}

@Test func commandLinesCanBePasted() {
    #expect(ShellWords.command(["run", "--bind", "tcp://0.0.0.0:1"]) == "run --bind tcp://0.0.0.0:1")
    let odd = ["a b", "", "it's", "$(x)", "plain"]
    #expect(ShellWords.command(odd) == #"'a b' '' 'it'\''s' '$(x)' plain"#)
}
