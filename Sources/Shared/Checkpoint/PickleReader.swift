/// Python's pickle machine, without Python: reads the opcodes used by PyTorch's checkpoints and CIFAR's batches
/// (protocols 2 to 5) into a ``Pickle``, and refuses all others. Objects of unknown classes become
/// ``Pickle/Object/other(_:)``.
///
/// Nothing that a pickle names is ever called. Time and memory are proportional to the pickle's length, and bounded.
struct PickleReader {
    /// The most steps to take. ResNet-1202's checkpoint takes about 150,000.
    static let stepsMax = 4_000_000
    /// The longest text.
    static let textBytesMax = 1 << 20
    /// The newest protocol.
    static let protocolMax: UInt8 = 5

    private var reader: ByteReader
    private var objects: [Pickle.Object] = []
    private var stack: [Pickle.Value] = []
    /// Heights of the stack at the open marks.
    private var marks: [Int] = []
    private var memo: [Int: Pickle.Value] = [:]
    /// Entries that may still be copied from one container to another.
    private var copiesLeft = stepsMax

    private init(_ reader: ByteReader) { self.reader = reader }

    /// Reads one pickle and leaves `reader` after it. Throws a `.badInput` ``Failure`` with the byte if it is not a
    /// checkpoint's.
    static func read(_ reader: inout ByteReader) throws -> Pickle {
        var machine = PickleReader(reader)
        for _ in 0..<stepsMax {
            let position = machine.reader.position
            let opcode = try machine.reader.byte()
            if opcode == Opcode.stop {
                let root = try machine.pop()
                reader = machine.reader
                return Pickle(objects: machine.objects, root: root)
            }
            try machine.step(opcode, at: position)
        }
        throw Failure(.badInput, "the pickle takes more than \(stepsMax) steps; no checkpoint or image batch does")
    }

    private mutating func step(_ opcode: UInt8, at position: Int) throws {
        switch opcode {
        case Opcode.proto:
            let version = try reader.byte()
            guard version <= Self.protocolMax else { throw damaged("has protocol \(version)") }
        case Opcode.frame: _ = try reader.slice(8)
        case Opcode.mark: marks.append(stack.count)
        case Opcode.pop: if stack.count == marks.last { marks.removeLast() } else { _ = try pop() }
        case Opcode.popMark: _ = try popToMark()
        case Opcode.dup: stack.append(try top())

        case Opcode.none: stack.append(.none)
        case Opcode.newTrue: stack.append(.bool(true))
        case Opcode.newFalse: stack.append(.bool(false))
        case Opcode.binInt1: stack.append(.integer(Int(try reader.byte())))
        case Opcode.binInt2: stack.append(.integer(try reader.count(bytes: 2)))
        case Opcode.binInt:
            stack.append(.integer(Int(Int32(truncatingIfNeeded: try reader.unsigned(bytes: 4)))))
        case Opcode.long1: stack.append(Self.long(try reader.slice(try reader.count(bytes: 1))))
        case Opcode.long4: stack.append(Self.long(try reader.slice(try reader.count(bytes: 4))))
        case Opcode.binFloat:
            stack.append(.float(Double(bitPattern: try reader.unsigned(bytes: 8).byteSwapped)))

        case Opcode.shortBinUnicode: try pushText(lengthBytes: 1)
        case Opcode.binUnicode: try pushText(lengthBytes: 4)
        case Opcode.shortBinString: try pushBytesOrText(lengthBytes: 1)
        case Opcode.binString: try pushBytesOrText(lengthBytes: 4)
        case Opcode.binUnicode8: try pushText(lengthBytes: 8)
        case Opcode.shortBinBytes: stack.append(.bytes(try reader.slice(try reader.count(bytes: 1))))
        case Opcode.binBytes: stack.append(.bytes(try reader.slice(try reader.count(bytes: 4))))
        case Opcode.binBytes8, Opcode.byteArray8:
            stack.append(.bytes(try reader.slice(try reader.count(bytes: 8))))

        case Opcode.emptyTuple: push(.tuple([]))
        case Opcode.tuple1: push(.tuple(try pop(count: 1)))
        case Opcode.tuple2: push(.tuple(try pop(count: 2)))
        case Opcode.tuple3: push(.tuple(try pop(count: 3)))
        case Opcode.tuple: push(.tuple(try popToMark()))
        case Opcode.emptyList: push(.list([]))
        case Opcode.list: push(.list(try popToMark()))
        case Opcode.append: try append(try pop(count: 1))
        case Opcode.appends, Opcode.addItems: try append(try popToMark())
        case Opcode.emptyDict: push(.dictionary([]))
        case Opcode.dict:
            let items = try popToMark()
            push(.dictionary([]))
            try setItems(items)
        case Opcode.setItem: try setItems(try pop(count: 2))
        case Opcode.setItems: try setItems(try popToMark())
        case Opcode.emptySet: push(.other("set"))
        case Opcode.frozenSet:
            _ = try popToMark()
            push(.other("frozenset"))

        case Opcode.global:
            let module = try text(reader.line(bytesMax: Self.textBytesMax))
            pushGlobal(module: module, name: try text(reader.line(bytesMax: Self.textBytesMax)))
        case Opcode.stackGlobal:
            let names = try pop(count: 2)
            guard case .string(let module) = names[0], case .string(let name) = names[1] else {
                throw damaged("names a class by something that is not text")
            }
            pushGlobal(module: module, name: name)
        case Opcode.reduce, Opcode.newObj: try reduce()
        case Opcode.newObjEx:
            _ = try pop()  // arguments by keyword, which only classes have that are of no use
            try reduce()
        case Opcode.build:
            // Attributes of an object, such as a state dict's version numbers, are not needed here; those of an array
            // are its shape and bytes.
            let state = try pop()
            guard case .object(let number) = try top() else { throw damaged("gives attributes to a plain value") }
            if case .rebuilt(.rebuildArray, _) = objects[number] { objects[number] = .rebuilt(.rebuildArray, [state]) }
        case Opcode.binPersId:
            guard case .object(let number) = try pop(), case .tuple(let description) = objects[number] else {
                throw damaged("describes a storage by something that is not a tuple")
            }
            push(.persistent(description))

        case Opcode.binPut: memo[try reader.count(bytes: 1)] = try top()
        case Opcode.longBinPut: memo[try reader.count(bytes: 4)] = try top()
        case Opcode.memoize: memo[memo.count] = try top()
        case Opcode.binGet: try pushMemo(try reader.count(bytes: 1))
        case Opcode.longBinGet: try pushMemo(try reader.count(bytes: 4))

        default:
            throw Failure(
                .badInput,
                "the pickle has opcode \(opcode) at byte \(position), which no checkpoint of parameters needs")
        }
    }

