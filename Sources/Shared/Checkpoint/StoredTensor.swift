/// A tensor as stored in a file, not yet converted.
struct StoredTensor {
    let type: ElementType
    let shape: [Int]
    /// Elements between neighbours along every dimension.
    let strides: [Int]
    /// The first element's index in `bytes`.
    let offset: Int
    /// The storage, which other tensors may share.
    let bytes: ArraySlice<UInt8>

    /// The most elements of a tensor that repeats some of its storage (PyTorch's `expand`), as scales of ones do. Any
    /// other has no more elements than its storage, so a file's size bounds what it makes us allocate.
    static let repeatedElementsMax = 1 << 16

    /// Makes a tensor within its storage. Throws if it exceeds it.
    init(type: ElementType, shape: [Int], strides: [Int], offset: Int, bytes: ArraySlice<UInt8>) throws {
        self.type = type
        self.shape = shape
        self.strides = strides
        self.offset = offset
        self.bytes = bytes
        guard shape.count == strides.count, shape.count <= Self.dimensionsMax, offset >= 0 else {
            throw Failure(.badInput, "shape \(shape), strides \(strides) and offset \(offset) do not make a tensor")
        }
        let available = bytes.count / type.size
        var elements = 1
        var last = offset
        for (extent, stride) in zip(shape, strides) {
            let (product, overflow) = elements.multipliedReportingOverflow(by: extent)
            let (reach, overflow2) = stride.multipliedReportingOverflow(by: max(extent - 1, 0))
            let (sum, overflow3) = last.addingReportingOverflow(reach)
            guard extent >= 0, stride >= 0, !overflow, !overflow2, !overflow3 else {
                throw Failure(.badInput, "shape \(shape) with strides \(strides) does not make a tensor")
            }
            elements = product
            last = sum
        }
        let elementsMax = strides.contains(0) ? max(available, Self.repeatedElementsMax) : available
        guard elements == 0 || (elements <= elementsMax && last < available) else {
            throw Failure(
                .badInput,
                "shape \(shape) with strides \(strides) from element \(offset) on does not fit its storage of "
                    + "\(available) elements")
        }
    }

    /// Makes a tensor of contiguous elements in row-major order.
    init(type: ElementType, shape: [Int], bytes: ArraySlice<UInt8>) throws {
        try self.init(type: type, shape: shape, strides: Self.rowMajorStrides(shape), offset: 0, bytes: bytes)
    }

    /// A tensor of 32-bit floats in row-major order.
    init(of values: [Float], shape: [Int]) throws {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(4 * values.count)
        for value in values { withUnsafeBytes(of: value.bitPattern.littleEndian) { bytes += $0 } }
        try self.init(type: .float32, shape: shape, bytes: bytes[...])
    }

    /// More dimensions than any network's parameters have.
    static let dimensionsMax = 8

    /// The strides of a contiguous tensor; overflowing ones wrap and are refused later.
    private static func rowMajorStrides(_ shape: [Int]) -> [Int] {
        var strides = [Int](repeating: 1, count: shape.count)
        for index in shape.indices.dropLast().reversed() {
            strides[index] = strides[index + 1] &* max(shape[index + 1], 1)
        }
        return strides
    }

    /// The number of elements.
    var count: Int { shape.reduce(1, *) }

    /// The tensor as 32-bit floats in row-major order. Throws if it holds integers, NaN or infinity.
    func converted() throws -> Tensor {
        guard type.isFloat else { throw Failure(.badInput, "holds integers, but floating-point numbers are needed") }
        let values = bytes.withUnsafeBytes { storage in
            [Float](unsafeUninitializedCapacity: count) { buffer, filled in
                var index = [Int](repeating: 0, count: shape.count)
                var element = offset
                while filled < buffer.count {
                    buffer.initializeElement(at: filled, to: type.float(storage, at: element * type.size))
                    filled += 1
                    var dimension = shape.count - 1
                    while dimension >= 0 {
                        index[dimension] += 1
                        element += strides[dimension]
                        if index[dimension] < shape[dimension] { break }
                        element -= strides[dimension] * shape[dimension]
                        index[dimension] = 0
                        dimension -= 1
                    }
                }
            }
        }
        if let bad = values.firstIndex(where: { !$0.isFinite }) {
            throw Failure(.badInput, "its value \(bad) is \(values[bad]); did the training diverge?")
        }
        return Tensor(shape: shape, values: values)
    }
}
