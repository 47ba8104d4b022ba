import Shared

/// Events in virtual time; simultaneous ones in the order of insertion.
struct EventQueue<Event> {
    private var heap: [(at: Moment, order: Int, event: Event)] = []
    private var inserted = 0

    var isEmpty: Bool { heap.isEmpty }

    mutating func insert(_ event: Event, at moment: Moment) {
        heap.append((moment, inserted, event))
        inserted += 1
        var child = heap.count - 1
        while child > 0, isBefore(child, (child - 1) / 2) {
            heap.swapAt(child, (child - 1) / 2)
            child = (child - 1) / 2
        }
    }

    mutating func popFirst() -> (at: Moment, event: Event)? {
        guard let first = heap.first, let last = heap.popLast() else { return nil }
        if !heap.isEmpty {
            heap[0] = last
            var parent = 0
            while true {
                var least = parent
                for child in [2 * parent + 1, 2 * parent + 2] where child < heap.count && isBefore(child, least) {
                    least = child
                }
                guard least != parent else { break }
                heap.swapAt(parent, least)
                parent = least
            }
        }
        return (first.at, first.event)
    }

    private func isBefore(_ a: Int, _ b: Int) -> Bool {
        heap[a].at != heap[b].at ? heap[a].at < heap[b].at : heap[a].order < heap[b].order
    }
}
