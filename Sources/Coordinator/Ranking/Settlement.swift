/// Decides after how many masks a run has settled, that is, its ranking is as reliable as was asked for.
///
/// The ranking of the first masks is looked at when all of them are in, at numbers that follow from the run alone: each a
/// tenth above the last, whole groups of masks. So a run ends after the same masks, wherever and however fast they were
/// evaluated. Two looks in a row must find it reliable enough, so that it does not end by luck.
struct Settlement: Sendable, Equatable {
    /// The reliability that is asked for.
    let aim: Double
    /// The masks of the next look; nil where there is none, since it has settled or there are no more masks.
    private(set) var next: Int?
    /// The masks that suffice, once they do.
    private(set) var masks: Int?

    private let group: Int
    private let most: Int
    private var wasReached = false

    /// Masks of the first look, for each filter.
    private static let firstMasksPerFilter = 0.5
    /// What each look has more than the one before.
    private static let growth = 1.1

    /// Begins for a run of `most` masks at most, of which groups of `group` belong together.
    init(aim: Double, filters: Int, group: Int, most: Int) {
        self.aim = aim
        self.group = group
        self.most = most
        next = most
        next = whole(Int(Self.firstMasksPerFilter * Double(filters)), after: 0)
    }

    /// The ranking of the ``next`` masks was found so reliable; nil where that cannot be told.
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
