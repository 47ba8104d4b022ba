import Shared

extension Report {
    /// The least and most important filters and the ranking's reliability, for the terminal.
    public func summary(lines: Int) -> String {
        let fit = ranking.fit
        func list(_ rows: [Ranking.Row]) -> [String] {
            rows.map { row in
                let interval = row.estimate.interval
                let name = "\(row.layer) \(row.filter)"
                let padding = String(repeating: " ", count: max(1, 26 - name.count))
                return "  \(row.rank)\t\(name)\(padding)\(rise(row.estimate.importance))"
                    + "  (\(rise(interval.lowerBound)) … \(rise(interval.upperBound)))"
            }
        }
        let unit = fit.response == .logLoss ? "rise of the loss" : "rise of the loss in nats"
        var text = ["least important filters (rank, filter, \(unit), 95 % interval):"]
        text += list(Array(ranking.rows.prefix(lines)))
        text.append("most important filters:")
        text += list(Array(ranking.rows.suffix(lines).reversed()))
        text.append(
            "\(Text.grouped(fit.masks)) masks; R² \(Text.coefficient(fit.rSquared)), held out "
                + "\(Text.coefficient(fit.heldOutRSquared)); rank correlation of halves "
                + "\(Text.coefficient(fit.splitHalf)), reliability \(Text.coefficient(fit.reliability)); "
                + "with the L1 norm \(Text.coefficient(ranking.agreementWithL1.spearman))")
        if let priorText { text.append(priorText) }
        text.append(verdictText)
        return text.joined(separator: "\n")
    }
}
