import Foundation

/// A program with subcommands: chooses one, parses its options, runs it, and turns thrown errors into an exit code.
public struct Program: Sendable {
    let name: String
    let summary: String
    let version: String
    let commands: [any Command.Type]

    /// Makes a program.
    public init(name: String, summary: String, version: String, commands: [any Command.Type]) {
        self.name = name
        self.summary = summary
        self.version = version
        self.commands = commands
    }

    /// Runs the program on this process's command line and exits.
    public func main() -> Never {
        do {
            switch try parse(Array(CommandLine.arguments.dropFirst())) {
            case .text(let text): print(text)
            case .command(let command): try command.run()
            }
            end(0)
        } catch let failure as Failure {
            FileHandle.standardError.write(Data("\(name): \(failure)\n".utf8))
            end(failure.kind.rawValue)
        } catch {
            FileHandle.standardError.write(Data("\(name): unexpected: \(error)\n".utf8))
            end(Failure.Kind.internalFault.rawValue)
        }
    }

    /// Ends the process without the libraries' exit handlers: OpenBLAS frees its buffers there, even while a thread
    /// still uses them, such as an abandoned fit, and the process would end with a segmentation fault.
    private func end(_ code: Int32) -> Never {
        fflush(nil)
        _exit(code)
    }

    /// What a command line asks for.
    enum Parsed {
        /// Text to print: help or the version.
        case text(String)
        /// A command, its options filled in and checked.
        case command(any Command)
    }

    /// Parses the words after the program's name. Throws a `.usage` ``Failure``.
    func parse(_ words: [String]) throws -> Parsed {
        guard let first = words.first else {
            throw Failure(.usage, "no subcommand\n\n\(help)")
        }
        if first == "--help" || first == "-h" { return .text(help) }
        if first == "help" {
            guard words.count > 1 else { return .text(help) }
            return .text(try helpText(of: command(named: words[1])))
        }
        if first == "--version" { return .text(versionText) }
        if first == "--generate", words.count == 2, let document = GeneratedDocument(rawValue: words[1]) {
            return .text(generate(document))
        }
        let type = try command(named: first)
        let rest = Array(words.dropFirst())
        if rest.prefix(while: { $0 != "--" }).contains(where: { $0 == "--help" || $0 == "-h" }) {
            return .text(helpText(of: type))
        }
        let command = type.init()
        do {
            try fill(command, with: rest)
            try command.validate()
        } catch let failure as Failure where failure.kind == .usage {
            // The suggestion comes last, where the eye is.
            if failure.description.hasSuffix("?") { throw failure }
            let name = "\(self.name) \(type.description.name)"
            throw Failure(.usage, "\(failure.description); '\(name) --help' lists the options")
        }
        return .command(command)
    }

    private func command(named word: String) throws -> any Command.Type {
        for type in commands where type.description.name == word { return type }
        let names = commands.map { $0.description.name }
        // The tip comes last: that is what stays on the screen.
        throw Failure(
            .usage,
            "no subcommand '\(word)'; there are \(names.joined(separator: ", "))\(suggestion(for: word, among: names))")
    }

    private func fill(_ command: any Command, with words: [String]) throws {
        let declared = declarations(in: command)
        let options = declared.filter { !$0.declaration.isPositional }
        let positional = declared.filter { $0.declaration.isPositional }
        var index = 0
        var onlyPositional = false
        func give(_ word: String) throws {
            guard let (_, target) = positional.first(where: { $0.declaration.accepts }) else {
                throw Failure(.usage, "unexpected argument '\(word)'")
            }
            guard target.take(word) else {
                throw Failure(.usage, "\(target.valueName ?? "argument") must be \(target.expectation), not '\(word)'")
            }
        }
        while index < words.count {
            let word = words[index]
            index += 1
            if onlyPositional || !word.hasPrefix("--") && (word == "-" || !word.hasPrefix("-")) {
                try give(word)
                continue
            }
            if word == "--" {
                onlyPositional = true
                continue
            }
            let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            let name = parts[0]
            guard let (_, option) = options.first(where: { "--\($0.name)" == name }) else {
                let names = options.map { "--\($0.name)" } + ["--help"]
                throw Failure(.usage, "no option '\(name)'\(suggestion(for: name, among: names))")
            }
            guard option.accepts else { throw Failure(.usage, "\(name) is given twice") }
            if option.valueName == nil {
                guard parts.count == 1 else { throw Failure(.usage, "\(name) takes no value") }
                _ = option.take("")
                continue
            }
            let value: String
            if parts.count == 2 {
                value = parts[1]
            } else {
                guard index < words.count else { throw Failure(.usage, "\(name) needs a value") }
                value = words[index]
                index += 1
            }
            guard option.take(value) else {
                throw Failure(.usage, "\(name) must be \(option.expectation), not '\(value)'")
            }
        }
        try demandRequired(options, positional)
    }

