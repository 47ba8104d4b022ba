import Shared

/// The page about a compression.
struct CompressionReport {
    let plan: CompressionPlan
    let curve: CompressionCurve

    var html: String {
        var page = Page(title: "Compression to \(amountLeft) of the FLOPs")
        addSummary(to: &page)
        addHeldOut(to: &page)
        addAccuracy(to: &page)
        addRounds(to: &page)
        addTraining(to: &page)
        addQuestion(to: &page)
        return page.html
    }

    private var last: CompressionPoint { curve.result ?? curve.start }
    private var amountLeft: String { Text.percent(1 - curve.removedFlops(last), 1) }

    private func addSummary(to page: inout Page) {
        page.add("<h1>\(Text.escaped(page.title))</h1>")
        let rounds =
            plan.accuracy == nil
            ? "\(curve.rounds.count) of \(plan.rounds) rounds" : "\(curve.rounds.count) rounds"
        page.paragraph(
            "\(rounds) of ranking, pruning and fine-tuning. The rankings used "
                + "\(Text.grouped(plan.evaluation.pool)) training images only, and so did fine-tuning: the "
                + "\(Text.grouped(curve.start.testImages)) test images decided nothing.")
        page.tiles([
            (Text.percent(curve.removedFlops(last), 1), "of the FLOPs removed"),
            (Text.percent(curve.removedParameters(last), 1), "of the parameters removed"),
            (Text.percent(curve.start.testAccuracy, 2), "test accuracy, unpruned"),
            (Text.percent(last.testAccuracy, 2), "test accuracy, last epoch"),
        ])
    }

    /// The held-out images' accuracies, if they decide how much to remove.
    private func addHeldOut(to page: inout Page) {
        guard let accuracy = curve.accuracy else { return }
        let count = plan.earlierTraining.validationImages
        page.heading("Accuracy kept")
        // One standard error of the accuracy itself; that of a difference between networks on the same images is less.
        let error = 1.96 * (accuracy.least * (1 - accuracy.least) / Double(max(count, 1))).squareRoot()
        page.paragraph(
            "The last \(Text.grouped(count)) training images were held out of ranking and training. They "
                + "decide how far the rounds go: the network must keep at least \(Text.percent(accuracy.least, 2)) "
                + "accuracy on them"
                + (accuracy.reference.map {
                    "; the unpruned network, tuned for as long without them, has \(Text.percent($0, 2))"
                } ?? "")
                + ". An accuracy on this many images is uncertain by \(Text.percent(error, 2)) (95 %), and so is "
                + "that on the test images. A round that falls below is tuned at length before it is rejected, "
                + "and the last that kept it is tuned at length at the end.")
        var table = Table(columns: [
            Table.Column(title: "round"), Table.Column(title: "FLOPs removed"), Table.Column(title: "epochs"),
            Table.Column(title: "held-out accuracy"), Table.Column(title: "test accuracy"),
            Table.Column(title: "", isName: true),
        ])
        for round in curve.rounds {
            for point in [round.finetuned, round.longFinetuned].compactMap({ $0 }) {
                let held = point.validationAccuracy ?? 0
                table.rows.append([
                    Table.Cell(text: "\(round.number)"),
                    Table.Cell(text: Text.percent(curve.removedFlops(point), 1), value: curve.removedFlops(point)),
                    Table.Cell(text: "\(point.epochs ?? 0)"),
                    Table.Cell(text: Text.percent(held, 2), value: held),
                    Table.Cell(text: Text.percent(point.testAccuracy, 2), value: point.testAccuracy),
                    Table.Cell(
                        text: point == last ? "the result" : held < accuracy.least ? "less than requested" : ""),
                ])
            }
        }
        page.table(table)
    }

    private func addAccuracy(to page: inout Page) {
        let plots = CompressionPlots(curve: curve)
        page.heading("Accuracy against size")
        page.paragraph(
            "Every round prunes one network to one budget by the ranking and by each baseline, with the same "
                + "filters free to go and batch norms corrected on training images. The ranking’s network is "
                + "refitted, then fine-tuned. Hollow points were not trained: compare them with each other, not with "
                + "the filled ones. FLOPs are multiply-accumulates of convolutions and linear layers for one image.")
        for better in curve.betterBaselines {
            page.paragraph(
                "In round \(better.round) \(CompressionPlots.name(of: better.point.method)) left "
                    + "\(Text.percent(better.point.testAccuracy, 2)) before training, the ranking "
                    + "\(Text.percent(better.ranking.testAccuracy, 2))"
                    + (better.point.method == PruningMethod.random.rawValue
                        ? ": no better than chance, so this ranking is useless. Give it more masks or images."
                        : "."),
                "warning")
        }
        for round in curve.rounds {
            guard let before = round.reconstructed, let after = round.result, after.testCorrect < before.testCorrect
            else { continue }
            page.paragraph(
                "In round \(round.number) fine-tuning ended at \(Text.percent(after.testAccuracy, 2)), below "
                    + "its start at \(Text.percent(before.testAccuracy, 2)): give it more epochs, or a lower "
                    + "--learning-rate.", "warning")
        }
        page.pair(
            Page.figure(
                plots.accuracy(against: .flops), caption: "Test accuracy against the share of the FLOPs removed."),
            Page.figure(
                plots.accuracy(against: .parameters),
                caption: "Test accuracy against the share of the parameters removed."))
        var table = Table(columns: [
            Table.Column(title: "round"), Table.Column(title: "chosen by", isName: true),
            Table.Column(title: "then", isName: true), Table.Column(title: "FLOPs"),
            Table.Column(title: "removed"), Table.Column(title: "parameters"), Table.Column(title: "removed"),
            Table.Column(title: "test loss"), Table.Column(title: "test accuracy"),
        ])
        table.rows = curve.points.map { point in
            [
                Table.Cell(text: "\(point.round)"), Table.Cell(text: CompressionPlots.name(of: point.method)),
                Table.Cell(text: Self.state(of: point)),
                Table.Cell(text: Text.amount(point.multiplyAccumulates), value: Double(point.multiplyAccumulates)),
                Table.Cell(text: Text.percent(curve.removedFlops(point), 1), value: curve.removedFlops(point)),
                Table.Cell(text: Text.amount(point.parameters), value: Double(point.parameters)),
                Table.Cell(
                    text: Text.percent(curve.removedParameters(point), 1), value: curve.removedParameters(point)),
                Table.Cell(text: Text.fixed(point.testLoss, 4), value: point.testLoss),
                Table.Cell(text: Text.percent(point.testAccuracy, 2), value: point.testAccuracy),
            ]
        }
        page.table(table)
        page.paragraph("curve.csv and curve.json beside this page hold the same data.", "note")
    }

