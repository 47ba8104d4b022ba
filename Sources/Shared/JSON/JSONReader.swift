/// Reads JSON front to back, driven by the caller: it builds nothing unwanted, shows the order of members, and every
/// error names the byte. Unwanted values are skipped, and checked on the way.
public struct JSONReader {
    /// The deepest nesting to skip.
    static let depthMax = 64

    private let bytes: [UInt8]
    private let end: Int
    /// The offset of the next byte.
    public private(set) var position: Int

    /// Reads `bytes`, or a range of them.
    public init(_ bytes: [UInt8], range: Range<Int>? = nil) {
        let range = range ?? 0..<bytes.count
        precondition(range.lowerBound >= 0 && range.upperBound <= bytes.count, "range outside of the bytes")
        self.bytes = bytes
        position = range.lowerBound
        end = range.upperBound
    }

    /// Reads an object: calls `member` with each key; it must read the value. Throws on a duplicate key.
    public mutating func object(_ member: (inout JSONReader, String) throws -> Void) throws {
        try take(UInt8(ascii: "{"), "an object {…}")
        if takeIf(UInt8(ascii: "}")) { return }
        var keys: Set<String> = []
        repeat {
            let key = try string()
            guard keys.insert(key).inserted else { throw damaged("the key \"\(key.prefix(80))\" occurs twice") }
            try take(UInt8(ascii: ":"), "a colon")
            try member(&self, key)
        } while takeIf(UInt8(ascii: ","))
        try take(UInt8(ascii: "}"), "a comma or }")
    }

    /// Reads an array: calls `element` with the index of each element; it must read it.
    public mutating func array(_ element: (inout JSONReader, Int) throws -> Void) throws {
        try take(UInt8(ascii: "["), "an array […]")
        if takeIf(UInt8(ascii: "]")) { return }
        var index = 0
        repeat {
            try element(&self, index)
            index += 1
        } while takeIf(UInt8(ascii: ","))
        try take(UInt8(ascii: "]"), "a comma or ]")
    }

    /// Reads a whole number. Throws on a fraction, an exponent, or one that does not fit 64 bits.
    public mutating func integer() throws -> Int {
        skipSpace()
        let start = position
        guard let text = numberText(), let value = Int(text) else {
            position = start
            throw damaged("a whole number is needed")
        }
        return value
    }

    /// Reads a finite number.
    public mutating func number() throws -> Double {
        skipSpace()
        let start = position
        guard let text = numberText(), let value = Double(text), value.isFinite else {
            position = start
            throw damaged("a number is needed")
        }
        return value
    }

    /// Reads `null` if it is next.
    public mutating func null() throws -> Bool {
        skipSpace()
        guard position < end, bytes[position] == UInt8(ascii: "n") else { return false }
        try takeWord("null")
        return true
    }

    /// Reads a string.
    public mutating func string() throws -> String {
        try take(UInt8(ascii: "\""), "a string")
        var text: [UInt8] = []
        while true {
            guard position < end else { throw damaged("the string is unterminated") }
            let byte = bytes[position]
            position += 1
            switch byte {
            case UInt8(ascii: "\""):
                guard let string = String(validating: text, as: UTF8.self) else {
                    throw damaged("the string is not UTF-8")
                }
                return string
            case UInt8(ascii: "\\"): text += try escape()
            case 0..<0x20: throw damaged("a control character in a string")
            default: text.append(byte)
            }
        }
    }

    /// Reads a value of any kind and drops it.
    public mutating func skip() throws { try skip(depth: 0) }

    /// Checks that only space is left.
    public mutating func finish() throws {
        skipSpace()
        guard position == end else { throw damaged("there is text after the end") }
    }

    /// An error at the current position.
    public func damaged(_ what: String) -> Failure {
        Failure(.badInput, "\(what), at byte \(position)\(position >= end ? ", where the text ends" : "")")
    }

    // MARK: Parts

