import Foundation

/// Options as the user wrote them, kept for a later command.
public struct GivenOptions: Codable, Sendable, Equatable, ExpressibleByDictionaryLiteral {
    /// One option.
    private struct Entry: Codable, Sendable, Equatable {
        /// Without the dashes.
        var name: String
        /// Nil for a flag.
        var value: String?
    }

    private var entries: [Entry] = []

    /// The given options of a command, or of a group of options. Paths become absolute: the later command may start in
    /// another folder.
    public init(in command: Any) {
        for (name, declaration) in declarations(in: command) where !declaration.isPositional {
            for word in declaration.words {
                let isPath = isPath(valueName: declaration.valueName)
                let value = isPath ? URL(fileURLWithPath: word).standardizedFileURL.path : word
                entries.append(Entry(name: name, value: declaration.valueName == nil ? nil : value))
            }
        }
    }

    /// Options by their names without the dashes; nil is a flag.
    public init(dictionaryLiteral options: (String, String?)...) {
        entries = options.map { Entry(name: $0.0, value: $0.1) }
    }

    /// Without the options that `command` does not have, and without those in `names`.
    public func understood(by command: Any, except names: String...) -> GivenOptions {
        let known = Set(declarations(in: command).map(\.name)).subtracting(names)
        var result = self
        result.entries.removeAll { !known.contains($0.name) }
        return result
    }

    /// Replaces an option's value if it was given.
    public mutating func replace(_ name: String, by value: String) {
        for index in entries.indices where entries[index].name == name { entries[index].value = value }
    }

    /// Gives a command the options that it was not given itself. Options that it does not know, or no longer accepts,
    /// are dropped.
    public func restore(into command: Any) {
        let missing = declarations(in: command).filter { !$0.declaration.isPositional && $0.declaration.words.isEmpty }
        for (name, declaration) in missing {
            for entry in entries where entry.name == name && (entry.value == nil) == (declaration.valueName == nil) {
                _ = declaration.take(entry.value ?? "")
            }
        }
    }

    /// The command-line words that give these options.
    public var words: [String] { entries.flatMap { ["--\($0.name)"] + [$0.value].compactMap { $0 } } }
}
