/// A pattern over layer names in which `*` stands for any characters, also none, and `?` for exactly one.
public struct NamePattern: Sendable, Hashable {
    /// The pattern as written.
    public let text: String

    /// Makes a pattern.
    public init(_ text: String) { self.text = text }

    /// Whether a name is of the pattern. O(pattern × name) at worst.
    public func matches(_ name: String) -> Bool {
        let pattern = Array(text.utf8)
        let name = Array(name.utf8)
        var at = 0
        var position = 0
        var star: (at: Int, position: Int)?
        while position < name.count {
            if at < pattern.count, pattern[at] == UInt8(ascii: "*") {
                star = (at, position)
                at += 1
            } else if at < pattern.count, pattern[at] == UInt8(ascii: "?") || pattern[at] == name[position] {
                at += 1
                position += 1
            } else if let last = star {
                star = (last.at, last.position + 1)
                at = last.at + 1
                position = last.position + 1
            } else {
                return false
            }
        }
        return pattern[at...].allSatisfy { $0 == UInt8(ascii: "*") }
    }
}
