import Foundation
import Shared

/// The accuracy that a smaller network must keep.
enum AccuracyFloor: Codable, Equatable {
    /// At most this much accuracy, 0 to 1, less than the unpruned network.
    case drop(Double)
    /// At least this share of the images, 0 to 1.
    case least(Double)

    /// The least accuracy, 0 to 1, if the unpruned network has `reference`.
    func least(of reference: Double) -> Double {
        switch self {
        case .drop(let drop): reference - drop
        case .least(let least): least
        }
    }
}
