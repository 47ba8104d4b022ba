extension Onnx {
    /// A tensor as stored in the file, not yet converted.
    struct StoredTensor {
        /// More dimensions than any tensor of a network has.
        static let dimensionsMax = 8

        /// The place of its message: typed elements are read from there when needed.
        let message: Range<Int>
        var name = ""
        var dimensions: [Int] = []
        /// ONNX's number of the element type.
        var type = 0
        /// The place of its elements as bytes, if they are.
        var raw: Range<Int>?
        /// The place of its elements in another file: `location`, `offset`, `length`.
        var external: [String: String] = [:]
        var isExternal = false

        init(message: Range<Int>) { self.message = message }
    }

    /// What an element is.
    enum Element {
        case floating(ElementType)
        case signed(bytes: Int)
        case unsigned(bytes: Int)

        /// The type with ONNX's number, or nil if no supported network has it.
        init?(_ number: Int) {
            switch number {
            case 1: self = .floating(.float32)
            case 10: self = .floating(.float16)
            case 11: self = .floating(.float64)
            case 16: self = .floating(.bfloat16)
            case 2, 9: self = .unsigned(bytes: 1)
            case 4: self = .unsigned(bytes: 2)
            case 12: self = .unsigned(bytes: 4)
            case 13: self = .unsigned(bytes: 8)
            case 3: self = .signed(bytes: 1)
            case 5: self = .signed(bytes: 2)
            case 6: self = .signed(bytes: 4)
            case 7: self = .signed(bytes: 8)
            default: return nil
            }
        }

        /// Bytes of one element.
        var size: Int {
            switch self {
            case .floating(let type): type.size
            case .signed(let bytes), .unsigned(let bytes): bytes
            }
        }

        var isFloating: Bool { if case .floating = self { true } else { false } }
    }
}

extension Onnx.StoredTensor {
    /// The most integers of one tensor: shapes, axes, indices of channels.
    static let integersMax = 1 << 20

    /// The elements, converted. `budget` is charged before memory is allocated. Throws a `.badInput` ``Failure`` if the
    /// tensor's size does not fit its elements.
    func constant(_ bytes: [UInt8], _ folder: Onnx.Folder?, _ budget: inout Onnx.Budget) throws -> Onnx.Constant {
        do {
            return try converted(bytes, folder, &budget)
        } catch let failure as Failure {
            throw Failure(failure.kind, "tensor \(name.isEmpty ? "of a constant" : name): \(failure.description)")
        }
    }

    private func converted(
        _ bytes: [UInt8], _ folder: Onnx.Folder?, _ budget: inout Onnx.Budget
    ) throws -> Onnx.Constant {
        guard let element = Onnx.Element(type) else {
            throw Failure(.badInput, "its elements are of type \(type), which no supported network has")
        }
        let count = try Onnx.Constant.count(of: dimensions)
        guard element.isFloating || count <= Self.integersMax else {
            throw Failure(.badInput, "it has \(count) integers; the limit is \(Self.integersMax)")
        }
        var constant: Onnx.Constant
        if isExternal {
            let (size, overflows) = count.multipliedReportingOverflow(by: element.size)
            guard !overflows else { throw Failure(.badInput, "shape \(dimensions) has too many elements") }
            guard let folder else {
                throw Failure(.badInput, "its elements are in another file; give the path of the model, not its bytes")
            }
            let place = try folder.place(external, size: size)
            try budget.grow(by: size)
            try budget.take(size)
            let stored = try folder.bytes(at: place)
            try budget.take(count * Onnx.Constant.elementBytes(element))
            constant = Self.constant(element, count, dimensions, stored, 0..<stored.count)
        } else if let raw, count > 0 || !raw.isEmpty {
            guard raw.count % element.size == 0, raw.count / element.size == count else {
                throw Failure(
                    .badInput,
                    "it has \(raw.count) bytes, but shape \(dimensions) needs \(count) elements of \(element.size)")
            }
            try budget.take(count * Onnx.Constant.elementBytes(element))
            constant = Self.constant(element, count, dimensions, bytes, raw)
        } else {
            constant = try typed(element, count, bytes, &budget)
        }
        constant.name = name.isEmpty ? nil : name
        return constant
    }

