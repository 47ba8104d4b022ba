import Shared
import TestSupport
import Testing

@testable import Coordinator

@Test func aPendingSetAgreesWithASortedSet() {
    var random = SeededGenerator(seed: 3)
    for limit in [1, 63, 64, 65, 4096, 4097, 300_000] {
        var set = PendingSet(limit: limit)
        var model = Set<Int>()
        for _ in 0..<300 {
            let index = Int.random(in: 0..<limit, using: &random)
            if Bool.random(using: &random) {
                set.insert(index)
                model.insert(index)
            } else {
                set.remove(index)
                model.remove(index)
            }
            let start = Int.random(in: 0...limit, using: &random)
            #expect(set.first(from: start) == model.filter { $0 >= start }.min())
            #expect(set.count == model.count && set.contains(index) == model.contains(index))
        }
    }
}

@Test func aQueueIsFirstInFirstOut() {
    var queue = Queue<Int>()
    var next = 0
    for value in 0..<1000 {
        queue.append(value)
        if value % 3 == 0 {
            #expect(queue.popFirst() == next)
            next += 1
        }
    }
    while let value = queue.popFirst() {
        #expect(value == next)
        next += 1
    }
    #expect(next == 1000 && queue.isEmpty)
}

@Test func maskRunsJoinNeighbours() {
    let runs = MaskRuns([0, 1, 2, 5, 7, 8])
    #expect(runs.ranges == [0..<3, 5..<6, 7..<9])
    #expect(runs.count == 6 && runs.contains(8) && !runs.contains(6))
    #expect(runs.description == "0…2, 5, 7…8")
    #expect(Array(runs) == [0, 1, 2, 5, 7, 8])
}
