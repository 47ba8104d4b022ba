import CZeroMQ
import Foundation

/// A call of the transport that failed: what was being done, and the operating system's or ZeroMQ's error number.
public struct TransportError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What was being done, for example `bind to tcp://127.0.0.1:5555`.
    public let operation: String
    /// The error number, `errno`'s or ZeroMQ's own.
    public let code: Int32

    public var description: String { "cannot \(operation): \(String(cString: zmq_strerror(code)))" }
}

/// Makes a call of ZeroMQ or the operating system that returns -1 and an error number on failure, again where a signal
/// interrupted it. All C calls of the transport that can fail go through here. Throws ``TransportError``.
@discardableResult
func call(_ operation: @autoclosure () -> String, _ body: () -> Int32) throws -> Int32 {
    while true {
        let result = body()
        if result != -1 { return result }
        let code = zmq_errno()
        if code != EINTR { throw TransportError(operation: operation(), code: code) }
    }
}
