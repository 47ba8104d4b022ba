import Foundation
import Shared

/// `ranking.json`: the ranking, and all that a reader needs to judge or reproduce it.
struct RankingDocument: Codable {
    struct Run: Codable {
        let run: String
        let created: Date
        let program: String
        let commandLine: [String]
        let network: RunDescription.NetworkSource
        let parameters: Int
        let multiplyAccumulates: Int
        let data: RunDescription.DataSource
        let settings: EvaluationSettings
        let ensemble: Ensemble
        let ensembleSha256: Digest
        let masksEvaluated: Int
        let masksSetAside: Int
    }

    struct Fit: Codable {
        let response: Response
        let masks: Int
        let meanResponse: Double
        let responseDeviation: Double
        let residualDeviations: [Double]
        let rSquared: Double?
        let heldOutRSquared: Double?
        let splitHalf: Double?
        let halvings: Int
        let reliability: Double?
        let priors: [AdditiveFit.PriorShare]
        let scatter: Double
        let ridgeStrengths: [Double]
        let layers: [AdditiveFit.LayerEffect]
        let settling: [AdditiveFit.Settling]
    }

    struct Row: Codable {
        let rank: Int
        let layer: String
        let filter: Int
        let importance: Double
        let standardError: Double
        let ciLow: Double
        let ciHigh: Double
        let l1Norm: Double
        let timesDisabled: Int
        let parameters: Int
        let multiplyAccumulates: Int
    }

    struct Unmeasured: Codable {
        let layer: String
        let filter: Int
    }

    /// The meaning of `rank` and of `importance`, for anyone who opens the file first.
    let about: String
    let run: Run
    let fit: Fit
    let agreementWithL1: Ranking.Agreement
    let ranking: [Row]
    let unmeasured: [Unmeasured]

    init(_ ranking: Ranking, of record: RunRecord) {
        let fit = ranking.fit
        let description = record.description
        let cost = record.network.graph.cost()
        let loss = description.settings.labels.lossName
        let unit = fit.response == .logLoss ? "the natural logarithm of the \(loss)" : "the \(loss)"
        about =
            "Rank 1 is the least important filter. Importance is the expected rise of \(unit) when the filter "
            + "is disabled; ci_low and ci_high enclose it with 95 % probability. parameters and "
            + "multiply_accumulates are the savings from removing the filter alone."
        run = Run(
            run: description.run, created: description.created, program: description.program,
            commandLine: description.commandLine, network: description.network, parameters: cost.parameters,
            multiplyAccumulates: cost.multiplyAccumulates, data: description.data, settings: description.settings,
            ensemble: description.ensemble, ensembleSha256: description.ensemble.digest, masksEvaluated: fit.masks,
            masksSetAside: record.setAside.count)
        self.fit = Fit(
            response: fit.response, masks: fit.masks, meanResponse: fit.meanResponse,
            responseDeviation: fit.responseDeviation, residualDeviations: fit.residualDeviations,
            rSquared: fit.rSquared, heldOutRSquared: fit.heldOutRSquared, splitHalf: fit.splitHalf,
            halvings: fit.halvings, reliability: fit.reliability, priors: fit.priors, scatter: fit.scatter,
            ridgeStrengths: fit.ridgeStrengths,
            layers: fit.layers, settling: fit.settling)
        agreementWithL1 = ranking.agreementWithL1
        self.ranking = ranking.rows.map { row in
            Row(
                rank: row.rank, layer: row.layer, filter: row.filter, importance: row.estimate.importance,
                standardError: row.estimate.standardError, ciLow: row.estimate.interval.lowerBound,
                ciHigh: row.estimate.interval.upperBound, l1Norm: row.l1Norm,
                timesDisabled: row.estimate.timesDisabled, parameters: row.parameters,
                multiplyAccumulates: row.multiplyAccumulates)
        }
        unmeasured = ranking.unmeasured.map { Unmeasured(layer: $0.layer, filter: $0.filter) }
    }

    /// The file's bytes. Throws if a number cannot be written, which fits do not produce.
    func encoded() throws -> Data {
        let encoder = JSONEncoder()
        encoder.keyEncodingStrategy = .convertToSnakeCase
        encoder.dateEncodingStrategy = .iso8601
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return try encoder.encode(self)
    }
}
