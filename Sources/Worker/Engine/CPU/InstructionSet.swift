import CKernels
import Foundation
import Shared

/// The instruction sets that the kernels are compiled for. All of them give the same bits.
public enum InstructionSet: String, Sendable, CaseIterable {
    case avx512
    case avx2
    case neon
    case plain

    /// The environment variable that chooses one, to compare them.
    public static let environmentVariable = "WINNOW_ISA"

    /// Those of this machine, fastest first.
    public static var available: [InstructionSet] {
        allCases.filter { winnow_kernels_named($0.rawValue) != nil }
    }

    /// The fastest of this machine, or the one in ``environmentVariable``. Throws a `.usage` ``Failure`` if there is no
    /// such one.
    public static func preferred() throws -> InstructionSet {
        guard let name = ProcessInfo.processInfo.environment[environmentVariable] else { return available[0] }
        guard let named = InstructionSet(rawValue: name), available.contains(named) else {
            let names = available.map(\.rawValue).joined(separator: ", ")
            throw Failure(
                .usage, "\(environmentVariable)=\(name) is not one of this machine's instruction sets: \(names)")
        }
        return named
    }

    /// Its kernels. Only for an available one.
    var kernels: winnow_kernels {
        guard let kernels = winnow_kernels_named(rawValue) else {
            preconditionFailure("this machine has no \(rawValue)")
        }
        return kernels.pointee
    }
}
