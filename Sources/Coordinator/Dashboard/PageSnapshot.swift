import Shared

extension RunSnapshot {
    /// How many filters at each end of the ranking, and how many workers, the page shows; a run can have thousands.
    private static let filtersShown = 15
    private static let workersShown = 200

    /// The snapshot without what the page does not show; ranks stay those of the whole ranking.
    var forPage: PageSnapshot {
        var shown = self
        let shownAtEach = RunSnapshot.filtersShown
        let least = ranking.prefix(shownAtEach)
        let most = ranking.dropFirst(least.count).suffix(shownAtEach)
        shown.ranking = Rows([])
        shown.workers = Rows(Array(workers.prefix(RunSnapshot.workersShown)))
        return PageSnapshot(
            run: shown, filters: ranking.count, least: Array(least), most: Array(most), workers: workers.count)
    }
}

/// What the page polls every two seconds.
struct PageSnapshot {
    let run: RunSnapshot
    /// Filters in the ranking.
    let filters: Int
    let least: [RunSnapshot.Filter]
    let most: [RunSnapshot.Filter]
    /// Workers, gone ones too.
    let workers: Int

    /// As the page's script reads it.
    var json: String {
        var writer = JSONWriter()
        writer.object { page in
            page.object("run") { run.write(to: &$0) }
            page.member("filters", filters)
            page.array("least", of: least) { $1.write(to: &$0) }
            page.array("most", of: most) { $1.write(to: &$0) }
            page.member("workers", workers)
            page.member("workersConnected", run.workersConnected)
        }
        return writer.text
    }
}

extension RunSnapshot {
    /// Writes the members of its object, without the ranking, whose ends the page has separately.
    fileprivate func write(to object: inout JSONWriter) {
        object.member("model", model)
        object.member("data", data)
        object.member("runFile", runFile)
        object.member("step", step)
        object.member("report", report)
        object.member("rankedMasks", rankedMasks)
        if let training { object.object("training") { training.write(to: &$0) } }
        object.member("seed", seed)
        object.member("phase", phase.rawValue)
        object.member("started", started)
        object.member("time", time)
        object.member("masks", masks)
        object.member("masksRecorded", masksRecorded)
        object.member("masksLeased", masksLeased)
        object.member("masksSetAside", masksSetAside)
        object.member("imagesPerMask", imagesPerMask)
        object.member("evaluationsReceived", evaluationsReceived)
        object.member("evaluationsRepeated", evaluationsRepeated)
        object.member("leasesGranted", leasesGranted)
        object.member("leasesRequeued", leasesRequeued)
        object.member("masksPerSecond", masksPerSecond)
        object.member("imagesPerSecond", imagesPerSecond)
        if let secondsLeft { object.member("secondsLeft", secondsLeft) }
        if let stall { object.member("stall", stall) }
        object.array("throughput", of: throughput) { writer, point in
            writer.object {
                $0.member("time", point.time)
                $0.member("imagesPerSecond", point.imagesPerSecond)
            }
        }
        object.array("workers", of: workers) { $1.write(to: &$0) }
        object.array("settling", of: settling) { writer, point in
            writer.object {
                $0.member("masks", point.masks)
                $0.member("splitHalfCorrelation", point.splitHalfCorrelation)
                if let reliability = point.reliability { $0.member("reliability", reliability) }
                if let heldOut = point.heldOutRSquared { $0.member("heldOutRSquared", heldOut) }
            }
        }
        object.array("log", of: log) { $0.element($1) }
    }
}

extension RunSnapshot.Training {
    fileprivate func write(to object: inout JSONWriter) {
        object.member("epoch", epoch)
        object.member("epochs", epochs)
        object.member("step", step)
        object.member("steps", steps)
        if let loss { object.member("loss", loss) }
        if let accuracyBefore { object.member("accuracyBefore", accuracyBefore) }
        object.array("history", of: history) { writer, epoch in
            writer.object {
                $0.member("epoch", epoch.epoch)
                $0.member("trainingAccuracy", epoch.trainingAccuracy)
                if let accuracy = epoch.validationAccuracy { $0.member("validationAccuracy", accuracy) }
                if let accuracy = epoch.testAccuracy { $0.member("testAccuracy", accuracy) }
            }
        }
    }
}

extension RunSnapshot.Worker {
    fileprivate func write(to writer: inout JSONWriter) {
        writer.object {
            $0.member("name", name)
            $0.member("host", host)
            $0.member("instructionSet", instructionSet)
            $0.member("threads", threads)
            $0.member("imagesPerSecond", imagesPerSecond)
            $0.member("leases", leases)
            $0.member("evaluations", evaluations)
            $0.member("lastHeard", lastHeard)
            $0.member("isConnected", isConnected)
        }
    }
}

extension RunSnapshot.Filter {
    fileprivate func write(to writer: inout JSONWriter) {
        writer.object {
            $0.member("layer", layer)
            $0.member("filter", filter)
            $0.member("importance", importance)
            $0.member("half", AdditiveFit.intervalDeviations * standardError)
        }
    }
}
