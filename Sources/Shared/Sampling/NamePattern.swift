/// A pattern for layer names in which `*` stands for any characters, even none, `?` for exactly one, and `[12]` or
/// `[1-3]` for one of those. A pattern that names a part of the network, such as `layer3`, matches all layers in it; it
/// may include what checkpoints add to a layer's name (`module.`, `.weight`).
public struct NamePattern: Sendable, Hashable {
    /// The pattern as written.
    public let text: String
    /// The pattern as given, and without what checkpoints add.
    private let readings: [[Part]]

    private enum Part: Hashable {
        case one(UInt8)
        case any
        case many
        case among(Set<UInt8>)
    }

    /// Makes a pattern.
    public init(_ text: String) {
        self.text = text
        readings = Set([text, LayerName.plain(text)]).map { Self.parts(of: Array($0.utf8)) }
    }

    /// The patterns of a list with commas between them.
    public static func list(_ text: String) -> [NamePattern] {
        text.split(separator: ",").map { NamePattern(String($0)) }
    }

    private static func parts(of pattern: [UInt8]) -> [Part] {
        var parts: [Part] = []
        var rest = pattern[...]
        while let byte = rest.popFirst() {
            switch byte {
            case UInt8(ascii: "*"): parts.append(.many)
            case UInt8(ascii: "?"): parts.append(.any)
            case UInt8(ascii: "["):
                // An unclosed bracket stands for itself.
                guard let end = rest.firstIndex(of: UInt8(ascii: "]")) else { fallthrough }
                parts.append(.among(members(of: rest[..<end])))
                rest = rest[(end + 1)...]
            default: parts.append(.one(byte))
            }
        }
        return parts
    }

    private static func members(of bracket: ArraySlice<UInt8>) -> Set<UInt8> {
        var members: Set<UInt8> = []
        var rest = bracket
        while let low = rest.popFirst() {
            if rest.first == UInt8(ascii: "-"), let high = rest.dropFirst().first, low <= high {
                members.formUnion(low...high)
                rest = rest.dropFirst(2)
            } else {
                members.insert(low)
            }
        }
        return members
    }

    /// Whether a name matches, or is in the part of the network that the pattern names. O(pattern × name) at worst.
    public func matches(_ name: String) -> Bool {
        let name = Array(name.utf8)
        return readings.contains {
            Self.matches($0, name) || Self.matches($0 + [.one(UInt8(ascii: ".")), .many], name)
        }
    }

    private static func matches(_ pattern: [Part], _ name: [UInt8]) -> Bool {
        var at = 0
        var position = 0
        var star: (at: Int, position: Int)?
        while position < name.count {
            if at < pattern.count, pattern[at] == .many {
                star = (at, position)
                at += 1
            } else if at < pattern.count, matches(pattern[at], name[position]) {
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
        return pattern[at...].allSatisfy { $0 == .many }
    }

    private static func matches(_ part: Part, _ byte: UInt8) -> Bool {
        switch part {
        case .one(let own): own == byte
        case .any: true
        case .many: false
        case .among(let members): members.contains(byte)
        }
    }
}
