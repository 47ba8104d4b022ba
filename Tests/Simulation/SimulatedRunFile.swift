import Shared

@testable import Coordinator

/// What survives a coordinator's death.
struct SimulatedRunFile {
    private(set) var evaluations: [Int: (evaluation: Evaluation, worker: WorkerID)] = [:]
    /// The table of leases.
    private(set) var leases: [LeaseID: Scheduler.GrantedLease] = [:]
    /// A training as it was saved last.
    var training: TrainingProgress?
    /// Starts of the coordinator.
    var lives: UInt32 = 0

    /// Keeps an evaluation; a second one of the same mask is a fault.
    mutating func record(_ item: MaskEvaluation, by worker: WorkerID) -> String? {
        guard evaluations[item.mask] == nil else { return "mask \(item.mask) is recorded twice" }
        evaluations[item.mask] = (item.evaluation, worker)
        return nil
    }

    mutating func grant(_ lease: LeaseID, _ masks: MaskRuns, to worker: WorkerID) { leases[lease] = (worker, masks) }

    mutating func retract(_ masks: MaskRuns) -> String? {
        for mask in masks where evaluations.removeValue(forKey: mask) == nil {
            return "mask \(mask) is retracted but not recorded"
        }
        return nil
    }
}