    private mutating func skip(depth: Int) throws {
        guard depth < Self.depthMax else { throw damaged("nested deeper than \(Self.depthMax)") }
        skipSpace()
        guard position < end else { throw damaged("a value is needed") }
        switch bytes[position] {
        case UInt8(ascii: "{"): try object { reader, _ in try reader.skip(depth: depth + 1) }
        case UInt8(ascii: "["): try array { reader, _ in try reader.skip(depth: depth + 1) }
        case UInt8(ascii: "\""): _ = try string()
        case UInt8(ascii: "t"): try takeWord("true")
        case UInt8(ascii: "f"): try takeWord("false")
        case UInt8(ascii: "n"): try takeWord("null")
        default: _ = try number()
        }
    }

    private mutating func skipSpace() {
        while position < end {
            switch bytes[position] {
            case 0x20, 0x0A, 0x0D, 0x09: position += 1
            default: return
            }
        }
    }

    private mutating func takeIf(_ byte: UInt8) -> Bool {
        skipSpace()
        guard position < end, bytes[position] == byte else { return false }
        position += 1
        return true
    }

    private mutating func take(_ byte: UInt8, _ what: String) throws {
        guard takeIf(byte) else { throw damaged("\(what) is needed") }
    }

    private mutating func takeWord(_ word: StaticString) throws {
        let length = word.utf8CodeUnitCount
        let expected = UnsafeBufferPointer(start: word.utf8Start, count: length)
        guard position + length <= end, bytes[position..<position + length].elementsEqual(expected) else {
            throw damaged("\(word) is needed")
        }
        position += length
    }

    /// Reads what JSON's grammar allows as a number, or returns nil.
    private mutating func numberText() -> String? {
        let start = position
        func isDigit(_ position: Int) -> Bool {
            position < end && (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(bytes[position])
        }
        func isOneOf(_ choices: StaticString) -> Bool {
            position < end
                && UnsafeBufferPointer(start: choices.utf8Start, count: choices.utf8CodeUnitCount)
                    .contains(bytes[position])
        }
        if isOneOf("-") { position += 1 }
        guard isDigit(position) else { return nil }
        if isOneOf("0") { position += 1 } else { while isDigit(position) { position += 1 } }
        if isOneOf(".") {
            position += 1
            guard isDigit(position) else { return nil }
            while isDigit(position) { position += 1 }
        }
        if isOneOf("eE") {
            position += 1
            if isOneOf("+-") { position += 1 }
            guard isDigit(position) else { return nil }
            while isDigit(position) { position += 1 }
        }
        return String(decoding: bytes[start..<position], as: UTF8.self)
    }

    /// Reads the rest of an escape sequence, as UTF-8.
    private mutating func escape() throws -> [UInt8] {
        guard position < end else { throw damaged("the string is unterminated") }
        let byte = bytes[position]
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return [byte]
        case UInt8(ascii: "b"): return [0x08]
        case UInt8(ascii: "f"): return [0x0C]
        case UInt8(ascii: "n"): return [0x0A]
        case UInt8(ascii: "r"): return [0x0D]
        case UInt8(ascii: "t"): return [0x09]
        case UInt8(ascii: "u"):
            var units = [try hexadecimal()]
            if UTF16.isLeadSurrogate(units[0]), position + 1 < end, bytes[position] == UInt8(ascii: "\\"),
                bytes[position + 1] == UInt8(ascii: "u")
            {
                position += 2
                units.append(try hexadecimal())
            }
            guard let text = String(validating: units, as: UTF16.self) else {
                throw damaged("half a surrogate pair in a string")
            }
            return Array(text.utf8)
        default: throw damaged("an unknown escape in a string")
        }
    }

    private mutating func hexadecimal() throws -> UInt16 {
        guard position + 4 <= end,
            bytes[position..<position + 4].allSatisfy({ Character(UnicodeScalar($0)).isHexDigit }),
            let unit = UInt16(String(decoding: bytes[position..<position + 4], as: UTF8.self), radix: 16)
        else { throw damaged("four hexadecimal digits are needed") }
        position += 4
        return unit
    }
}
