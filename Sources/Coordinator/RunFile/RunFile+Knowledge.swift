import Foundation
import Shared

/// A run's knowledge about its filters besides evaluations: the cheap criteria computed when it was created, and the
/// ranking's current reliability.
extension RunFile {
    /// The features of the filters of the run's network. Throws a ``Failure``.
    public func features(of network: Network) throws -> FilterFeatures {
        FilterFeatures(network, taylor: try taylorScores())
    }

    /// The Taylor scores of all filters, by their numbers; nil if the file has none. Throws a ``Failure`` if they are
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

    /// The ranking's reliability when last checked, and how many masks it needs.
    struct Forecast: Codable, Equatable {
        /// The masks that were in.
        var masks: Int
        /// The ranking's reliability.
        var reliability: Double
        /// The target reliability, and about how many masks it takes.
        var aim: Double
        var masksNeeded: Double?
    }

    /// The forecast of ``setForecast(_:)``; nil if there is none. Throws a ``Failure``.
    func forecast() throws -> Forecast? {
        try Self.translated {
            try database.text("SELECT value FROM meta WHERE key = 'forecast'", "read")
        }.flatMap { try? JSONDecoder().decode(Forecast.self, from: Data($0.utf8)) }
    }

    /// Stores the measurements of smaller networks, and commits. Throws a ``Failure``.
    func remember(_ choices: MeasuredChoices) throws {
        let text = String(decoding: try JSONEncoder().encode(choices), as: UTF8.self)
        try Self.translated {
            try database.prepare("INSERT OR REPLACE INTO meta VALUES('choices', ?)", "write to").run(.text(text))
        }
    }

    /// The measurements of smaller networks; nil if there are none. Throws a ``Failure`` if they are damaged.
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
