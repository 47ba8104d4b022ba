import Foundation
import Shared

/// Filter scores from elsewhere: a CSV file with a header line and the columns `layer`, `filter` and `importance`, as
/// in a report's `ranking.csv`. Filters to keep have the higher importance.
enum RankingFile {
    private static let bytesMax = 256 << 20
    private static let columns = ["layer", "filter", "importance"]

    /// Reads the scores for a network. Only the filters of the file may be removed. Throws a `.badInput` ``Failure`` that
    /// names the line.
    static func scores(at path: String, of network: Network) throws -> FilterScores {
        let text = String(decoding: try InputFile.bytes(at: path, bytesMax: bytesMax), as: UTF8.self)
        let space = FilterSpace(network.graph)
        let lines = text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline)
        let header = fields(lines.first ?? "").map { $0.trimmingCharacters(in: .whitespaces) }
        let places = columns.compactMap { header.firstIndex(of: $0) }
        guard places.count == columns.count else {
            throw Failure(.badInput, "\(path): the first line must name the columns \(columns.joined(separator: ", "))")
        }
        var values = [Double](repeating: 0, count: space.count)
        var removable = Mask(count: space.count)
        for (number, line) in lines.enumerated().dropFirst() where !line.isEmpty {
            func damaged(_ what: String) -> Failure { Failure(.badInput, "\(path), line \(number + 1): \(what)") }
            let row = fields(line)
            guard let last = places.max(), row.count > last else { throw damaged("it has too few columns") }
            guard let layer = space.layer(written: row[places[0]]) else {
                throw damaged("the network has no layer '\(Log.printable(String(row[places[0]].prefix(80))))'")
            }
            guard let filter = Int(row[places[1]]), (0..<layer.filters.count).contains(filter) else {
                throw damaged("layer \(layer.name) has the filters 0 to \(layer.filters.count - 1)")
            }
            guard let value = Double(row[places[2]]), value.isFinite else {
                throw damaged("an importance must be a number")
            }
            let index = layer.filters.lowerBound + filter
            guard !removable[index] else { throw damaged("filter \(filter) of \(layer.name) occurs twice") }
            values[index] = value
            removable[index] = true
        }
        guard removable.disabledCount > 0 else { throw Failure(.badInput, "\(path) ranks no filter") }
        return FilterScores(values: values, removable: removable, prediction: nil)
    }

    /// The fields of a line of RFC 4180; a quoted field must not span lines.
    private static func fields(_ line: Substring) -> [String] {
        var fields = [""]
        var isQuoted = false
        for character in line {
            switch character {
            case "\"": isQuoted.toggle()
            case "," where !isQuoted: fields.append("")
            default: fields[fields.count - 1].append(character)
            }
        }
        return fields
    }
}
