import Dispatch
import Shared

/// Work in parts on several threads, with results combined in the order of the parts: the same bits for any number of
/// threads.
enum OrderedReduction {
    private struct State<Part, Whole> {
        var next = 0
        var whole: Whole
        var combined = 0
        /// Results that wait for an earlier part.
        var waiting: [Int: Part] = [:]
    }

    /// Calls `part` with every number in `0..<parts`, on at most this many threads, and `combine` with the results in
    /// order. A thread takes the next part when it is done with one, so few results wait at a time.
    static func reduce<Part: Sendable, Whole: Sendable>(
        parts: Int, threads: Int, into initial: Whole, _ part: @Sendable (Int) -> Part,
        combine: @Sendable (inout Whole, Part) -> Void
    ) -> Whole {
        let state = Locked(State<Part, Whole>(whole: initial))
        DispatchQueue.concurrentPerform(iterations: max(1, min(threads, parts))) { _ in
            while true {
                let number = state.withLock { state in
                    defer { state.next += 1 }
                    return state.next
                }
                guard number < parts else { return }
                let result = part(number)
                state.withLock { state in
                    state.waiting[number] = result
                    while let ready = state.waiting.removeValue(forKey: state.combined) {
                        combine(&state.whole, ready)
                        state.combined += 1
                    }
                }
            }
        }
        return state.withLock { $0.whole }
    }
}
