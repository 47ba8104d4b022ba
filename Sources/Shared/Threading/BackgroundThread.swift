import Foundation

/// A thread that can be joined.
public final class BackgroundThread: Sendable {
    private let ended = DispatchSemaphore(value: 0)

    /// Starts a thread.
    public init(name: String, stackBytes: Int = 1 << 20, _ body: @escaping @Sendable () -> Void) {
        let ended = ended
        let thread = Thread {
            body()
            ended.signal()
        }
        thread.name = name
        thread.stackSize = stackBytes
        thread.start()
    }

    /// Waits until the thread has ended; may be called again.
    public func join() {
        ended.wait()
        ended.signal()
    }
}
