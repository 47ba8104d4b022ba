extension Program {
    private var functionName: String { "_\(name.map { $0 == "-" ? "_" : String($0) }.joined())" }

    /// Completion for bash. Files are offered for every value that is not a choice.
    var bashCompletion: String {
        var options: [String] = []
        var choices: [String] = []
        for type in commands {
            let command = type.description.name
            let documented = documentedOptions(of: type)
            options.append("        \(command)) options='\(documented.compactMap(\.flag).joined(separator: " "))' ;;")
            for option in documented where !option.choices.isEmpty {
                guard let flag = option.flag else { continue }
                choices.append("        '\(command) \(flag)') choices='\(option.choices.joined(separator: " "))' ;;")
            }
        }
        let names = commands.map { $0.description.name } + ["help", "--help", "--version"]
        return """
            # bash completion for \(name)
            \(functionName)() {
                local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]}
                local options='' choices=''
                COMPREPLY=()
                if [ "$COMP_CWORD" -eq 1 ]; then
                    COMPREPLY=($(compgen -W '\(names.joined(separator: " "))' -- "$word"))
                    return
                fi
                case $command in
            \(options.joined(separator: "\n"))
                    help) options='\(commands.map { $0.description.name }.joined(separator: " "))' ;;
                esac
                case "$command $before" in
            \((choices + ["        *) ;;"]).joined(separator: "\n"))
                esac
                if [ -n "$choices" ]; then
                    COMPREPLY=($(compgen -W "$choices" -- "$word"))
                elif [[ $word == -* || $command == help ]]; then
                    COMPREPLY=($(compgen -W "$options" -- "$word"))
                else
                    # Names with blanks stay whole.
                    mapfile -t COMPREPLY < <(compgen -f -- "$word")
                fi
            }
            complete -o filenames -F \(functionName) \(name)
            """
    }

    /// Completion for zsh.
    var zshCompletion: String {
        var summaries: [String] = []
        var cases: [String] = []
        for type in commands {
            let description = type.description
            summaries.append("        \(zshQuoted("\(zshEscaped(description.name)):\(description.summary)"))")
            let arguments = documentedOptions(of: type).map { "                \(zshArgument($0))" }
            cases.append("        \(description.name))\n            _arguments \\\n")
            cases[cases.count - 1] += arguments.joined(separator: " \\\n") + " ;;"
        }
        return """
            #compdef \(name)
            \(functionName)() {
                local -a subcommands
                subcommands=(
            \(summaries.joined(separator: "\n"))
                )
                if (( CURRENT == 2 )); then
                    _describe -t commands subcommand subcommands
                    return
                fi
                local command=$words[2]
                shift words
                (( CURRENT-- ))
                case $command in
            \(cases.joined(separator: "\n"))
                    help) _describe -t commands subcommand subcommands ;;
                esac
            }
            \(functionName) "$@"
            """
    }

    /// Completion for fish.
    var fishCompletion: String {
        var lines = [
            "# fish completion for \(name)",
            "complete -c \(name) -n __fish_use_subcommand -f -l help -d 'Show the help.'",
            "complete -c \(name) -n __fish_use_subcommand -f -l version -d 'Print the version.'",
        ]
        for type in commands {
            let description = type.description
            let summary = fishQuoted(description.summary)
            lines.append("complete -c \(name) -n __fish_use_subcommand -f -a \(description.name) -d \(summary)")
        }
        for type in commands {
            let condition = "-n '__fish_seen_subcommand_from \(type.description.name)'"
            for option in documentedOptions(of: type) {
                guard let flag = option.flag else { continue }
                var line = "complete -c \(name) \(condition) -l \(flag.dropFirst(2)) -d \(fishQuoted(option.help))"
                if !option.choices.isEmpty {
                    line += " -x -a \(fishQuoted(option.choices.joined(separator: " ")))"
                } else if option.isPath {
                    line += " -r -F"
                } else if option.valueName != nil {
                    line += " -x"
                }
                lines.append(line)
            }
        }
        return lines.joined(separator: "\n")
    }

    private func zshArgument(_ option: DocumentedOption) -> String {
        let action: String
        if !option.choices.isEmpty {
            action = "(\(option.choices.joined(separator: " ")))"
        } else {
            action = option.isPath || option.flag == nil ? "_files" : " "
        }
        let value = option.valueName.map { ":\(zshEscaped($0)):\(action)" } ?? ""
        guard let flag = option.flag else { return zshQuoted(value) }
        return zshQuoted("\(flag)[\(zshEscaped(option.help))]\(value)")
    }

    /// Special characters of `_arguments` and `_describe`.
    private func zshEscaped(_ text: String) -> String {
        text.map { "[]:\\".contains($0) ? "\\\($0)" : String($0) }.joined()
    }

    private func zshQuoted(_ text: String) -> String {
        "'" + text.map { $0 == "'" ? "'\\''" : String($0) }.joined() + "'"
    }

    private func fishQuoted(_ text: String) -> String {
        "'" + text.map { "'\\".contains($0) ? "\\\($0)" : String($0) }.joined() + "'"
    }
}
