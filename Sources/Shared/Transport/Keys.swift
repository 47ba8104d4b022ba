import CZeroMQ
import Foundation

/// A CURVE key, public or secret: 32 bytes, written as 40 characters of Z85 (ZeroMQ RFC 32).
public struct CurveKey: Sendable, Hashable {
    /// Bytes of a key.
    public static let size = 32
    /// Characters of a key.
    public static let textLength = 40

    /// The bytes.
    public let bytes: [UInt8]

    /// A key from its bytes, or nil if they are not 32.
    public init?(bytes: some Collection<UInt8>) {
        guard bytes.count == Self.size else { return nil }
        self.bytes = Array(bytes)
    }

    /// A key from its text, or nil if it is not 40 characters of Z85.
    public init?(text: String) {
        guard text.utf8.count == Self.textLength else { return nil }
        var bytes = [UInt8](repeating: 0, count: Self.size)
        guard zmq_z85_decode(&bytes, text) != nil else { return nil }
        self.bytes = bytes
    }

    /// A key from libzmq's output: its characters and a zero.
    fileprivate init?(characters: [CChar]) {
        self.init(
            text: String(decoding: characters.prefix(Self.textLength).map { UInt8(bitPattern: $0) }, as: UTF8.self))
    }

    /// The key as text.
    public var text: String {
        var text = [CChar](repeating: 0, count: Self.textLength + 1)
        zmq_z85_encode(&text, bytes, bytes.count)
        return String(decoding: text.prefix(Self.textLength).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

/// A public key and its secret key.
public struct KeyPair: Sendable {
    /// What others may know.
    public let `public`: CurveKey
    /// What they may not.
    public let secret: CurveKey

    /// A new pair, from libsodium's random numbers. Throws ``TransportError`` if libzmq has no CURVE.
    public static func generate() throws -> KeyPair {
        var publicText = [CChar](repeating: 0, count: CurveKey.textLength + 1)
        var secretText = publicText
        try call("make a pair of keys") { zmq_curve_keypair(&publicText, &secretText) }
        guard let secret = CurveKey(characters: secretText) else {
            throw TransportError(operation: "make a pair of keys", code: EINVAL)
        }
        return try KeyPair(secret: secret)
    }

    /// The pair of a secret key. Throws ``TransportError``.
    public init(secret: CurveKey) throws {
        var text = [CChar](repeating: 0, count: CurveKey.textLength + 1)
        try call("derive the public key") { zmq_curve_public(&text, secret.text) }
        guard let key = CurveKey(characters: text) else {
            throw TransportError(operation: "derive the public key", code: EINVAL)
        }
        self.secret = secret
        self.public = key
    }
}
