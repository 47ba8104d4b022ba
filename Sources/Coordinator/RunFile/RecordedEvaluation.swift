import Foundation
import Shared

/// One row of the table of evaluations.
public struct RecordedEvaluation: Sendable, Equatable {
    /// The mask's index in the ensemble.
    public var mask: Int
    /// What was measured.
    public var evaluation: Evaluation
    /// The number of the worker that computed it.
    public var worker: Int
    /// When it was recorded.
    public var recorded: Date
    /// The share of its lease's compute time.
    public var computeMicroseconds: UInt64
}