    private static func state(of point: CompressionPoint) -> String {
        if point.method == nil { return "as it was" }
        return point.isFinetuned ? "fine-tuned" : point.isReconstructed == true ? "refitted" : "nothing"
    }

    private func addRounds(to page: inout Page) {
        page.heading("Predicted and measured loss")
        page.paragraph(
            "Mean cross-entropy in nats on the ranking’s own training images, before fine-tuning: as predicted "
                + "for the pruned network, and as measured.")
        var table = Table(columns: [
            Table.Column(title: "round"), Table.Column(title: "filters left"), Table.Column(title: "predicted"),
            Table.Column(title: "measured"), Table.Column(title: "ranking", isName: true),
        ])
        table.rows = curve.rounds.map { round in
            [
                Table.Cell(text: "\(round.number)"), Table.Cell(text: Text.grouped(round.pruned.filters)),
                Table.Cell(text: round.pruned.predictedLoss.map { Text.fixed($0, 4) } ?? "–"),
                Table.Cell(text: round.pruned.measuredLoss.map { Text.fixed($0, 4) } ?? "–"),
                Table.Cell(text: "round-\(round.number)/ranking/report.html"),
            ]
        }
        page.table(table)
    }

    private func addTraining(to page: inout Page) {
        let histories = curve.rounds.compactMap { $0.isLongBetter ? $0.longHistory : $0.history }
        guard histories.contains(where: { !$0.epochs.isEmpty }) else { return }
        let plots = TrainingPlots(histories: histories)
        page.heading("Fine-tuning")
        page.paragraph(
            "The accuracy that counts is the last epoch’s; test images chose no epoch."
                + (plan.lastTraining.loss.distillation == nil ? "" : " The unpruned network also served as teacher."))
        page.pair(
            Page.figure(
                plots.accuracy(),
                caption: "Accuracy after every epoch of all rounds. Training images are cropped and mirrored."),
            Page.figure(plots.loss(), caption: "The minimised loss on training images, and the loss on test images."))
    }

    private func addQuestion(to page: inout Page) {
        page.heading("The compression's options")
        let ensemble = plan.ensemble
        let training = plan.lastTraining
        page.definitions(
            budget + [
                (
                    "masks per round",
                    "\(Text.grouped(ensemble.count)), design “\(ensemble.design.name)”, seed \(ensemble.seed) and following",
                    false
                ),
                ("loss model", plan.lossModel.rawValue, false),
                (
                    "fine-tuning",
                    "\(plan.rounds > 1 || plan.accuracy != nil ? "\(plan.earlierTraining.epochs) epochs in earlier rounds, " : "")\(training.epochs) "
                        + "epochs in the last one, \(training.batchSize) images per step in \(training.shards) "
                        + "shards, learning rate \(training.schedule.peak), \(training.schedule.form.rawValue)", false
                ),
                ("program", Version.number, false),
                ("network, SHA-256", plan.network.description, true),
                ("training images, SHA-256", plan.trainingImages.description, true),
                ("test images, SHA-256", plan.testImages.description, true),
            ])
    }

    /// What said how much goes.
    private var budget: [(String, String, Bool)] {
        if let accuracy = plan.accuracy {
            let floor =
                switch accuracy.floor {
                case .drop(let drop): "at most \(Text.fixed(100 * drop, 2)) points less"
                case .least(let least): "at least \(Text.percent(least, 2))"
                }
            let step = "each removes \(Text.percent(accuracy.removePerRound, 1)) of the remaining FLOPs"
            return [("accuracy to keep", floor, false), ("rounds", "until one falls below it; \(step)", false)]
        }
        func share(_ value: Double?) -> String { value.map { Text.percent($0, 1) } ?? "no budget" }
        return [
            ("FLOPs to remove", share(plan.removeFlops), false),
            ("parameters to remove", share(plan.removeParameters), false),
            (
                "rounds",
                plan.rounds == 1 ? "1" : "\(plan.rounds), each of which removes the same share of what is left", false
            ),
        ]
    }
}
