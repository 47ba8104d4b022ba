/// A subcommand: a struct whose properties are declared with ``Option``, ``Flag``, ``Argument`` and ``OptionGroup``.
///
///     struct Evaluate: Command {
///         static let description = CommandDescription(name: "evaluate", summary: "Evaluate masks.")
///         @Option("The network's checkpoint.", value: "FILE") var model: String
///         @Option("Compute threads.", value: "N") var threads: Int = 2
///         func run() throws { … }
///     }
public protocol Command: SendableMetatype {
    /// Its name and its help.
    static var description: CommandDescription { get }
    init()
    /// Checks what no single option can. Throws a `.usage` ``Failure``.
    func validate() throws
    /// Does the work. A thrown ``Failure`` is printed and decides the exit code.
    func run() throws
}

extension Command {
    public func validate() throws {}
}

/// The name and the help of a subcommand.
public struct CommandDescription: Sendable {
    /// The word that selects it.
    public let name: String
    /// One line, for the list of subcommands.
    public let summary: String
    /// What it does and how to use it, with an example, for its own help.
    public let discussion: String

    /// Describes a subcommand.
    public init(name: String, summary: String, discussion: String = "") {
        self.name = name
        self.summary = summary
        self.discussion = discussion
    }
}

/// A value that can be read from a word of the command line.
public protocol ArgumentValue {
    /// Parses a word, or returns nil if it is not such a value.
    init?(argument: String)
    /// How the value looks as a default in the help.
    var argumentText: String { get }
    /// The accepted values, for an error message.
    static var expectation: String { get }
    /// All accepted values, if that is a list; for shell completion.
    static var choices: [String] { get }
}

extension ArgumentValue {
    public static var choices: [String] { [] }
}

extension String: ArgumentValue {
    public init?(argument: String) { self = argument }
    public var argumentText: String { self }
    public static var expectation: String { "a text" }
}

extension Int: ArgumentValue {
    public init?(argument: String) { self.init(argument) }
    public var argumentText: String { String(self) }
    public static var expectation: String { "a whole number" }
}

extension UInt64: ArgumentValue {
    public init?(argument: String) { self.init(argument) }
    public var argumentText: String { String(self) }
    public static var expectation: String { "a whole number that is not negative" }
}

extension Double: ArgumentValue {
    /// Reads `0.5` and, for shares, `50%`.
    public init?(argument: String) {
        let isPercentage = argument.hasSuffix("%")
        guard let value = Double(isPercentage ? String(argument.dropLast()) : argument), value.isFinite else {
            return nil
        }
        self = isPercentage ? value / 100 : value
    }
    public var argumentText: String { String(self) }
    public static var expectation: String { "a number, such as 0.5 or 50%" }
}

extension ArgumentValue where Self: RawRepresentable & CaseIterable, RawValue == String {
    public init?(argument: String) { self.init(rawValue: argument) }
    public var argumentText: String { rawValue }
    public static var expectation: String { choices.joined(separator: "|") }
    public static var choices: [String] { allCases.map(\.rawValue) }
}

extension EvaluationSettings.Split: ArgumentValue {}
extension TrainingPrecision: ArgumentValue {}
extension EvaluationSettings.BatchNorm.Source: ArgumentValue {}

extension EvaluationSettings.Labels: ArgumentValue {}
