extension Onnx {
    /// Bytes that reading a model may still take: a multiple of its own size, so a small file cannot consume much
    /// memory or time by repeating, expanding or rereading its content.
    struct Budget {
        /// The share of a network's shapes and small constants.
        private static let least = 64 << 20
        /// Half-precision weights become floats, are transposed, and read once more.
        private static let perByte = 8

        private var left: Int
        private var otherFiles = 0

        /// A budget for a model of this many bytes.
        init(bytes: Int) { left = Self.least + Self.perByte * bytes }

        /// Charges bytes. Throws if too few are left.
        mutating func take(_ bytes: Int) throws {
            guard bytes >= 0, bytes <= left else {
                throw Failure(.badInput, "the model would take much more memory than the size of its file accounts for")
            }
            left -= bytes
        }

        /// Adds the size of another file of the model. Throws if the model's files hold too much.
        mutating func grow(by bytes: Int) throws {
            otherFiles += bytes
            guard otherFiles <= Checkpoint.bytesMax else {
                throw Failure(.badInput, "the model takes more than \(Checkpoint.bytesMax) bytes of other files")
            }
            left += Self.perByte * bytes
        }
    }
}
