import Testing

@testable import Shared

/// A checkpoint in PyTorch's old format with the given pickle as its description.
private func legacy(_ pickle: [UInt8]) -> [UInt8] {
    let magic: [UInt8] = [0x80, 2, 0x8A, 10, 0x6C, 0xFC, 0x9C, 0x46, 0xF9, 0x20, 0x6A, 0xA8, 0x50, 0x19, 0x2E]
    let version: [UInt8] = [0x80, 2] + Array("M".utf8) + [0xE9, 0x03] + Array(".".utf8)
    let facts: [UInt8] =
        [0x80, 2] + Array("}X".utf8) + [13, 0, 0, 0] + Array("little_endian".utf8) + [0x88] + Array("s.".utf8)
    let keys: [UInt8] = [0x80, 2] + Array("].".utf8)
    return magic + version + facts + pickle + keys
}

private func text(_ text: String) -> [UInt8] {
    [UInt8(ascii: "X"), UInt8(text.utf8.count), 0, 0, 0] + Array(text.utf8)
}

@Test(
    arguments: [
        ("cos\nsystem\nX\u{4}\0\0\0true\u{85}R.", "make with os.system, such as a whole module; nothing in it was run"),
        ("cbuiltins\neval\n.", "builtins.eval"),
        ("cposix\nsystem\n.", "posix.system"),
        ("ctorch.nn.modules.conv\nConv2d\n.", "torch.nn.modules.conv.Conv2d"),
        ("S'text'\n.", "opcode 83"),
        ("i__main__\nX\n.", "opcode 105"),
        (".", "takes what it never made"),
        ("0.", "takes what it never made"),
        ("t.", "closes what it never opened"),
        ("(((.", "takes what it never made"),
        ("h\u{5}.", "recalls 5, which it never remembered"),
        ("}K\u{1}a.", "not a list"),
        ("]K\u{1}K\u{2}s.", "not a dictionary"),
        ("K\u{1}K\u{2}R.", "calls something that is not a class"),
        ("ctorch\nFloatStorage\n)R.", "makes a storage"),
        ("K\u{1}Q.", "not a tuple"),
        ("K\u{1}K\u{2}b.", "gives attributes to a plain value"),
        ("}(K\u{1}u.", "a key without a value"),
        ("K\u{1}.", "no state dict but a single value"),
        ("}.", "holds no tensors"),
        ("X\u{FF}\u{FF}\u{FF}\u{7F}", "cut short"),
    ])
func badPicklesAreRefused(pickle: String, expected: String) {
    let bytes = pickle.unicodeScalars.map { UInt8(truncatingIfNeeded: $0.value) }
    let message = checkpointComplaint(legacy([0x80, 2] + bytes))
    #expect(message.hasPrefix("FILE: "))
    #expect(message.contains(expected), "\(message)")
}

@Test func aNameFromTheStackIsCheckedToo() {
    let pickle: [UInt8] = [0x80, 4] + text("os") + text("system") + [0x93] + Array(".".utf8)
    #expect(checkpointComplaint(legacy(pickle)).contains("make by os.system"))
}

@Test func aDictionaryThatHoldsItselfIsRead() {
    // {"state_dict": itself}
    let pickle: [UInt8] = Array("}q\0".utf8) + text("state_dict") + Array("h\0s.".utf8)
    #expect(checkpointComplaint(legacy(pickle)).contains("holds no tensors"))
}

@Test func deepNestingTakesNoStack() {
    let pickle: [UInt8] = Array(")".utf8) + [UInt8](repeating: 0x85, count: 1_000_000) + Array(".".utf8)
    #expect(checkpointComplaint(legacy(pickle)).contains("no state dict"))
}

@Test func stepsAreBounded() {
    let pickle = [UInt8](repeating: UInt8(ascii: "N"), count: PickleReader.stepsMax + 1)
    #expect(checkpointComplaint(legacy(pickle)).contains("more than \(PickleReader.stepsMax) steps"))
}

@Test func copiesOfEntriesAreBounded() {
    // One list of 1000 pairs, made into a dictionary again and again.
    var pickle: [UInt8] = Array("](".utf8)
    for _ in 0..<1000 { pickle += Array("NN".utf8) + [0x86] }
    pickle += Array("eq\0".utf8)
    for _ in 0..<5000 { pickle += Array("ccollections\nOrderedDict\nh\0".utf8) + [0x85] + Array("R".utf8) }
    #expect(checkpointComplaint(legacy(pickle + Array(".".utf8))).contains("copies more than"))
}

@Test func numbersAreReadAsPythonWritesThem() throws {
    func value(_ bytes: [UInt8]) throws -> Pickle.Value {
        var reader = ByteReader(bytes + Array(".".utf8), part: "a number")
        return try PickleReader.read(&reader).root
    }
    func integer(_ bytes: [UInt8]) throws -> Int? {
        if case .integer(let integer) = try value(bytes) { integer } else { nil }
    }
    #expect(try integer([UInt8(ascii: "J"), 0xFE, 0xFF, 0xFF, 0xFF]) == -2)
    #expect(try integer([UInt8(ascii: "M"), 0x01, 0x80]) == 0x8001)
    #expect(try integer([0x8A, 1, 0xFF]) == -1)
    #expect(try integer([0x8A, 2, 0xFF, 0x00]) == 255)
    #expect(try integer([0x8A, 0]) == 0)
    #expect(try integer([0x8A, 8, 0, 0, 0, 0, 0, 0, 0, 0x80]) == .min)
    guard case .float(0.1) = try value([UInt8(ascii: "G"), 0x3F, 0xB9, 0x99, 0x99, 0x99, 0x99, 0x99, 0x9A]) else {
        Issue.record("not 0.1")
        return
    }
}

@Test func tensorsOutsideOfTheirStorageAreRefused() throws {
    let bytes = [UInt8](repeating: 0, count: 40)[...]
    func make(_ shape: [Int], _ strides: [Int], _ offset: Int = 0) throws -> StoredTensor {
        try StoredTensor(type: .float32, shape: shape, strides: strides, offset: offset, bytes: bytes)
    }
    #expect(try make([2, 5], [5, 1]).converted().shape == [2, 5])
    #expect(try make([2, 4], [1, 2], 2).count == 8)
    #expect(try make([], [], 9).converted().values == [0])
    // One element, repeated.
    #expect(try make([20], [0]).converted().values == [Float](repeating: 0, count: 20))
    for (shape, strides, offset) in [
        ([2, 5], [5, 1], 1), ([11], [1], 0), ([10], [0, 1], 0), ([2], [10], 0), ([1], [1], 10), ([1], [1], -1),
        ([-1], [1], 0), ([2], [-1], 5), ([1 << 20], [0], 0), ([.max, .max], [1, 1], 0), ([2], [.max], 0),
        ([2, 2], [.max, 1], 5),
        ([1, 1, 1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1, 1, 1, 1], 0),
    ] {
        #expect(throws: Failure.self, "\(shape) \(strides) \(offset)") { try make(shape, strides, offset) }
    }
}
