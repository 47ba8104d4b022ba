/// A document for the system that `PROGRAM --generate DOCUMENT` prints. It is made from the same declarations as the
/// help, so the two cannot differ. `deploy/install` installs each.
enum GeneratedDocument: String {
    /// Completions for a shell.
    case bash, zsh, fish
    /// The manual page, section 1.
    case manual
}

/// An option or argument as the documents show it.
struct DocumentedOption {
    /// `--name`; nil for an argument.
    let flag: String?
    let help: String
    /// The placeholder of its value; nil for a flag.
    let valueName: String?
    let choices: [String]
    let defaultText: String?
    let isRequired: Bool

    /// Whether its value names a file or a folder.
    var isPath: Bool { Shared.isPath(valueName: valueName) }
}

extension Program {
    /// Writes a document.
    func generate(_ document: GeneratedDocument) -> String {
        switch document {
        case .bash: bashCompletion
        case .zsh: zshCompletion
        case .fish: fishCompletion
        case .manual: manualPage
        }
    }

    /// The options and arguments of a subcommand, `--help` last.
    func documentedOptions(of type: any Command.Type) -> [DocumentedOption] {
        var options: [DocumentedOption] = []
        for (name, declaration) in declarations(in: type.init()) {
            options.append(
                DocumentedOption(
                    flag: declaration.isPositional ? nil : "--\(name)", help: declaration.help,
                    valueName: declaration.valueName, choices: declaration.choices,
                    defaultText: declaration.defaultText, isRequired: declaration.isRequired))
        }
        options.append(
            DocumentedOption(
                flag: "--help", help: "Show this help.", valueName: nil, choices: [], defaultText: nil,
                isRequired: false))
        return options
    }
}
