import Shared
import Testing

@testable import Coordinator

@Test func growthIsNoticedFromTheLeastThatTheProcessTook() {
    var memory = MemoryGuard(growthMax: 100)
    let found = [500, 600, 601, 300, 401].map { memory.isExceeded($0) }
    #expect(found == [false, false, true, false, true])
    #expect((MemoryGuard.residentBytes() ?? 0) > 1 << 20)
}

@Test func aListenerThatStartsAgainHearsItsPeersAgain() throws {
    var listener = try Listener(at: "tcp://127.0.0.1:0", admitting: .everybody, isInsecureMeant: false)
    let context = try Context()
    let dealer = try Socket(.dealer, in: context)
    try dealer.connect(to: listener.endpoint)
    func heard(_ byte: UInt8) throws -> Bool {
        let end = Moment.now() + 10_000
        while Moment.now() < end {
            _ = try dealer.send([byte])
            var poller = Poller()
            _ = poller.watch(listener.socket)
            try poller.wait(milliseconds: 50)
            while let message = try listener.socket.receive() { if message.frames.last == [byte] { return true } }
        }
        return false
    }
    #expect(try heard(1))
    let endpoint = listener.endpoint
    try listener.restart()
    #expect(listener.endpoint == endpoint)
    #expect(try heard(2))
}

@Test func aGradientThatCannotBeIsNone() {
    let layout = ParameterLayout(.residual(widths: [2], blocksPerStage: 1))
    let row = [Float](repeating: 0.5, count: layout.trainedCount + layout.statisticsCount)
    #expect(layout.isPossible(row))
    #expect(!layout.isPossible(Array(row.dropLast())))
    for value in [Float.nan, .infinity, -.infinity] {
        for index in [0, layout.trainedCount - 1, layout.trainedCount, row.count - 1] {
            var wrong = row
            wrong[index] = value
            #expect(!layout.isPossible(wrong))
        }
    }
    var negative = row
    negative[layout.trainedCount + layout.statistics[0].range.lowerBound] = -1
    #expect(layout.isPossible(negative), "a mean may be negative")
    negative[layout.trainedCount + layout.statistics[1].range.lowerBound] = -1
    #expect(!layout.isPossible(negative), "a variance may not")
}