    /// Elements that lie as bytes.
    private static func constant(
        _ element: Onnx.Element, _ count: Int, _ dimensions: [Int], _ bytes: [UInt8], _ range: Range<Int>
    ) -> Onnx.Constant {
        bytes.withUnsafeBytes { all in
            let raw = UnsafeRawBufferPointer(rebasing: all[range])
            switch element {
            case .floating(let type):
                let floats = [Float](unsafeUninitializedCapacity: count) { buffer, filled in
                    while filled < count {
                        buffer.initializeElement(at: filled, to: type.float(raw, at: filled * type.size))
                        filled += 1
                    }
                }
                return Onnx.Constant(dimensions, .floats(floats))
            case .signed(let size), .unsigned(let size):
                let integers = (0..<count).map { index in
                    var bits: UInt64 = 0
                    for byte in 0..<size { bits |= UInt64(raw[index * size + byte]) << UInt64(8 * byte) }
                    if case .signed = element {
                        let unused = 64 - 8 * size
                        return Int(truncatingIfNeeded: Int64(bitPattern: bits << UInt64(unused)) >> Int64(unused))
                    }
                    return Int(truncatingIfNeeded: bits)
                }
                return Onnx.Constant(dimensions, .integers(integers))
            }
        }
    }

    /// Elements that are the message's own numbers: `float_data` (4), `int32_data` (5), `int64_data` (7),
    /// `double_data` (10), `uint64_data` (11). Halves are the bits of `int32_data`.
    private func typed(
        _ element: Onnx.Element, _ count: Int, _ bytes: [UInt8], _ budget: inout Onnx.Budget
    ) throws -> Onnx.Constant {
        // Every element takes at least one byte.
        guard count <= message.count else {
            throw Failure(.badInput, "shape \(dimensions) needs \(count) elements, more than the file holds")
        }
        try budget.take(count * Onnx.Constant.elementBytes(element))
        var floats: [Float] = []
        var integers: [Int] = []
        if element.isFloating { floats.reserveCapacity(count) } else { integers.reserveCapacity(count) }
        func add(_ number: UInt64) throws {
            guard floats.count + integers.count < count else {
                throw Failure(.badInput, "it has more elements than shape \(dimensions) needs")
            }
            switch element {
            case .floating(.float16): floats.append(Float(Float16(bitPattern: UInt16(truncatingIfNeeded: number))))
            case .floating(.bfloat16): floats.append(Float(bitPattern: UInt32(truncatingIfNeeded: number) << 16))
            case .floating: throw Failure(.badInput, "it holds integers where its type says floating-point numbers")
            case .signed, .unsigned: integers.append(Int(truncatingIfNeeded: number))
            }
        }
        func add(_ number: Double) throws {
            guard element.isFloating, floats.count < count else {
                throw Failure(.badInput, "its elements do not fit its type or shape \(dimensions)")
            }
            floats.append(Float(number))
        }
        var reader = ProtobufReader(bytes, message, part: "a tensor")
        while let (field, value) = try reader.next() {
            switch (field, value) {
            case (4, .fixed32(let bits)): try add(Double(Float(bitPattern: bits)))
            case (10, .fixed64(let bits)): try add(Double(bitPattern: bits))
            case (5, .varint(let number)), (7, .varint(let number)), (11, .varint(let number)): try add(number)
            case (4, .bytes(let range)):
                var numbers = ProtobufReader(bytes, range, part: "a tensor's elements")
                while !numbers.isAtEnd {
                    try add(Double(Float(bitPattern: UInt32(truncatingIfNeeded: numbers.fixed(4)))))
                }
            case (10, .bytes(let range)):
                var numbers = ProtobufReader(bytes, range, part: "a tensor's elements")
                while !numbers.isAtEnd { try add(Double(bitPattern: numbers.fixed(8))) }
            case (5, .bytes(let range)), (7, .bytes(let range)), (11, .bytes(let range)):
                var numbers = ProtobufReader(bytes, range, part: "a tensor's elements")
                while !numbers.isAtEnd { try add(numbers.varint()) }
            default: break
            }
        }
        guard floats.count + integers.count == count else {
            throw Failure(
                .badInput, "it has \(floats.count + integers.count) elements, but shape \(dimensions) needs \(count)")
        }
        return Onnx.Constant(dimensions, element.isFloating ? .floats(floats) : .integers(integers))
    }
}
