/// Writes JSON value by value, several times faster than encoding a tree of values: for frequent writing.
///
/// Adds commas itself. Inside ``object(_:_:)`` everything has a name, inside ``array(_:of:_:)`` nothing.
public struct JSONWriter {
    /// What was written.
    public private(set) var text = ""
    private var needsComma = false

    /// An empty text.
    public init() {}

    /// An object; `members` writes them.
    public mutating func object(_ name: String? = nil, _ members: (inout JSONWriter) -> Void) {
        begin(name, "{")
        members(&self)
        end("}")
    }

    /// An array with one value per element, written by `value`.
    public mutating func array<Elements: Sequence>(
        _ name: String? = nil, of elements: Elements, _ value: (inout JSONWriter, Elements.Element) -> Void
    ) {
        begin(name, "[")
        for element in elements { value(&self, element) }
        end("]")
    }

    /// A member of an object.
    public mutating func member(_ name: String, _ value: some JSONScalar) { put(name, value.jsonText) }

    /// An element of an array.
    public mutating func element(_ value: some JSONScalar) { put(nil, value.jsonText) }

    private mutating func begin(_ name: String?, _ bracket: String) {
        put(name, bracket)
        needsComma = false
    }

    private mutating func end(_ bracket: String) {
        text += bracket
        needsComma = true
    }

    private mutating func put(_ name: String?, _ value: String) {
        if needsComma { text += "," }
        if let name {
            text += "\""
            text += name
            text += "\":"
        }
        text += value
        needsComma = true
    }
}

/// A value without parts: a string, a number, true or false.
public protocol JSONScalar {
    /// Its text in JSON.
    var jsonText: String { get }
}

extension String: JSONScalar {
    public var jsonText: String { JSONText.quoted(self) }
}

extension JSONScalar where Self: BinaryInteger {
    public var jsonText: String { String(self) }
}

extension Int: JSONScalar {}
extension UInt64: JSONScalar {}

extension Double: JSONScalar {
    /// Null if it is not finite, which JSON cannot express.
    public var jsonText: String { isFinite ? description : "null" }
}

extension Bool: JSONScalar {
    public var jsonText: String { self ? "true" : "false" }
}
