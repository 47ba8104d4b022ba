/// A worker's identity: drawn at random once and kept in its cache folder, so it is recognised after a reconnect or
/// restart.
public struct WorkerID: Sendable, Hashable, CustomStringConvertible {
    /// The first and last 64 of 128 random bits.
    public let high: UInt64, low: UInt64

    /// An identity from its 128 bits.
    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// The identity of a ``description``; nil if the text is not one.
    public init?(text: some StringProtocol) {
        guard text.utf8.count == 32, let high = UInt64(text.prefix(16), radix: 16),
            let low = UInt64(text.suffix(16), radix: 16)
        else { return nil }
        self.init(high: high, low: low)
    }

    /// A new identity.
    public static func random() -> WorkerID {
        WorkerID(high: .random(in: .min ... .max), low: .random(in: .min ... .max))
    }

    /// 32 hexadecimal digits.
    public var description: String { hexadecimal(high) + hexadecimal(low) }
}

/// A run's identity: drawn at random once when the run file is created. It distinguishes answers to another run.
public struct RunID: Sendable, Hashable, CustomStringConvertible {
    /// The first and last 64 of 128 random bits.
    public let high: UInt64, low: UInt64

    /// An identity from its 128 bits.
    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// The identity of a ``description``; nil if the text is not one.
    public init?(text: some StringProtocol) {
        guard text.utf8.count == 32, let high = UInt64(text.prefix(16), radix: 16),
            let low = UInt64(text.suffix(16), radix: 16)
        else { return nil }
        self.init(high: high, low: low)
    }

    /// A new identity.
    public static func random() -> RunID {
        RunID(high: .random(in: .min ... .max), low: .random(in: .min ... .max))
    }

    /// 32 hexadecimal digits.
    public var description: String { hexadecimal(high) + hexadecimal(low) }
}

/// Which lease of a run.
public struct LeaseID: Sendable, Hashable, CustomStringConvertible {
    /// The coordinator's life that granted it: 1 for the run's first start, one more after every restart.
    public let life: UInt32
    /// Its number in that life, from 1.
    public let number: UInt32

    /// An identity from its parts.
    public init(life: UInt32, number: UInt32) {
        self.life = life
        self.number = number
    }

    /// `life.number`.
    public var description: String { "\(life).\(number)" }

    /// The lease as one number, which names its answer's row.
    public var subject: UInt64 { UInt64(life) << 32 | UInt64(number) }
}

private func hexadecimal(_ word: UInt64) -> String {
    let digits = String(word, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
}
