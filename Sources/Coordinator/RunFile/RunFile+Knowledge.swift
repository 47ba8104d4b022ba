import Foundation
import Shared

/// What a run knows of its filters besides evaluations: what cheap criteria said of them when it was made, and how sure the
/// ranking is by now.
extension RunFile {
    /// The features of the filters of the run's network. Throws a ``Failure``.
    public func features(of network: Network) throws -> FilterFeatures {
        FilterFeatures(network, taylor: try taylorScores())
    }

    /// The Taylor scores of all filters, by their numbers; nil where the file has none. Throws a ``Failure`` where they are
    /// damaged.
    func taylorScores() throws -> [Double]? {
        try Self.translated {
            let statement = try database.prepare("SELECT value FROM meta WHERE key = 'taylor'", "read")
            guard try statement.step() else { return nil }
            let scores = Self.numbers(in: statement.blob(0))
            guard scores.count == description.network.filters, scores.allSatisfy({ $0.isFinite && $0 >= 0 }) else {
                throw Failure(.badInput, "the Taylor scores in the run file \(path) are damaged")
            }
            return scores
        }
    }

    /// How sure the ranking was when it was last looked at, and how many masks it needs.
    struct Forecast: Codable, Equatable {
        /// The masks that were in.
        var masks: Int
        /// The ranking's reliability.
        var reliability: Double
        /// The reliability that is aimed at, and about how many masks it takes.
        var aim: Double
        var masksNeeded: Double?
    }

    /// What ``setForecast(_:)`` noted; nil where nothing was. Throws a ``Failure``.
    func forecast() throws -> Forecast? {
        try Self.translated {
            try database.text("SELECT value FROM meta WHERE key = 'forecast'", "read")
        }.flatMap { try? JSONDecoder().decode(Forecast.self, from: Data($0.utf8)) }
    }

    /// Writes down what was measured of smaller networks, and commits. Throws a ``Failure``.
    func remember(_ choices: MeasuredChoices) throws {
        let text = String(decoding: try JSONEncoder().encode(choices), as: UTF8.self)
        try Self.translated {
            try database.prepare("INSERT OR REPLACE INTO meta VALUES('choices', ?)", "write to").run(.text(text))
        }
    }

    /// What was measured of smaller networks; nil where nothing was. Throws a ``Failure`` where it is damaged.
    func measuredChoices() throws -> MeasuredChoices? {
        try Self.translated {
            try database.text("SELECT value FROM meta WHERE key = 'choices'", "read")
        }.map { text in
            let filters = 0..<description.network.filters
            guard let choices = try? JSONDecoder().decode(MeasuredChoices.self, from: Data(text.utf8)),
                choices.choices.allSatisfy({
                    $0.loss.isFinite && $0.removed.allSatisfy(filters.contains)
                        && Set($0.removed).count == $0.removed.count
                })
            else {
                throw Failure(.badInput, "the measurements of smaller networks in the run file \(path) are damaged")
            }
            return choices
        }
    }

    /// 64-bit floats as little-endian bytes.
    static func bytes(of numbers: [Double]) -> [UInt8] {
        numbers.flatMap { number in withUnsafeBytes(of: number.bitPattern.littleEndian, Array.init) }
    }

    private static func numbers(in bytes: [UInt8]) -> [Double] {
        bytes.withUnsafeBytes { raw in
            stride(from: 0, to: raw.count - 7, by: 8).map {
                Double(bitPattern: UInt64(littleEndian: raw.loadUnaligned(fromByteOffset: $0, as: UInt64.self)))
            }
        }
    }
}