    /// Throws a `.usage` ``Failure`` that names all missing required options.
    private func demandRequired(
        _ options: [(name: String, declaration: any Declaration)],
        _ positional: [(name: String, declaration: any Declaration)]
    ) throws {
        let missing = options.filter { $0.declaration.isRequired && $0.declaration.words.isEmpty }
        let arguments = positional.filter { $0.declaration.accepts }.map { $0.declaration.valueName ?? "an argument" }
        let names = arguments + missing.map { "--\($0.name)" }
        guard let last = names.last else { return }
        if names.count == 1, let only = missing.first {
            throw Failure(.usage, "\(last) is missing (\(only.declaration.help.lowercasedFirst))")
        }
        let list = names.count == 1 ? "\(last) is" : "\(names.dropLast().joined(separator: ", ")) and \(last) are"
        throw Failure(.usage, "\(list) missing")
    }

    /// The name, the version and the commit, if the build knows it.
    var versionText: String {
        "\(name) \(version)" + (Version.commit.map { " (\($0))" } ?? "")
    }

    /// The general help.
    var help: String {
        let width = commands.map { $0.description.name.count }.max() ?? 0
        let list = commands.map { type in
            "  \(type.description.name.padded(to: width))  \(type.description.summary)"
        }
        return """
            \(name): \(summary)

            Usage: \(name) SUBCOMMAND [OPTIONS]

            Subcommands:
            \(list.joined(separator: "\n"))

            '\(name) SUBCOMMAND --help' has details; '\(name) --version' prints the version.
            """
    }

    /// The help of one subcommand.
    func helpText(of type: any Command.Type) -> String {
        let declared = declarations(in: type.init())
        let positional = declared.compactMap { $0.declaration.isPositional ? $0.declaration.valueName : nil }
        let rows = declared.map { name, declaration -> (String, String) in
            let left: String
            if declaration.isPositional {
                left = declaration.valueName ?? ""
            } else if let value = declaration.valueName {
                left = "--\(name) \(value)"
            } else {
                left = "--\(name)"
            }
            var help = declaration.help
            if let text = declaration.defaultText, !text.isEmpty { help += " (default: \(text))" }
            if declaration.isRequired && !declaration.isPositional { help += " (required)" }
            return (left, help)
        }
        let width = min(rows.map(\.0.count).max() ?? 0, 34)
        let lines = (rows + [("--help", "Show this help.")]).map { left, help -> String in
            let wrapped = help.wrapped(to: max(40, 110 - width - 4))
            let indent = String(repeating: " ", count: width + 4)
            let body = wrapped.joined(separator: "\n\(indent)")
            return left.count > width ? "  \(left)\n\(indent)\(body)" : "  \(left.padded(to: width))  \(body)"
        }
        let arguments = positional.isEmpty ? "" : " " + positional.joined(separator: " ")
        let discussion = type.description.discussion
        return """
            \(type.description.summary)

            Usage: \(name) \(type.description.name) [OPTIONS]\(arguments)
            \(discussion.isEmpty ? "" : "\n\(discussion)\n")
            Options:
            \(lines.joined(separator: "\n"))
            """
    }
}

extension String {
    /// `localWorkers` → `local-workers`.
    var kebabCased: String {
        reduce(into: "") { result, character in
            if character.isUppercase {
                result += "-\(character.lowercased())"
            } else {
                result.append(character)
            }
        }
    }

    var lowercasedFirst: String { prefix(1).lowercased() + dropFirst() }

    func padded(to width: Int) -> String {
        self + String(repeating: " ", count: Swift.max(0, width - count))
    }

    /// The text in lines of at most `width` characters, broken at spaces.
    func wrapped(to width: Int) -> [String] {
        var lines: [String] = []
        for word in split(separator: " ") {
            if let last = lines.last, last.count + 1 + word.count <= width {
                lines[lines.count - 1] = "\(last) \(word)"
            } else {
                lines.append(String(word))
            }
        }
        return lines
    }
}
