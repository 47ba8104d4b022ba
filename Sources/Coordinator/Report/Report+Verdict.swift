import Foundation
import Shared

/// The verdict on the ranking, at the top, and the command that uses it, at the bottom.
extension Report {
    /// How certain a ranking is, by its reliability: its expected correlation with one from as many other masks and
    /// images.
    enum Verdict: Equatable {
        /// The order of single filters holds.
        case filters
        /// The share of each layer that can go is known, the order of its filters roughly.
        case layers
        /// Neither is known well.
        case rough
        /// The masks do not tell.
        case unknown

        /// Not lower: on the project's demonstration, rankings with stated 0.80 and 0.85 correlated with only 0.72
        /// (RESULTS.md).
        static let filtersReliability = 0.9
        static let layersReliability = 0.5

        init(reliability: Double?) {
            switch reliability {
            case nil: self = .unknown
            case .some(let value) where value >= Self.filtersReliability: self = .filters
            case .some(let value) where value >= Self.layersReliability: self = .layers
            default: self = .rough
            }
        }
    }

    var verdict: Verdict { Verdict(reliability: ranking.fit.reliability) }

    /// About how many masks a ranking of this network needs for a reliability; nil if this one tells nothing.
    func masksNeeded(for reliability: Double) -> Int? {
        // Beyond that the estimate only says "very many".
        guard let needed = ranking.fit.masksNeeded(for: reliability), needed < 1e9 else { return nil }
        let step = pow(10, floor(log10(max(needed, 10))) - 1)
        return Int((needed / step).rounded(.up) * step)
    }

    /// The verdict in words, and its scope.
    var verdictText: String { [verdictSentence, imagesCaveat].compactMap { $0 }.joined(separator: " ") }

    /// What a ranking from one set of images cannot know; nil if images rotate.
    var imagesCaveat: String? {
        let settings = record.description.settings
        guard settings.rotation == nil else { return nil }
        return
            "All masks saw the same \(Text.grouped(settings.images)) images, and this holds for these images "
            + "only: others would give another ranking. Only a run with rotating images (--images-per-mask) can "
            + "tell how different."
    }

    private var verdictSentence: String {
        let masks = Text.grouped(ranking.fit.masks)
        let reliability = Text.coefficient(ranking.fit.reliability)
        func more(_ target: Double) -> String {
            masksNeeded(for: target).map { "About \(Text.grouped($0)) masks in all would" } ?? "Many more masks would"
        }
        switch verdict {
        case .filters:
            return
                "Reliable enough to choose single filters: a second ranking from as many other masks would "
                + "correlate with this one at about \(reliability)."
        case .layers:
            return
                "Reliable enough to decide how much of each layer to remove; the order of single filters is "
                + "rough (reliability \(reliability) from \(masks) masks). Prune with --reconstruct, which "
                + "chooses within a layer by a refit. \(more(Verdict.filtersReliability)) also give the order of "
                + "single filters (reliability \(Text.coefficient(Verdict.filtersReliability)))."
        case .rough:
            return "Too few masks so far: this ranking is mostly noise (reliability \(reliability) from \(masks) "
                + "masks). \(more(Verdict.layersReliability)) show how much of each layer can go, and "
                + (masksNeeded(for: Verdict.filtersReliability).map { "about \(Text.grouped($0))" } ?? "many more")
                + " the order of single filters."
        case .unknown:
            return "There are too few masks, or their losses are too similar, to tell how reliable this ranking is."
        }
    }

    func addVerdict(to page: inout Page) {
        page.paragraph(verdictText, verdict == .filters || verdict == .layers ? "verdict" : "verdict warning")
    }

    func addNextStep(to page: inout Page) {
        page.heading("Prune by it")
        page.paragraph(
            "This removes half of the FLOPs, refits the layers after the removed filters, and measures the "
                + "result. Preview it with --dry-run.")
        page.code(pruneCommand)
    }

    /// The command for half of the FLOPs.
    var pruneCommand: String {
        ShellWords.command([
            "winnow-coordinator", "prune", "--run", record.path ?? "RUN.winnow", "--remove-flops", "0.5", "--data",
            record.description.data.path, "--reconstruct", "--output", "pruned.safetensors",
        ])
    }
}