    // MARK: Stack

    private func damaged(_ what: String) -> Failure {
        Failure(.badInput, "the pickle is damaged: it \(what) before byte \(reader.position)")
    }

    private mutating func push(_ object: Pickle.Object) {
        stack.append(.object(objects.count))
        objects.append(object)
    }

    private func top() throws -> Pickle.Value {
        guard stack.count > marks.last ?? 0, let value = stack.last else { throw damaged("takes what it never made") }
        return value
    }

    private mutating func pop() throws -> Pickle.Value {
        let value = try top()
        stack.removeLast()
        return value
    }

    private mutating func pop(count: Int) throws -> [Pickle.Value] {
        guard stack.count - (marks.last ?? 0) >= count else { throw damaged("takes what it never made") }
        defer { stack.removeLast(count) }
        return Array(stack.suffix(count))
    }

    private mutating func popToMark() throws -> [Pickle.Value] {
        guard let mark = marks.popLast() else { throw damaged("closes what it never opened") }
        defer { stack.removeSubrange(mark...) }
        return Array(stack[mark...])
    }

    private mutating func pushMemo(_ index: Int) throws {
        guard let value = memo[index] else { throw damaged("recalls \(index), which it never remembered") }
        stack.append(value)
    }

    // MARK: Values

    private static func long(_ bytes: ArraySlice<UInt8>) -> Pickle.Value {
        guard bytes.count <= 8 else { return .wideInteger(Array(bytes)) }
        let isNegative = (bytes.last ?? 0) & 0x80 != 0
        var value: UInt64 = isNegative ? .max : 0
        for byte in bytes.reversed() { value = value << 8 | UInt64(byte) }
        return .integer(Int(Int64(bitPattern: value)))
    }

