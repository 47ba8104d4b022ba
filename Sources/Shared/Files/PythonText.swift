/// Writing Python source with text from elsewhere, such as the names in a checkpoint.
public enum PythonText {
    /// A Python 3 string literal for exactly this text, in double quotes and printable ASCII: nothing in it ends the
    /// literal, the line or the file.
    public static func quoted(_ text: String) -> String {
        var result = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": result += "\\\""
            case "\\": result += "\\\\"
            case " "..."~": result.unicodeScalars.append(scalar)
            default: result += escape(scalar.value)
            }
        }
        return result + "\""
    }

    /// The escape of the shortest kind: `\x1b`, `\u202e`, `\U0001f600`.
    private static func escape(_ value: UInt32) -> String {
        let (letter, width) = value <= 0xFF ? ("x", 2) : value <= 0xFFFF ? ("u", 4) : ("U", 8)
        let digits = String(value, radix: 16)
        return "\\" + letter + String(repeating: "0", count: width - digits.count) + digits
    }
}
