import CSodium

extension Digest {
    /// The SHA-256 digest of some bytes.
    public init(sha256Of bytes: some Sequence<UInt8>) {
        var hash = SHA256()
        if bytes.withContiguousStorageIfAvailable({ hash.update(UnsafeRawBufferPointer($0)) }) == nil {
            Array(bytes).withUnsafeBytes { hash.update($0) }
        }
        self = hash.finished()
    }
}

/// SHA-256 of bytes that arrive in parts.
public struct SHA256 {
    private var state = crypto_hash_sha256_state()

    /// Starts with no bytes.
    public init() { crypto_hash_sha256_init(&state) }

    /// Takes in the next bytes.
    public mutating func update(_ bytes: UnsafeRawBufferPointer) {
        guard let start = bytes.baseAddress else { return }
        crypto_hash_sha256_update(&state, start.assumingMemoryBound(to: UInt8.self), UInt64(bytes.count))
    }

    /// The digest of all bytes.
    public consuming func finished() -> Digest {
        var bytes = [UInt8](repeating: 0, count: Digest.byteCount)
        crypto_hash_sha256_final(&state, &bytes)
        guard let digest = Digest(bytes: bytes) else { preconditionFailure("a digest has 32 bytes") }
        return digest
    }
}