    private func text(_ bytes: ArraySlice<UInt8>) throws -> String {
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw damaged("holds a text that is not UTF-8")
        }
        return text
    }

    private mutating func pushText(lengthBytes: Int) throws {
        let length = try reader.count(bytes: lengthBytes)
        guard length <= Self.textBytesMax || length > reader.remaining else {
            throw damaged("holds a text of \(length) bytes (the limit is \(Self.textBytesMax))")
        }
        stack.append(.string(try text(try reader.slice(length))))
    }

    /// A string of Python 2, which may be a text or any bytes.
    private mutating func pushBytesOrText(lengthBytes: Int) throws {
        let bytes = try reader.slice(try reader.count(bytes: lengthBytes))
        let text = bytes.count <= Self.textBytesMax ? String(validating: bytes, as: UTF8.self) : nil
        stack.append(text.map { .string($0) } ?? .bytes(bytes))
    }

    private mutating func pushGlobal(module: String, name: String) {
        stack.append(.global(PickleGlobal(module: module, name: name)))
    }

    private mutating func append(_ items: [Pickle.Value]) throws {
        guard case .object(let number) = try top() else { throw damaged("appends to a plain value") }
        switch objects[number] {
        case .list(var values):
            objects[number] = .list([])  // releases the array, so that appending does not copy it
            values += items
            objects[number] = .list(values)
        case .other: break
        default: throw damaged("appends to something that is not a list")
        }
    }

    private mutating func setItems(_ items: [Pickle.Value]) throws {
        guard case .object(let number) = try top() else { throw damaged("sets entries of a plain value") }
        guard items.count % 2 == 0 else { throw damaged("sets a key without a value") }
        switch objects[number] {
        case .dictionary(var pairs):
            objects[number] = .dictionary([])
            for index in stride(from: 0, to: items.count, by: 2) { pairs.append((items[index], items[index + 1])) }
            objects[number] = .dictionary(pairs)
        case .other:
            // Anything that takes entries is a dictionary of some class, such as `collections.defaultdict`.
            objects[number] = .dictionary([])
            try setItems(items)
        default: throw damaged("sets entries of something that is not a dictionary")
        }
    }

    /// The result of calling a global with a tuple of arguments.
    private mutating func reduce() throws {
        let call = try pop(count: 2)
        // For example a method that was itself looked up by calling something.
        if case .object(let callee) = call[0], case .other(let name) = objects[callee] { return push(.other(name)) }
        guard case .global(let global) = call[0] else { throw damaged("calls something that is not a class") }
        guard case .object(let number) = call[1], case .tuple(let arguments) = objects[number] else {
            throw damaged("calls a class with something that is not a tuple of arguments")
        }
        switch global {
        case .orderedDictionary:
            push(.dictionary([]))
            if let first = arguments.first { try setItems(try pairs(first)) }
        case .rebuildTensor, .rebuildParameter, .rebuildSubclass, .rebuildArray, .arrayType:
            push(.rebuilt(global, arguments))
        case .other(let name): push(.other(name))
        case .storage: throw damaged("makes a storage instead of referring to one")
        }
    }

    /// The keys and values of a list of pairs, which an old `OrderedDict` is made from.
    private mutating func pairs(_ value: Pickle.Value) throws -> [Pickle.Value] {
        guard case .object(let number) = value, case .list(let items) = objects[number] else {
            throw damaged("makes a dictionary from something that is not a list of pairs")
        }
        copiesLeft -= items.count
        guard copiesLeft >= 0 else { throw damaged("copies more than \(Self.stepsMax) entries") }
        return try items.flatMap { item -> [Pickle.Value] in
            guard case .object(let number) = item else { throw damaged("makes a dictionary of plain values") }
            switch objects[number] {
            case .tuple(let pair) where pair.count == 2: return pair
            case .list(let pair) where pair.count == 2: return pair
            default: throw damaged("makes a dictionary from something that is not a pair")
            }
        }
    }
}

/// The opcodes, from Python's `pickletools`.
private enum Opcode {
    static let mark = UInt8(ascii: "(")
    static let stop = UInt8(ascii: ".")
    static let pop = UInt8(ascii: "0")
    static let popMark = UInt8(ascii: "1")
    static let dup = UInt8(ascii: "2")
    static let binInt = UInt8(ascii: "J")
    static let binInt1 = UInt8(ascii: "K")
    static let binInt2 = UInt8(ascii: "M")
    static let none = UInt8(ascii: "N")
    static let binPersId = UInt8(ascii: "Q")
    static let reduce = UInt8(ascii: "R")
    static let binString = UInt8(ascii: "T")
    static let shortBinString = UInt8(ascii: "U")
    static let binUnicode = UInt8(ascii: "X")
    static let append = UInt8(ascii: "a")
    static let build = UInt8(ascii: "b")
    static let global = UInt8(ascii: "c")
    static let dict = UInt8(ascii: "d")
    static let emptyDict = UInt8(ascii: "}")
    static let appends = UInt8(ascii: "e")
    static let binGet = UInt8(ascii: "h")
    static let longBinGet = UInt8(ascii: "j")
    static let list = UInt8(ascii: "l")
    static let emptyList = UInt8(ascii: "]")
    static let binPut = UInt8(ascii: "q")
    static let longBinPut = UInt8(ascii: "r")
    static let setItem = UInt8(ascii: "s")
    static let tuple = UInt8(ascii: "t")
    static let emptyTuple = UInt8(ascii: ")")
    static let setItems = UInt8(ascii: "u")
    static let binFloat = UInt8(ascii: "G")
    static let binBytes = UInt8(ascii: "B")
    static let shortBinBytes = UInt8(ascii: "C")
    static let proto: UInt8 = 0x80
    static let newObj: UInt8 = 0x81
    static let tuple1: UInt8 = 0x85
    static let tuple2: UInt8 = 0x86
    static let tuple3: UInt8 = 0x87
    static let newTrue: UInt8 = 0x88
    static let newFalse: UInt8 = 0x89
    static let long1: UInt8 = 0x8A
    static let long4: UInt8 = 0x8B
    static let shortBinUnicode: UInt8 = 0x8C
    static let binUnicode8: UInt8 = 0x8D
    static let binBytes8: UInt8 = 0x8E
    static let emptySet: UInt8 = 0x8F
    static let addItems: UInt8 = 0x90
    static let frozenSet: UInt8 = 0x91
    static let newObjEx: UInt8 = 0x92
    static let stackGlobal: UInt8 = 0x93
    static let memoize: UInt8 = 0x94
    static let frame: UInt8 = 0x95
    static let byteArray8: UInt8 = 0x96
}
