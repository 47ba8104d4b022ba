import CZeroMQ
import Foundation

/// A failed transport call: what it was doing, and the operating system's or ZeroMQ's error number.
public struct TransportError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What it was doing, for example `bind to tcp://127.0.0.1:5555`.
    public let operation: String
    /// The error number, `errno`'s or ZeroMQ's own.
    public let code: Int32

    public var description: String { "cannot \(operation): \(String(cString: zmq_strerror(code)))" }
}

/// Makes a call of ZeroMQ or the operating system that returns -1 and an error number on failure; retries if a signal
/// interrupted it. All fallible C calls of the transport go through here. Throws ``TransportError``.
@discardableResult
func call(_ operation: @autoclosure () -> String, _ body: () -> Int32) throws -> Int32 {
    while true {
        let result = body()
        if result != -1 { return result }
        let code = zmq_errno()
        if code != EINTR { throw TransportError(operation: operation(), code: code) }
    }
}
