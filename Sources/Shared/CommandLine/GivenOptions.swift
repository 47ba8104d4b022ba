import Foundation

/// Options as their user wrote them, kept so that a later command can use them again.
public struct GivenOptions: Codable, Sendable, Equatable, ExpressibleByDictionaryLiteral {
    /// One option.
    private struct Entry: Codable, Sendable, Equatable {
        /// Without the dashes.
        var name: String
        /// Nil for a flag.
        var value: String?
    }

    private var entries: [Entry] = []

    /// The options of a command, or of a group of options, that were given. Paths are made absolute: the later command
    /// may be started in another folder.
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

    /// Without the options of other names than `command` has, and without those of `names`.
    public func understood(by command: Any, except names: String...) -> GivenOptions {
        let known = Set(declarations(in: command).map(\.name)).subtracting(names)
        var result = self
        result.entries.removeAll { !known.contains($0.name) }
        return result
    }

    /// Replaces the value of an option where it was given.
    public mutating func replace(_ name: String, by value: String) {
        for index in entries.indices where entries[index].name == name { entries[index].value = value }
    }

    /// Gives a command the options that it was not given itself. What it does not know, or no longer takes, is left out.
    public func restore(into command: Any) {
        let missing = declarations(in: command).filter { !$0.declaration.isPositional && $0.declaration.words.isEmpty }
        for (name, declaration) in missing {
            for entry in entries where entry.name == name && (entry.value == nil) == (declaration.valueName == nil) {
                _ = declaration.take(entry.value ?? "")
            }
        }
    }

    /// The words of a command line that give these options.
    public var words: [String] { entries.flatMap { ["--\($0.name)"] + [$0.value].compactMap { $0 } } }
}
