import Shared

@testable import Coordinator
@testable import Worker

/// Trainings: the coordinator proceeds from step to step, and resumes from the last save.
extension Simulation {
    func startStepper(_ training: SimulatedTraining, _ welcome: CoordinatorMessage.Welcome) {
        var policy = StepScheduler.Policy()
        policy.firstDeadlineMilliseconds = 20_000
        policy.deadlineMillisecondsMin = 8000
        policy.partFloats = SimulatedTraining.partFloats
        // Damage on a line is not the worker's fault.
        policy.limits.unreadableMax = 1_000_000
        let progress = file.training ?? training.start
        self.progress = progress
        stepper = StepScheduler(welcome: welcome, layout: progress.layout, policy: policy, at: now)
    }

    /// The parts of the parameters of the present step.
    var parameterParts: [RowPart] {
        guard let progress else { return [] }
        return RowPart.parts(
            of: progress.trained + progress.statistics, subject: progress.version, floats: SimulatedTraining.partFloats)
    }

    /// Starts the next step once one is answered; returns the resulting actions.
    func stepOn() throws(SimulationFailure) -> [ClusterAction] {
        guard let training, var stepper, var progress else { return [] }
        if let reason = stepper.givenUp {
            // Its user resumes it.
            note("gives up: \(reason)")
            report.sharesGivenAgain += stepper.figures.released + stepper.figures.copies
            endCoordinator()
            queue.insert(.startCoordinator, at: now + draw(1000...3000))
            return []
        }
        guard stepper.isDone, !stepper.isOver else { return [] }
        if !stepper.shares.isEmpty {
            training.apply(stepper.answers, to: &progress)
            mark(progress.stepsDone)
            self.progress = progress
            if progress.position.step == 0 || happens(scenario.saved) { file.training = progress }
        }
        let actions: [ClusterAction]
        if let steps = training.steps(of: progress) {
            note("begins step \(progress.stepsDone) with version \(progress.version)")
            actions = stepper.began(steps, version: progress.version, at: now)
        } else {
            file.training = progress
            report.sharesGivenAgain += stepper.figures.released + stepper.figures.copies
            actions = stepper.finished(at: now)
        }
        self.stepper = stepper
        return actions
    }

    /// A worker loads what the coordinator sent for that version.
    func checkLoaded(_ worker: Int) throws(SimulationFailure) {
        guard let progress, let loaded = workers[worker].loaded, loaded.version == progress.version,
            workers[worker].protocolState?.run?.life == file.lives
        else { return }
        guard loaded.row == progress.trained + progress.statistics else {
            throw failure("worker \(worker) loads other parameters than the coordinator has")
        }
    }

    func finishStep(
        _ step: Job.Step, _ lease: CoordinatorMessage.Lease, _ worker: Int, _ process: Int,
        _ milliseconds: Int64, _ event: Event
    ) throws(SimulationFailure) {
        guard let training else { throw failure("a share of a step without a training") }
        guard let parameters = workers[worker].rows[lease.lease] else { return }
        if scenario.empty.contains(worker) {
            try withWorker(worker, process, event) { state, now in
                state.computationFailed(lease.lease, reason: "no memory", at: now)
            }
            return
        }
        var (result, row) = training.truth(step, parameters)
        if scenario.liars.contains(worker), happens(0.5) { spoil(&result, &row) }
        try withWorker(worker, process, event) { state, now in
            state.computed(lease.lease, result, row: row, microseconds: UInt64(milliseconds) * 1000, at: now)
        }
    }

    /// Makes an answer impossible.
    private func spoil(_ result: inout JobResult, _ row: inout [Float]) {
        switch draw(0...3) {
        case 0: if !row.isEmpty { row[Int(draw(0...Int64(row.count) - 1))] = .nan }
        case 1: if !row.isEmpty { row[row.count - 1] = -1 }
        case 2: result = .masks([])
        default:
            if case .gradient(_, let correct, let images) = result {
                result = .gradient(lossSum: -1e9, correct: correct, images: images)
            } else {
                result = .evaluation(Evaluation(lossSum: 0, correct: 0, images: 12_345))
            }
        }
    }

    /// Messages that no honest worker of a training would send.
    func rogueStepFrame(_ lease: LeaseID) -> [UInt8] {
        let floats = (0..<draw(0...200)).map { Float($0) }
        switch draw(0...3) {
        case 0:
            return WorkerMessage.part(
                RowPart(subject: lease.subject, total: floats.count + 10, offset: 3, floats: floats)
            ).encoded()
        case 1:
            return WorkerMessage.answer(
                .init(
                    run: welcome.run, lease: lease, computeMicroseconds: 1,
                    result: .gradient(lossSum: 1, correct: 0, images: 1))
            ).encoded()
        case 2:
            return WorkerMessage.wantParameters(version: UInt64(draw(0...20)), offset: Int(draw(0...9999))).encoded()
        default:
            return WorkerMessage.failed(.init(run: welcome.run, lease: lease, mask: nil, reason: "so")).encoded()
        }
    }
}
