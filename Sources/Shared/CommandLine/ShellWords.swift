/// Command lines as a person can paste them into a shell.
public enum ShellWords {
    /// Bytes without a special meaning in a shell.
    private static let plain = Set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:=,+@%".utf8)

    /// The words, quoted if a shell needs it.
    public static func command(_ words: some Sequence<String>) -> String {
        words.map(quoted).joined(separator: " ")
    }

    /// One word, quoted if a shell needs it.
    public static func quoted(_ word: String) -> String {
        if !word.isEmpty, word.utf8.allSatisfy(plain.contains) { return word }
        return "'" + word.replacing("'", with: "'\\''") + "'"
    }
}
