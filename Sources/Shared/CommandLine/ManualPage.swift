extension Program {
    /// The manual page, in the macros of man(7).
    var manualPage: String {
        var lines = [
            ".TH \(name.uppercased()) 1 \(Version.date) \"Winnow \(version)\" \"User Commands\"",
            ".SH NAME",
            "\(escaped(name)) \\- \(escaped(summary))",
            ".SH SYNOPSIS",
        ]
        for (index, type) in commands.enumerated() {
            let options = documentedOptions(of: type)
            let required = options.compactMap { option -> String? in
                guard option.isRequired, let value = option.valueName else { return nil }
                return option.flag.map { "\\fB\(escaped($0))\\fR \\fI\(escaped(value))\\fR" }
                    ?? "\\fI\(escaped(value))\\fR"
            }
            if index > 0 { lines.append(".br") }
            lines.append("\\fB\(escaped(name)) \(escaped(type.description.name))\\fR")
            lines.append((required + ["[\\fIOPTIONS\\fR]"]).joined(separator: "\n"))
        }
        lines.append(".SH SUBCOMMANDS")
        for type in commands {
            let description = type.description
            lines.append(".SS \(escaped(description.name))")
            lines.append(escaped(description.summary))
            if !description.discussion.isEmpty {
                lines.append(".PP")
                lines += paragraphs(description.discussion)
            }
            for option in documentedOptions(of: type) { lines += entry(option) }
        }
        lines += [
            ".SH EXIT STATUS",
            ".TP", ".B 0", "Done.",
            ".TP", ".B 64", "The command line is wrong.",
            ".TP", ".B 65", "A file or message from outside is wrong.",
            ".TP", ".B 69", "A needed service, host or resource is missing.",
            ".TP", ".B 70", "A fault of the program.",
            ".TP", ".B 130", "Interrupted; progress is kept and can be resumed.",
            ".SH SEE ALSO",
            ".BR winnow\\-coordinator (1),",
            ".BR winnow\\-worker (1)",
        ]
        return lines.joined(separator: "\n")
    }

    private func entry(_ option: DocumentedOption) -> [String] {
        let value = option.valueName.map { "\\fI\(escaped($0))\\fR" }
        let label = [option.flag.map { "\\fB\(escaped($0))\\fR" }, value].compactMap { $0 }.joined(separator: " ")
        var help = option.help
        if let text = option.defaultText, !text.isEmpty { help += " (default: \(text))" }
        if option.isRequired, option.flag != nil { help += " (required)" }
        return [".TP", label, escaped(help)]
    }

    /// Text as paragraphs; indented lines are kept as they are.
    private func paragraphs(_ text: String) -> [String] {
        var lines: [String] = []
        var verbatim = false
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            let isExample = line.hasPrefix(" ")
            if isExample != verbatim && !line.isEmpty {
                if isExample, lines.last == ".PP" { lines.removeLast() }
                lines += isExample ? [".PP", ".nf", ".RS 4"] : [".RE", ".fi"]
                verbatim = isExample
            }
            if line.isEmpty {
                if !verbatim, lines.last != ".PP", lines.last != ".fi" { lines.append(".PP") }
            } else {
                let start = line.drop { $0 == " " }
                lines.append(escaped(String(verbatim ? start : line[...])))
            }
        }
        if verbatim { lines += [".RE", ".fi"] }
        if lines.last == ".PP" { lines.removeLast() }
        return lines
    }

    /// The text with the formatter's special characters escaped.
    private func escaped(_ text: String) -> String {
        var result = ""
        for character in text {
            switch character {
            case "\\": result += "\\e"
            case "-": result += "\\-"
            case "\n": result += " "
            default: result.append(character)
            }
        }
        return result.hasPrefix(".") || result.hasPrefix("'") ? "\\&\(result)" : result
    }
}
