import Foundation

/// A value that one thread at a time may use.
///
/// It does what `Synchronization.Mutex` does, but by a POSIX mutex, which ThreadSanitizer knows. `Mutex` waits on Linux in
/// the kernel (a priority-inheriting futex), where ThreadSanitizer cannot follow, so that it reports races of threads
/// that waited for each other.
public final class Locked<Value>: @unchecked Sendable {
    private let lock = NSLock()
    private var value: Value

    /// Keeps a value, which nobody else uses any more.
    public init(_ value: sending Value) { self.value = value }

    /// Calls `body` with the value while no other thread has it. Throws what `body` throws.
    public func withLock<Result>(_ body: (inout Value) throws -> Result) rethrows -> Result {
        lock.lock()
        defer { lock.unlock() }
        return try body(&value)
    }
}
