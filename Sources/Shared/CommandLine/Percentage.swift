/// A percentage, or a number of percentage points, on the command line: `91.7` or `91.7%`.
public struct Percentage: ArgumentValue, Sendable, Equatable {
    /// In per cent, 0 to 100.
    public let percent: Double

    /// As a share, 0 to 1.
    public var share: Double { percent / 100 }

    public init?(argument: String) {
        let text = argument.hasSuffix("%") ? String(argument.dropLast()) : argument
        guard let value = Double(text), (0...100).contains(value) else { return nil }
        percent = value
    }

    public var argumentText: String { "\(percent)" }
    public static var expectation: String { "per cent from 0 to 100, such as 91.7 or 91.7%" }
}
