import Foundation
import Synchronization

/// Runs a body on several threads at once, the caller's among them, and returns when all have.
func onThreads(_ count: Int, _ body: (_ thread: Int) -> Void) {
    withoutActuallyEscaping(body) { body in
        // The threads end before this function does, so the body outlives its use.
        nonisolated(unsafe) let body = body
        let group = DispatchGroup()
        for index in 1..<max(count, 1) {
            group.enter()
            let thread = Thread {
                body(index)
                group.leave()
            }
            thread.stackSize = 8 << 20
            thread.start()
        }
        body(0)
        group.wait()
    }
}

/// Holds threads back until all of them are there.
final class Barrier: Sendable {
    /// Looks at the state this often before a thread goes to sleep; some ten microseconds.
    private static let spins = 4_000

    private let threads: Int
    private let arrived = Atomic<Int>(0)
    private let generation = Atomic<Int>(0)
    private let condition = NSCondition()

    init(threads: Int) { self.threads = threads }

    /// Waits for the others. The last one to come runs `action` first.
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
