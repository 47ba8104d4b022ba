/// A time on a monotonic clock; only differences have a meaning. State machines are told it, never ask.
public struct Moment: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// Milliseconds since any fixed time.
    public var milliseconds: Int64

    /// A time.
    public init(milliseconds: Int64) { self.milliseconds = milliseconds }

    /// A time that never comes.
    public static let never = Moment(milliseconds: .max)

    /// So many milliseconds later.
    public static func + (moment: Moment, milliseconds: Int64) -> Moment {
        Moment(milliseconds: moment.milliseconds &+ milliseconds)
    }

    /// Milliseconds from the second to the first.
    public static func - (a: Moment, b: Moment) -> Int64 { a.milliseconds &- b.milliseconds }

    public static func < (a: Moment, b: Moment) -> Bool { a.milliseconds < b.milliseconds }

    /// Seconds, for people.
    public var description: String {
        let part = String(milliseconds.magnitude % 1000)
        return "\(milliseconds / 1000)." + String(repeating: "0", count: 3 - part.count) + part
    }
}
