extension Onnx {
    /// Bytes that reading a model may still take: a multiple of its own size, so that a small file cannot make us take
    /// much memory or time by repeating, expanding or reading again what it holds.
    struct Budget {
        /// What the shapes and small constants of a network take.
        private static let least = 64 << 20
        /// Half-precision weights become floats, are transposed, and are looked at once more.
        private static let perByte = 8

        private var left: Int
        private var otherFiles = 0

        /// A budget for a model of so many bytes.
        init(bytes: Int) { left = Self.least + Self.perByte * bytes }

        /// Pays for bytes. Throws where there are not so many left.
        mutating func take(_ bytes: Int) throws {
            guard bytes >= 0, bytes <= left else {
                throw Failure(.badInput, "the model would take much more memory than the size of its file accounts for")
            }
            left -= bytes
        }

        /// Adds what another file of the model holds. Throws where the model's files hold too much.
        mutating func grow(by bytes: Int) throws {
            otherFiles += bytes
            guard otherFiles <= Checkpoint.bytesMax else {
                throw Failure(.badInput, "the model takes more than \(Checkpoint.bytesMax) bytes of other files")
            }
            left += Self.perByte * bytes
        }
    }
}
