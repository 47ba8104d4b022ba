import Foundation
import Shared
import Synchronization

/// Runs a body on several threads at once, including the caller's, and returns when all have finished. Throws an
/// `.unavailable` ``Failure``, and runs nothing, if the system gives no more threads.
func onThreads(_ count: Int, _ body: (_ thread: Int) -> Void) throws {
    try withoutActuallyEscaping(body) { body in
        let gate = Gate()
        gate.lock.lock()
        var threads: [pthread_t] = []
        var error: Int32 = 0
        for index in 1..<max(count, 1) {
            var thread = pthread_t()
            let share = Unmanaged.passRetained(Share(body: body, index: index, gate: gate))
            error = pthread_create(&thread, nil, { runShare($0) }, share.toOpaque())
            if error != 0 {
                share.release()
                break
            }
            threads.append(thread)
        }
        gate.isOpen = error == 0
        gate.lock.unlock()
        if error == 0 { body(0) }
        // A joined thread has released its share, so the body has not escaped.
        for thread in threads { pthread_join(thread, nil) }
        if error != 0 {
            throw Failure(
                .unavailable, "cannot start \(count) threads (\(String(cString: strerror(error)))); use --threads")
        }
    }
}

/// What a thread is to run.
private final class Share {
    let body: (Int) -> Void
    let index: Int
    let gate: Gate

    init(body: @escaping (Int) -> Void, index: Int, gate: Gate) {
        self.body = body
        self.index = index
        self.gate = gate
    }
}

/// Holds threads back until all have been started, or are known not to start.
private final class Gate {
    let lock = NSLock()
    var isOpen = false
}

private func runShare(_ pointer: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    guard let pointer else { return nil }
    let share = Unmanaged<Share>.fromOpaque(pointer).takeRetainedValue()
    share.gate.lock.lock()
    let isOpen = share.gate.isOpen
    share.gate.lock.unlock()
    if isOpen { share.body(share.index) }
    return nil
}

/// Holds threads back until all of them have arrived.
final class Barrier: Sendable {
    /// Spins this often before a thread sleeps; some ten microseconds.
    private static let spins = 4_000

    private let threads: Int
    private let arrived = Atomic<Int>(0)
    private let generation = Atomic<Int>(0)
    private let condition = NSCondition()

    init(threads: Int) { self.threads = threads }

    /// Waits for the others. The last one to arrive first runs `action`.
    func wait(_ action: () -> Void) {
        let mine = generation.load(ordering: .acquiring)
        if arrived.add(1, ordering: .acquiringAndReleasing).newValue == threads {
            action()
            arrived.store(0, ordering: .relaxed)
            condition.lock()
            generation.store(mine + 1, ordering: .releasing)
            condition.broadcast()
            condition.unlock()
            return
        }
        for _ in 0..<Self.spins where generation.load(ordering: .acquiring) != mine { return }
        condition.lock()
        while generation.load(ordering: .acquiring) == mine { condition.wait() }
        condition.unlock()
    }
}
