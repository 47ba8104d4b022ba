/// A part of a long row of floats: a version of the parameters, or a job's result.
public struct RowPart: Sendable, Equatable {
    /// The most floats of a part.
    public static let floatsMax = 128 << 10
    /// The most floats of a whole row; bounds a network's parameters and gradients.
    public static let totalMax = Checkpoint.parametersMax

    /// The row's subject: a version of the parameters, or a lease's ``LeaseID/number``.
    public var subject: UInt64
    /// Floats of the whole row.
    public var total: Int
    /// The first float of this part.
    public var offset: Int
    /// The floats of this part, which may be infinite or no numbers.
    public var floats: [Float]

    /// Makes a part.
    public init(subject: UInt64, total: Int, offset: Int, floats: [Float]) {
        self.subject = subject
        self.total = total
        self.offset = offset
        self.floats = floats
    }

    /// The parts of a row, of equal length except the last one.
    public static func parts(of row: [Float], subject: UInt64, floats: Int = floatsMax) -> [RowPart] {
        precondition(row.count <= totalMax, "a bounded row")
        return stride(from: 0, to: row.count, by: floats).map { offset in
            RowPart(
                subject: subject, total: row.count, offset: offset,
                floats: Array(row[offset..<min(offset + floats, row.count)]))
        }
    }

    /// Compares bits, so NaN equals itself.
    public static func == (a: RowPart, b: RowPart) -> Bool {
        a.subject == b.subject && a.total == b.total && a.offset == b.offset
            && a.floats.elementsEqual(b.floats) { $0.bitPattern == $1.bitPattern }
    }
}

/// Assembles the parts of one row, in any order; allocates memory only for what has arrived.
public struct RowAssembly: Sendable {
    /// What the row belongs to.
    public let subject: UInt64
    /// Floats of the whole row.
    public let total: Int
    /// Floats of each part except the last one.
    private let partFloats: Int
    private var parts: [Int: [Float]] = [:]

    /// Awaits a row.
    public init(subject: UInt64, total: Int, partFloats: Int = RowPart.floatsMax) {
        self.subject = subject
        self.total = total
        self.partFloats = partFloats
    }

    /// Adds a part. Returns false if it is not one of this row.
    public mutating func add(_ part: RowPart) -> Bool {
        guard part.subject == subject, part.total == total, part.offset % partFloats == 0, part.offset < total,
            part.floats.count == min(partFloats, total - part.offset)
        else { return false }
        parts[part.offset] = part.floats
        return true
    }

    /// Whether all parts are here. O(1).
    public var isWhole: Bool { parts.count == (total + partFloats - 1) / partFloats }

    /// The offsets of the first missing parts.
    public func missing(atMost count: Int) -> [Int] {
        Array(stride(from: 0, to: total, by: partFloats).lazy.filter { parts[$0] == nil }.prefix(count))
    }

    /// The whole row, or nil if parts are missing.
    public var row: [Float]? {
        guard isWhole else { return nil }
        if parts.count == 1, let only = parts[0] { return only }
        var row: [Float] = []
        row.reserveCapacity(total)
        for offset in stride(from: 0, to: total, by: partFloats) { row += parts[offset] ?? [] }
        return row
    }
}
