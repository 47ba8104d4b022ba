/// An error that ends a program, with a remedy and the exit code of its kind.
public struct Failure: Error, Sendable, Equatable, CustomStringConvertible {
    /// The exit codes, from BSD's `sysexits.h` if it has one.
    public enum Kind: Int32, Sendable {
        /// The command line is wrong.
        case usage = 64
        /// A file or message from outside is wrong.
        case badInput = 65
        /// A needed service, host or resource (a port, space on a disk) is missing.
        case unavailable = 69
        /// A fault of ours.
        case internalFault = 70
        /// The user interrupted; progress is kept.
        case interrupted = 130
    }

    /// The kind, which is the exit code.
    public let kind: Kind
    /// What is wrong and what to do, one sentence or two, without a full stop.
    public let description: String

    /// Makes a failure.
    public init(_ kind: Kind, _ description: String) {
        self.kind = kind
        self.description = description
    }
}
