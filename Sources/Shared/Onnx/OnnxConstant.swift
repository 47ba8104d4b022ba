extension Onnx {
    /// A tensor that does not depend on the image: a weight, or a number from the exporter's calculations.
    struct Constant {
        enum Elements {
            case floats([Float])
            /// Integers; truth values are 0 and 1.
            case integers([Int])
        }

        /// The extent of every dimension, none for a scalar.
        var dimensions: [Int]
        /// In row-major order.
        var elements: Elements
        /// The name of the file's tensor that it is unchanged from, if any.
        var name: String?

        init(_ dimensions: [Int], _ elements: Elements) {
            self.dimensions = dimensions
            self.elements = elements
        }

        /// A vector of integers, for example a shape.
        init(vector integers: [Int]) { self.init([integers.count], .integers(integers)) }

        /// The number of elements.
        var count: Int {
            switch elements {
            case .floats(let floats): floats.count
            case .integers(let integers): integers.count
            }
        }

        /// The elements as floats.
        var floats: [Float] {
            switch elements {
            case .floats(let floats): floats
            case .integers(let integers): integers.map(Float.init)
            }
        }

        /// The elements as integers, or nil if they are floats.
        var integers: [Int]? { if case .integers(let integers) = elements { integers } else { nil } }

        /// The value that all elements have, or nil.
        var uniform: Double? {
            switch elements {
            case .floats(let floats):
                guard let first = floats.first, floats.allSatisfy({ $0 == first }) else { return nil }
                return Double(first)
            case .integers(let integers):
                guard let first = integers.first, integers.allSatisfy({ $0 == first }) else { return nil }
                return Double(first)
            }
        }

        /// Bytes of one converted element.
        static func elementBytes(_ element: Element) -> Int { element.isFloating ? 4 : 8 }

        /// Bytes of one element.
        var elementBytes: Int { if case .floats = elements { 4 } else { 8 } }

        /// The number of elements of a shape. Throws if it is invalid or too large.
        static func count(of dimensions: [Int]) throws -> Int {
            var count = 1
            for size in dimensions {
                let (product, overflows) = count.multipliedReportingOverflow(by: size)
                guard size >= 0, !overflows, product <= GraphBuilder.valuesMax else {
                    throw Failure(
                        .badInput, "shape \(dimensions) is none, or has more than \(GraphBuilder.valuesMax) elements")
                }
                count = product
            }
            return count
        }

        /// Elements between neighbours along each dimension, in row-major order.
        static func strides(of dimensions: [Int]) -> [Int] {
            var strides = [Int](repeating: 1, count: dimensions.count)
            for index in dimensions.indices.dropLast().reversed() {
                strides[index] = strides[index + 1] * max(dimensions[index + 1], 1)
            }
            return strides
        }
    }
}

extension Onnx.Constant {
    /// The same elements in another shape, or nil if that has another count.
    func reshaped(_ dimensions: [Int]) -> Onnx.Constant? {
        guard (try? Self.count(of: dimensions)) == count else { return nil }
        var reshaped = self
        reshaped.dimensions = dimensions
        return reshaped
    }

    /// Elements read with other extents and strides from an offset on; all must be within. Transposes, slices and
    /// repeats. The result has no name.
    func strided(
        _ dimensions: [Int], _ strides: [Int], offset: Int = 0, _ budget: inout Onnx.Budget
    ) throws -> Onnx.Constant {
        let count = try Self.count(of: dimensions)
        try budget.take(count * elementBytes)
        let walk = Onnx.StridedWalk(dimensions, strides, offset: offset)
        switch elements {
        case .floats(let floats): return Onnx.Constant(dimensions, .floats(walk.map(count) { floats[$0] }))
        case .integers(let integers): return Onnx.Constant(dimensions, .integers(walk.map(count) { integers[$0] }))
        }
    }

    /// The dimensions in another order.
    func transposed(_ order: [Int], _ budget: inout Onnx.Budget) throws -> Onnx.Constant {
        let strides = Self.strides(of: dimensions)
        return try strided(order.map { dimensions[$0] }, order.map { strides[$0] }, &budget)
    }

    /// The elements repeated along dimensions of extent 1, or nil if the shapes do not fit.
    func broadcast(to target: [Int], _ budget: inout Onnx.Budget) throws -> Onnx.Constant? {
        if target == dimensions { return self }
        guard let strides = broadcastStrides(to: target) else { return nil }
        return try strided(target, strides, &budget)
    }

    /// Strides for reading elements in a larger shape: 0 where they repeat. Nil if the shapes do not fit.
    func broadcastStrides(to target: [Int]) -> [Int]? {
        guard dimensions.count <= target.count else { return nil }
        let missing = target.count - dimensions.count
        let own = Self.strides(of: dimensions)
        var strides = [Int](repeating: 0, count: target.count)
        for (index, size) in dimensions.enumerated() where size != 1 || target[missing + index] == 1 {
            guard size == target[missing + index] else { return nil }
            strides[missing + index] = own[index]
        }
        return strides
    }

    /// The shape to which two are broadcast, or nil.
    static func broadcast(_ first: [Int], _ second: [Int]) -> [Int]? {
        let rank = max(first.count, second.count)
        let padded = [first, second].map { Array(repeating: 1, count: rank - $0.count) + $0 }
        var result: [Int] = []
        for (a, b) in zip(padded[0], padded[1]) {
            guard a == b || a == 1 || b == 1 else { return nil }
            result.append(a == 1 ? b : a)
        }
        return result
    }
}

extension Onnx {
    /// Visits places of a tensor by extents and strides, the last dimension fastest.
    struct StridedWalk {
        private let dimensions: [Int]
        private let strides: [Int]
        private let offset: Int

        init(_ dimensions: [Int], _ strides: [Int], offset: Int = 0) {
            self.dimensions = dimensions
            self.strides = strides
            self.offset = offset
        }

        /// A value for each of the `count` places.
        func map<Value>(_ count: Int, _ value: (Int) throws -> Value) rethrows -> [Value] {
            var values: [Value] = []
            values.reserveCapacity(count)
            var index = [Int](repeating: 0, count: dimensions.count)
            var place = offset
            while values.count < count {
                values.append(try value(place))
                var dimension = dimensions.count - 1
                while dimension >= 0 {
                    index[dimension] += 1
                    place += strides[dimension]
                    if index[dimension] < dimensions[dimension] { break }
                    place -= strides[dimension] * dimensions[dimension]
                    index[dimension] = 0
                    dimension -= 1
                }
            }
            return values
        }
    }
}
