/// The files of CIFAR-10 or CIFAR-100 in a folder.
struct CIFARFiles {
    let folder: String
    private let names: [EvaluationSettings.Split: [String]]

    /// Looks for files in the first folder that has one; nil if none has.
    init?(in folders: [String], names: [EvaluationSettings.Split: [String]]) {
        let found = folders.first { folder in
            names.values.contains { InputFile.isReadable("\(folder)/\($0[0])") }
        }
        guard let found else { return nil }
        folder = found
        self.names = names
    }

    /// The files of a split, in order. Throws a `.badInput` ``Failure`` if the first is missing, or one between two
    /// others.
    func paths(_ split: EvaluationSettings.Split) throws -> [String] {
        let paths = (names[split] ?? []).map { "\(folder)/\($0)" }
        guard let last = paths.lastIndex(where: InputFile.isReadable) else {
            throw Failure(.badInput, "\(paths.first ?? folder) is missing or unreadable")
        }
        if let gap = paths[...last].first(where: { !InputFile.isReadable($0) }) {
            throw Failure(.badInput, "\(gap) is missing or unreadable, though later batches exist")
        }
        return Array(paths[...last])
    }
}
