/// Decides after how many masks a run has settled, that is, its ranking has the target reliability.
///
/// The ranking of the first masks is checked once all of them are in, at numbers that depend on the run alone: each a
/// tenth above the last, whole groups of masks. So a run ends after the same masks, wherever and however fast they were
/// evaluated. Two checks in a row must find it reliable enough, so that it does not end by luck.
struct Settlement: Sendable, Equatable {
    /// The target reliability.
    let aim: Double
    /// The masks of the next check; nil if there is none, since it has settled or there are no more masks.
    private(set) var next: Int?
    /// The number of masks that suffices, once known.
    private(set) var masks: Int?

    private let group: Int
    private let most: Int
    private var wasReached = false

    /// Masks of the first check, per filter.
    private static let firstMasksPerFilter = 0.5
    /// The increase from one check to the next.
    private static let growth = 1.1

    /// Starts for a run of at most `most` masks, in groups of `group`.
    init(aim: Double, filters: Int, group: Int, most: Int) {
        self.aim = aim
        self.group = group
        self.most = most
        next = most
        next = whole(Int(Self.firstMasksPerFilter * Double(filters)), after: 0)
    }

    /// Takes the reliability of the ``next`` masks' ranking; nil if unknown.
    mutating func looked(_ reliability: Double?) {
        guard let looked = next else { return }
        let isReached = (reliability ?? 0) >= aim
        if isReached, wasReached {
            masks = looked
            next = nil
            return
        }
        wasReached = isReached
        next = looked < most ? whole(Int(Double(looked) * Self.growth), after: looked) : nil
    }

    /// A number of masks rounded up to whole groups, at least one more group than before.
    private func whole(_ masks: Int, after before: Int) -> Int {
        min(max((masks + group - 1) / group * group, before + group), most)
    }
}
