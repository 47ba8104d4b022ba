import Foundation

/// A value that one thread at a time may use.
///
/// Like `Synchronization.Mutex`, but with a POSIX mutex, which ThreadSanitizer understands. On Linux `Mutex` waits in
/// the kernel (a priority-inheriting futex), where ThreadSanitizer cannot follow, so it would report races between
/// threads that waited for each other.
public final class Locked<Value>: @unchecked Sendable {
    private let lock = NSLock()
    private var value: Value

    /// Wraps a value that nobody else uses any more.
    public init(_ value: sending Value) { self.value = value }

    /// Calls `body` with the value while no other thread has it. Rethrows.
    public func withLock<Result>(_ body: (inout Value) throws -> Result) rethrows -> Result {
        lock.lock()
        defer { lock.unlock() }
        return try body(&value)
    }
}
