import Foundation
import Shared

/// The state of a run, from its file: as lines for people, as JSON for programs.
struct RunStatus: Encodable {
    /// Who computes.
    enum State: String, Encodable {
        case complete, running, interrupted
    }

    struct Life: Encodable {
        var started: Date
        var ended: Date?
        var ending: String
    }

    struct Worker: Encodable {
        var number: Int
        var host: String
        var threads: Int
        var instructionSet: String
        var evaluations: Int
        /// While it computed; nil if unknown.
        var masksPerSecond: Double?
        var dismissed: String?
    }

    struct SetAside: Encodable {
        var mask: Int
        var reason: String
    }

    var run: String
    var state: State
    var created: Date
    var program: String
    var architecture: String
    var model: String
    var modelSHA256: String
    var data: String
    /// The images of a mask's evaluation, and the pool that they are drawn from if images rotate.
    var images: Int
    var pool: Int?
    var split: String
    var batchNorm: String
    var filtersRanked: Int
    var filters: Int
    var design: String
    var seed: UInt64
    var masks: Int
    var masksRecorded: Int
    /// Masks recorded per second over the last minutes; nil if nobody works or it is not known yet.
    var masksPerSecond: Double?
    var secondsLeft: Double?
    /// The ranking's reliability when last checked, and how many masks a reliability needs.
    var forecast: RunFile.Forecast?
    /// The reliability that stops the run.
    var untilReliability: Double?
    /// Why there is no progress, and what to do.
    var standstill: String?
    /// The command that resumes it; nil while a coordinator works on it, and when it is complete.
    var resume: String?
    /// The file beside the run file with evaluations that a copy of the run file alone would lack.
    var log: String?
    var lives: [Life]
    var workers: [Worker]
    var setAside: [SetAside]

    /// Over how long the rate is taken.
    private static let rateSeconds = 300.0
    private static let setAsideMax = 20

    /// Reads the status. Throws a ``Failure``.
    init(_ file: RunFile, at now: Date = Date()) throws {
        let description = file.description
        let settings = description.settings
        let isOwned = file.hasCoordinator
        run = description.run
        created = description.created
        program = description.program
        architecture = description.network.architecture
        model = description.network.path
        modelSHA256 = "\(description.network.digest)"
        data = description.data.path
        (images, split) = (settings.images, settings.split.rawValue)
        pool = settings.rotation?.pool
        batchNorm = Self.words(settings.batchNorm)
        filtersRanked = description.ensemble.participating.count
        filters = description.network.filters
        design = description.ensemble.design.name
        seed = description.ensemble.seed
        masks = description.ensemble.count
        forecast = try file.forecast()
        untilReliability = description.untilReliability
        masksRecorded = try file.evaluationCount()
        setAside = try file.masksSetAside().prefix(Self.setAsideMax).map { SetAside(mask: $0.mask, reason: $0.reason) }
        lives = try file.lives().map {
            Life(
                started: $0.started, ended: $0.ended,
                ending: $0.ending ?? (isOwned ? "at work" : "killed"))
        }
        workers = try file.workers().map { worker in
            let rate = worker.computeSeconds > 0 ? Double(worker.evaluations) / worker.computeSeconds : 0
            return Worker(
                number: worker.number, host: worker.host, threads: worker.threads,
                instructionSet: worker.instructionSet, evaluations: worker.evaluations,
                masksPerSecond: rate > 0 ? rate : nil, dismissed: worker.dismissed)
        }
        state = masksRecorded == masks ? .complete : isOwned ? .running : .interrupted
        log = file.log
        switch state {
        case .complete: break
        case .interrupted: resume = RunFile.resumeCommand(file.path)
        case .running:
            standstill = try file.standstill()
            let since = max(now.addingTimeInterval(-Self.rateSeconds), lives.last?.started ?? now)
            let seconds = now.timeIntervalSince(since)
            guard standstill == nil, seconds > 0 else { break }
            masksPerSecond = Double(try file.evaluationCount(since: since)) / seconds
            if let rate = masksPerSecond, rate > 0 {
                let needed = untilReliability.flatMap { _ in forecast?.masksNeeded } ?? .infinity
                secondsLeft = max(min(Double(masks), needed) - Double(masksRecorded), 0) / rate
            }
        }
    }

    /// The lines for a person.
    var text: String {
        var lines = [
            "run \(run), made \(Self.time(created)) by \(program)",
            "network  \(architecture), \(model)",
            "         SHA-256 \(modelSHA256)",
            "images   \(images)\(pool.map { " of \($0)" } ?? "") \(split) images\(pool == nil ? "" : " for each mask"), \(data)",
            "         batch norms \(batchNorm)",
            "filters  \(filtersRanked) of \(filters) ranked",
            "design   \(design), seed \(seed)",
            "done     \(masksRecorded) of \(masks) masks (\(Text.fixed(100 * Double(masksRecorded) / Double(masks), 1)) %)"
                + (secondsLeft.map { ", \(Progress.duration($0)) left" } ?? ""),
        ]
        for (index, life) in lives.enumerated() {
            let end = life.ended.map { " \(Self.time($0))" } ?? ""
            lines.append("life \(index + 1)   started \(Self.time(life.started)), \(life.ending)\(end)")
        }
        if let forecast {
            let needed = forecast.masksNeeded.map { ", about \(Progress.rounded($0)) masks for " } ?? ", aiming at "
            lines.append(
                "ranking  reliability \(Text.fixed(forecast.reliability, 2)) from \(forecast.masks) masks"
                    + (forecast.reliability < forecast.aim ? needed + Text.fixed(forecast.aim, 2) : ""))
        }
        if let untilReliability {
            lines.append("         stops at reliability \(Text.fixed(untilReliability, 2))")
        }
        if let resume { lines.append("no coordinator works on it; resume with '\(resume)'") }
        if let standstill { lines.append("no progress: \(standstill)") }
        if let log {
            lines.append(
                "the last evaluations are in \(log): copy both files, or use 'winnow-coordinator copy', which "
                    + "merges them"
            )
        }
        for worker in workers {
            var line = "worker \(worker.number) on \(Log.printable(worker.host)): \(worker.threads) threads, "
            line += "\(Log.printable(worker.instructionSet)), \(worker.evaluations) evaluations"
            if let rate = worker.masksPerSecond { line += ", \(Progress.short(rate)) masks/s while computing" }
            if let reason = worker.dismissed { line += ", dismissed: \(Log.printable(reason))" }
            lines.append(line)
        }
        for item in setAside { lines.append("set aside: mask \(item.mask): \(Log.printable(item.reason))") }
        return lines.joined(separator: "\n")
    }

    private static func time(_ date: Date) -> String {
        let formatter = DateFormatter()
        formatter.locale = Locale(identifier: "en_US_POSIX")
        formatter.dateFormat = "yyyy-MM-dd HH:mm:ss"
        return formatter.string(from: date)
    }

    private static func words(_ batchNorm: EvaluationSettings.BatchNorm) -> String {
        switch batchNorm {
        case .frozen: "frozen"
        case .recalibrated(let images): "recalibrated on \(images) training images under each mask"
        case .corrected(let images): "corrected by each mask's effect on \(images) training images"
        }
    }
}
