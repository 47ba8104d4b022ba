import Shared

/// The page about a training.
struct TrainingReport {
    let progress: TrainingProgress

    private var history: TrainingHistory { progress.history }
    private var settings: TrainingSettings { progress.settings }

    var html: String {
        var page = Page(title: "Training of a \(progress.graph.summary)")
        page.add("<h1>\(Text.escaped(page.title))</h1>")
        addSummary(to: &page)
        addCurves(to: &page)
        addEpochs(to: &page)
        addQuestion(to: &page)
        return page.html
    }

    private func percent(_ share: Double?) -> String { share.map { Text.percent($0, 2) } ?? "–" }

    private func addSummary(to page: inout Page) {
        page.paragraph(
            "\(history.epochs.count) of \(settings.epochs) epochs. The accuracy that counts is the last "
                + "epoch’s; the test images decided nothing.", "soft")
        var tiles = [
            (percent(history.testAccuracyBefore), "test accuracy before"),
            (percent(history.epochs.last?.testAccuracy), "test accuracy, last epoch"),
        ]
        if let best = history.bestByValidation {
            tiles.append((percent(best.testAccuracy), "test accuracy, epoch \(best.epoch), best by validation"))
        }
        let seconds = history.epochs.reduce(0) { $0 + $1.seconds }
        tiles.append((Text.duration(seconds), "computing"))
        page.tiles(tiles)
    }

    private func addCurves(to page: inout Page) {
        let plots = TrainingPlots(histories: [history])
        page.heading("Curves")
        page.pair(
            Page.figure(
                plots.accuracy(),
                caption: "Accuracy after every epoch"
                    + (settings.augments ? "; training images are cropped and mirrored" : "")
                    + (settings.cutout > 0 ? ", and a square is hidden in them." : ".")),
            Page.figure(plots.loss(), caption: "The minimised loss on training images, and the loss on the others."))
    }

    private func addEpochs(to page: inout Page) {
        page.heading("Epochs")
        var table = Table(columns: [
            Table.Column(title: "epoch"), Table.Column(title: "learning rate"), Table.Column(title: "training loss"),
            Table.Column(title: "training accuracy"), Table.Column(title: "validation accuracy"),
            Table.Column(title: "test loss"), Table.Column(title: "test accuracy"), Table.Column(title: "time"),
        ])
        table.name = "epochs"
        table.rows = history.epochs.reversed().map { epoch in
            [
                Table.Cell(text: "\(epoch.epoch)"), Table.Cell(text: Text.fixed(Double(epoch.learningRate), 5)),
                Table.Cell(text: Text.fixed(epoch.trainingLoss, 4)),
                Table.Cell(text: percent(epoch.trainingAccuracy), value: epoch.trainingAccuracy),
                Table.Cell(text: percent(epoch.validationAccuracy), value: epoch.validationAccuracy ?? -1),
                Table.Cell(text: Text.fixed(epoch.testLoss, 4)),
                Table.Cell(text: percent(epoch.testAccuracy), value: epoch.testAccuracy),
                Table.Cell(text: Text.duration(epoch.seconds), value: epoch.seconds),
            ]
        }
        page.table(table)
    }

    private func addQuestion(to page: inout Page) {
        let cost = progress.graph.cost()
        let optimizer = settings.optimizer
        var entries: [(name: String, value: String, isCode: Bool)] = [
            (
                "network",
                "\(progress.graph.summary), \(Text.amount(cost.parameters)) parameters, "
                    + "\(Text.amount(cost.multiplyAccumulates)) FLOPs (multiply-accumulates)", false
            ),
            (
                "images",
                "\(Text.grouped(progress.imageCount - settings.validationImages)) for training, "
                    + "\(Text.grouped(settings.validationImages)) of the training split for validation", false
            ),
            ("a step", "\(settings.batchSize) images in \(settings.shards) shards", false),
            (
                "learning rate",
                "up to \(settings.schedule.peak), \(settings.schedule.form.rawValue), rising for "
                    + "\(settings.schedule.warmUpEpochs) epochs", false
            ),
            (
                "momentum", "\(optimizer.momentum)\(optimizer.nesterov ? " (Nesterov)" : "")", false
            ),
            ("weight decay", "\(optimizer.weightDecay)", false),
            ("label smoothing", "\(settings.loss.labelSmoothing)", false),
        ]
        if let distillation = settings.loss.distillation {
            entries.append(
                (
                    "distillation", "\(distillation.weight) of the loss, temperature \(distillation.temperature)", false
                ))
        }
        entries += [("seed", "\(settings.seed)", false), ("program", Version.number, false)]
        page.heading("The training's options")
        page.definitions(entries)
    }
}
