import Foundation
import Shared
import TestSupport
import Testing

@testable import Coordinator
@testable import Shared

/// Reports of a small run whose losses are known to the last bit, in a folder of their own.
final class ReportTests {
    private let folder: String
    private static let architecture = Graph.residual(widths: [8, 12], blocksPerStage: 2, imageSize: 32)

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "winnow-report-\(UUID())").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: folder) }

    private static func record(
        masks: Int = 256, seed: UInt64 = 1, path: String = "net.safetensors", evaluated: (Int) -> Bool = { _ in true }
    ) throws -> RunRecord {
        var random = SeededGenerator(seed: 5)
        let network = Network.random(architecture, using: &random)
        let space = FilterSpace(architecture)
        let ensemble = try Ensemble(.tree, of: space, scope: SamplingScope(dropRate: 0.25), masks: masks, seed: seed)
        let evaluations = (0..<masks).map { index -> Evaluation? in
            guard evaluated(index) else { return nil }
            // Filter f raises ln loss by f/400; a little that depends on the mask's index is noise.
            let rise = ensemble.mask(index).disabled.reduce(0) { $0 + Double($1) / 400 }
            let loss = exp(rise + 0.02 * sin(Double(index) * 12.9898))
            return Evaluation(lossSum: Int64(loss * 100 * Evaluation.unitsPerNat), correct: 50, images: 100)
        }
        let description = RunDescription(
            run: RunID.random().description, created: Date(milliseconds: 1_700_000_000_000), program: "0.1.0",
            commandLine: ["winnow-coordinator", "run", "--model", path],
            network: .init(
                path: path, digest: Digest(sha256Of: Checkpoint.safetensors(of: network)), architecture: "ResNet-10",
                filters: space.count),
            data: .init(path: "data", images: Digest(sha256Of: [2]), calibrationImages: nil),
            settings: EvaluationSettings(split: .train, images: 100, batchNorm: .recalibrated(images: 64)),
            ensemble: ensemble, masksDigest: ensemble.sample, verifiedShare: 0)
        return RunRecord(
            description: description, network: network, evaluations: evaluations, features: FilterFeatures(network))
    }

    /// The cells of a CSV without quotes.
    private static func cells(_ csv: String) -> [[String]] {
        csv.split(separator: "\n").map { $0.split(separator: ",", omittingEmptySubsequences: false).map(String.init) }
    }

    @Test func theCSVRanksTheLeastImportantFilterFirst() throws {
        let report = try Report(Self.record())
        let rows = Self.cells(report.ranking.csv)
        #expect(
            rows[0] == ["rank", "layer", "filter", "importance", "standard_error", "ci_low", "ci_high", "l1_norm"])
        #expect(rows.count == 41)
        let importances = rows.dropFirst().compactMap { Double($0[3]) }
        #expect(importances == importances.sorted() && importances.count == 40)
        #expect(rows.dropFirst().map { $0[0] } == (1...40).map(String.init))
        #expect(rows[1][1] == "layer1.0.conv1" && rows[40][1] == "layer2.1.conv1")
        let norms = report.record.network.l1Norms
        for row in report.ranking.rows { #expect(row.l1Norm == norms[row.estimate.filter]) }
        for row in rows.dropFirst() {
            let numbers = row.dropFirst(3).compactMap(Double.init)
            #expect(numbers.count == 5 && numbers[2] < numbers[0] && numbers[0] < numbers[3] && numbers[1] > 0)
        }
    }

    @Test func equalFiltersKeepTheirOrder() throws {
        let record = try Self.record()
        let same = RunRecord(
            description: record.description, network: record.network,
            evaluations: record.evaluations.map { _ in Evaluation(lossSum: 1 << 36, correct: 1, images: 100) })
        let rows = try Report(same).ranking.rows
        #expect(rows.map(\.estimate.filter) == record.description.ensemble.participating)
    }

    @Test func whatAFilterSavesIsWhatTheNetworkLoses() throws {
        let report = try Report(Self.record())
        let whole = Self.architecture.cost()
        for row in report.ranking.rows {
            let mask = Mask(count: FilterSpace(Self.architecture).count, disabled: [row.estimate.filter])
            let rest = Self.architecture.cost(under: mask)
            #expect(row.parameters == whole.parameters - rest.parameters)
            #expect(row.multiplyAccumulates == whole.multiplyAccumulates - rest.multiplyAccumulates)
        }
    }

    @Test func theJSONHoldsTheRankingAndHowItCameAbout() throws {
        let record = try Self.record { $0 != 17 }
        let report = try Report(record)
        try report.write(to: folder)
        let data = try Data(contentsOf: URL(fileURLWithPath: "\(folder)/ranking.json"))
        let decoder = JSONDecoder()
        decoder.keyDecodingStrategy = .convertFromSnakeCase
        decoder.dateDecodingStrategy = .iso8601
        let read = try decoder.decode(RankingDocument.self, from: data)
        #expect(read.ranking.map(\.rank) == Array(1...40))
        #expect(read.ranking.map(\.importance) == report.ranking.rows.map(\.estimate.importance))
        #expect(read.fit.heldOutRSquared == report.ranking.fit.heldOutRSquared)
        #expect(read.run.masksEvaluated == 255)
        #expect(read.run.ensemble == record.description.ensemble)
        // The names that other programs read.
        let text = String(decoding: data, as: UTF8.self)
        for name in ["standard_error", "ci_low", "ci_high", "l1_norm", "multiply_accumulates", "split_half"] {
            #expect(text.contains("\"\(name)\" : "))
        }
        #expect(text.contains("\"ensemble_sha256\" : \"\(record.description.ensemble.digest)\""))
        #expect(read.about.contains("Rank 1 is the least important"))
    }

    @Test func thePageIsWholeAndNeedsNothingFromOutside() throws {
        let html = try Report(Self.record()).html
        for outside in ["http://", "https://", "src=", "@import", "url("] { #expect(!html.contains(outside)) }
        let body = html.components(separatedBy: "<script>")[0].lowercased()
        for broken in ["nan", "inf<", "inf\"", "nil"] { #expect(!body.contains(broken)) }
        for name in ["svg", "table", "figure", "tr", "details", "pre", "div", "p", "main", "text", "html"] {
            let opened =
                html.components(separatedBy: "<\(name)>").count + html.components(separatedBy: "<\(name) ").count
            #expect(opened - 2 == html.components(separatedBy: "</\(name)>").count - 1, "\(name)")
        }
        #expect(html.components(separatedBy: "<svg").count - 1 >= 6)
        #expect(html.contains("the test images stay unseen"))
    }

    @Test func namesCannotBecomeMarkup() throws {
        let html = try Report(Self.record(path: "<script>alert('x')</script>&\"")).html
        #expect(!html.contains("<script>alert"))
        #expect(html.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;&quot;"))
    }

    @Test func anUnfinishedRunIsReportedAsSuch() throws {
        let html = try Report(Self.record { $0 < 100 }).html
        #expect(html.contains("The run has not finished: 156 masks"))
    }

    @Test func aReportFromARunFileIsThatOfTheRun() throws {
        let record = try Self.record { $0 % 5 != 0 }
        let path = "\(folder)/run.winnow"
        let file = try RunFile.create(
            at: path, record.description, checkpoint: Checkpoint.safetensors(of: record.network))
        for index in record.evaluations.indices.reversed() {
            guard let evaluation = record.evaluations[index] else { continue }
            try file.record(
                RecordedEvaluation(
                    mask: index, evaluation: evaluation, worker: 1, recorded: Date(milliseconds: 1),
                    computeMicroseconds: 5))
        }
        try file.commit()
        let read = try Report(RunRecord(RunFile.read(at: path)))
        #expect(try read.ranking.csv == Report(record).ranking.csv)
        guard
            case .command(let command) = try coordinatorProgram.parse([
                "report", "--run", path, "--report", "\(folder)/out",
            ])
        else { return #expect(Bool(false), "not a command") }
        try command.run()
        #expect(try String(contentsOfFile: "\(folder)/out/ranking.csv", encoding: .utf8) == read.ranking.csv)
    }

    @Test func twoRunsAreSetSideBySide() throws {
        let first = try Report(Self.record(seed: 1))
        let second = try Report(Self.record(seed: 2))
        let comparison = try Comparison(first, second, names: ("a.run", "b.run"))
        #expect((comparison.agreement.spearman ?? 0) > 0.9)
        #expect(comparison.pairs.count == 40)
        let apart = comparison.pairs.filter { abs($0.deviation) > 3 }.count
        #expect(apart <= 2)
        try comparison.write(to: folder)
        let html = try String(contentsOfFile: "\(folder)/comparison.html", encoding: .utf8)
        #expect(html.contains("a.run") && html.contains("<svg"))
        let csv = Self.cells(try String(contentsOfFile: "\(folder)/comparison.csv", encoding: .utf8))
        #expect(csv.count == 41 && csv.allSatisfy { $0.count == 9 } && csv[0][2] == "rank_a")
        let json = try JSONSerialization.jsonObject(
            with: Data(contentsOf: URL(fileURLWithPath: "\(folder)/comparison.json")))
        #expect((json as? [String: Any])?["filters"] as? Int == 40)
    }

    @Test func theVerdictSaysWhatTheRankingIsGoodFor() throws {
        let sure = try Report(Self.record(masks: 2048))
        #expect(sure.verdict == .filters && sure.html.contains("Reliable enough to choose single filters"))
        #expect(Report.Verdict(reliability: 0.6) == .layers)
        #expect(Report.Verdict(reliability: 0.1) == .rough && Report.Verdict(reliability: -0.2) == .rough)
        #expect(Report.Verdict(reliability: nil) == .unknown)
        // Spearman-Brown: the present number of masks gives the present reliability, more give more.
        let own = try #require(sure.ranking.fit.reliability)
        let same = try #require(sure.masksNeeded(for: own))
        #expect(abs(Double(same) - 2048) <= 205)
        #expect(try #require(sure.masksNeeded(for: (1 + own) / 2)) > 2 * 2048)
        #expect(sure.summary(lines: 1).contains("Reliable enough"))
    }

    @Test func thePageEndsWithTheCommandThatPrunes() throws {
        let record = try Self.record()
        let html = try Report(
            RunRecord(
                description: record.description, network: record.network, evaluations: record.evaluations,
                path: "my runs/a.winnow")
        ).html
        let command = "winnow-coordinator prune --run &#39;my runs/a.winnow&#39; --remove-flops 0.5 --data data"
        let place = try #require(html.range(of: command))
        #expect(!html[place.upperBound...].contains("<h2>"))
        // Details that most readers do not need are collapsed.
        #expect(html.components(separatedBy: "<details>").count - 1 >= 4)
        #expect(!html.contains("may as well be left out"))
    }

    @Test func lossesBecomeAccuraciesOnlyWhereBothWereMeasured() {
        let curve = LossToAccuracy((0..<64).map { (loss: Double($0), accuracy: 1 - Double($0) / 100) })
        #expect(curve.accuracy(at: 31.5).map { abs($0 - 0.685) < 1e-9 } == true)
        #expect(curve.accuracy(at: 70) == nil)
        // No mask was as good: its accuracy is not invented.
        #expect(curve.accuracy(at: -1) == curve.accuracy(at: 1.5))
        #expect(LossToAccuracy([]).accuracy(at: 0) == nil)
    }

    @Test func theEnsembleCommandWritesWhatARunEvaluates() throws {
        let record = try Self.record()
        let model = "\(folder)/net.safetensors"
        try Data(Checkpoint.safetensors(of: record.network)).write(to: URL(fileURLWithPath: model))
        guard
            case .command(let command) = try coordinatorProgram.parse([
                "ensemble", "--model", model, "--masks", "256", "--seed", "1", "--drop-rate", "0.25", "--design",
                "tree", "--output", "\(folder)/masks.json",
            ])
        else { return #expect(Bool(false), "not a command") }
        try command.run()
        let masks = try MaskFile.read(at: "\(folder)/masks.json", for: FilterSpace(Self.architecture))
        #expect(masks == record.description.ensemble.masks(0..<256))
    }

    @Test func theBudgetsOfTheReportAreKeptAtARisingLoss() throws {
        let budgets = try Report(Self.record()).budgets()
        #expect(budgets.count >= 6)
        for budget in budgets { #expect(budget.flops >= budget.asked && budget.filters > 0 && budget.parameters > 0) }
        for (less, more) in zip(budgets, budgets.dropFirst()) {
            #expect(less.predictedLoss ?? .infinity <= more.predictedLoss ?? 0)
        }
    }

    @Test func aLeaseThatWasLostIsShownUntilItsMasksWereLeasedAgain() throws {
        func at(_ second: Int64) -> Date { Date(milliseconds: 1_700_000_000_000 + second * 1000) }
        let whole = try Self.record()
        func lease(_ number: UInt32, _ worker: Int, _ start: Int64, _ end: Int64?) -> RunFile.LeaseRecord {
            RunFile.LeaseRecord(
                lease: LeaseID(life: 1, number: number), worker: worker, masks: MaskRuns(0..<256),
                granted: at(start), ended: end.map(at), outcome: end.map { _ in "answered" })
        }
        let workers = [1, 2].map { number in
            RunFile.Worker(
                number: number, host: "host", threads: 1, instructionSet: "avx2",
                version: "0.1.0", joined: at(0), dismissed: nil, evaluations: 128, computeSeconds: 1)
        }
        func schedule(_ leases: [RunFile.LeaseRecord]) throws -> String? {
            let record = RunRecord(
                description: whole.description, network: whole.network, evaluations: whole.evaluations,
                workers: workers, leases: leases)
            return Plots(ranking: try Report(record).ranking, record: record).schedule()
        }
        let lost = try #require(try schedule([lease(1, 1, 0, nil), lease(2, 2, 4, 8)]))
        #expect(lost.components(separatedBy: "class=\"lease lost\"").count == 2)
        let out = try #require(try schedule([lease(1, 1, 0, 4), lease(2, 2, 4, nil)]))
        #expect(!out.contains("lost"))
    }
}

@Test func ticksAreRoundNumbers() {
    let scale = Scale(domain: -0.13...0.62, from: 0, to: 100)
    #expect(scale.ticks().map { scale.label($0) } == ["0.0", "0.2", "0.4", "0.6"])
    #expect(Scale(domain: 0...1, from: 10, to: 20)(0.5) == 15)
    #expect(Scale(holding: [3, 3], from: 0, to: 1).domain.contains(3))
    #expect(Text.fixed(-0.001, 2) == "0.00" && Text.fixed(-1.5, 1) == "−1.5" && Text.grouped(1_234_567).count == 9)
}

@Test func labelsMakeRoomForOneAnother() {
    #expect(Plots.spread([10, 50], gap: 12, within: 0...100) == [10, 50])
    #expect(Plots.spread([10, 11, 12], gap: 12, within: 0...100) == [10, 22, 34])
    // At the end of the axis they move up.
    #expect(Plots.spread([90, 98, 99], gap: 12, within: 0...100) == [76, 88, 100])
    // Not all have room.
    #expect(Plots.spread([10, 11, 30], gap: 12, within: 0...20) == [10, nil, 30])
    #expect(Plots.spread([], gap: 12, within: 0...20).isEmpty)
}
