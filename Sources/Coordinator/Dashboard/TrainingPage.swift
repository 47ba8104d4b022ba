import Foundation
import Shared

/// Follows a training for the live page: called by the session's loop, on its thread.
final class TrainingPage {
    /// Seconds between two snapshots.
    private static let every = 1.0
    private static let pointsMax = 600

    private let dashboard: Dashboard
    private var snapshot = RunSnapshot()
    private var shown = -Double.infinity
    private var pointSeconds = 1.0

    /// Follows a training whose state is in `file`.
    init(_ dashboard: Dashboard, of progress: TrainingProgress, file: String, images: Int) {
        self.dashboard = dashboard
        snapshot.model = progress.network.graph.summary
        snapshot.data = "\(images) training images"
        snapshot.runFile = file
        snapshot.seed = progress.settings.seed
        snapshot.started = Date().timeIntervalSince1970
        snapshot.phase = .training
        snapshot.training = RunSnapshot.Training()
    }

    /// The training's state after a step; shown about once a second. `secondsLeft` is nil if unknown.
    func update(
        _ progress: TrainingProgress, imagesPerSecond: Double, secondsLeft: Double?, workers: Int,
        whyIdle: String? = nil
    ) {
        let now = Date().timeIntervalSince1970
        guard now - shown >= Self.every else { return }
        shown = now
        snapshot.time = now
        snapshot.imagesPerSecond = imagesPerSecond
        snapshot.secondsLeft = secondsLeft
        snapshot.workersConnected = workers
        snapshot.stall = whyIdle
        let position = progress.position
        var training = RunSnapshot.Training()
        training.epoch = min(position.epoch + 1, progress.settings.epochs)
        training.epochs = progress.settings.epochs
        training.step = position.step
        training.steps = progress.stepsPerEpoch
        if position.images > 0 { training.loss = position.lossSum / Double(position.images) }
        training.accuracyBefore = progress.history.testAccuracyBefore
        training.history = progress.history.epochs.map {
            RunSnapshot.Training.Epoch(
                epoch: $0.epoch, trainingAccuracy: $0.trainingAccuracy, validationAccuracy: $0.validationAccuracy,
                testAccuracy: $0.testAccuracy)
        }
        snapshot.training = training
        note(imagesPerSecond, at: now)
        dashboard.show(snapshot)
    }

    /// The workers' state, about once a second, even while no step ends.
    func tick(workers: Int, whyIdle: String?) {
        let now = Date().timeIntervalSince1970
        guard now - shown >= 2 * Self.every else { return }
        shown = now
        snapshot.time = now
        snapshot.workersConnected = workers
        snapshot.stall = whyIdle
        dashboard.show(snapshot)
    }

    private func note(_ imagesPerSecond: Double, at time: Double) {
        if let last = snapshot.throughput.last, time - last.time < pointSeconds { return }
        snapshot.throughput.append(RunSnapshot.Throughput(time: time, imagesPerSecond: imagesPerSecond))
        guard snapshot.throughput.count >= Self.pointsMax else { return }
        snapshot.throughput = stride(from: 1, to: snapshot.throughput.count, by: 2).map { snapshot.throughput[$0] }
        pointSeconds *= 2
    }
}
