import Testing

@testable import Coordinator

struct SettlementTests {
    /// The numbers of masks at which a run with `reliability` after a number of masks is checked, and where it has
    /// settled.
    private func looks(
        aim: Double = 0.8, most: Int = 5000, _ reliability: (Int) -> Double?
    ) -> (looks: [Int], settled: Int?) {
        var settlement = Settlement(aim: aim, filters: 300, group: 64, most: most)
        var looks: [Int] = []
        while let next = settlement.next {
            looks.append(next)
            settlement.looked(reliability(next))
        }
        return (looks, settlement.masks)
    }

    @Test func looksAreAfterWholeGroupsATenthApart() {
        let (looks, settled) = looks { _ in 0.1 }
        #expect(looks.first == 192 && looks.last == 5000 && settled == nil)
        for (one, next) in zip(looks, looks.dropFirst()) {
            #expect(next == 5000 || next % 64 == 0)
            #expect(next > one && next <= max(one + 64, Int(1.1 * Double(one)) + 64))
        }
    }

    @Test func twoLooksInARowEndARun() {
        let (looks, settled) = looks { $0 >= 1000 ? 0.81 : 0.79 }
        #expect(
            settled == looks.last
                && settled == looks.first { $0 >= 1000 }.map { first in looks.first { $0 > first } ?? 0 })
    }

    @Test func luckEndsNoRun() {
        let (looks, settled) = looks { $0 == 256 ? 0.9 : 0.5 }
        #expect(looks.last == 5000 && settled == nil)
    }

    @Test func whatCannotBeToldSettlesNothing() { #expect(looks { _ in nil }.settled == nil) }

    @Test func fewMasksAreLookedAtOnce() { #expect(looks(most: 20) { _ in 0.9 }.looks == [20]) }
}
