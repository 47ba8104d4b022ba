import Foundation

extension Ranking {
    /// The columns of ``csv``.
    static let csvColumns = [
        "rank", "layer", "filter", "importance", "standard_error", "ci_low", "ci_high", "l1_norm",
    ]

    /// The ranking as comma-separated values, rank 1 the least important filter. Numbers read back exactly.
    public var csv: String {
        var lines = [Self.csvColumns.joined(separator: ",")]
        for row in rows {
            let interval = row.estimate.interval
            let numbers = [
                row.estimate.importance, row.estimate.standardError, interval.lowerBound, interval.upperBound,
                row.l1Norm,
            ]
            let fields = ["\(row.rank)", Self.quoted(row.layer), "\(row.filter)"] + numbers.map { "\($0)" }
            lines.append(fields.joined(separator: ","))
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// A field of RFC 4180: quoted if it holds a delimiter.
    static func quoted(_ field: String) -> String {
        guard field.contains(where: { $0 == "," || $0 == "\"" || $0.isNewline }) else { return field }
        return "\"" + field.replacingOccurrences(of: "\"", with: "\"\"") + "\""
    }
}
