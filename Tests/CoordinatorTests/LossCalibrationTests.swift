import Foundation
import Shared
import TestSupport
import Testing

@testable import Coordinator

struct LossCalibrationTests {
    @Test func forecastsGoThroughWhatWasMeasuredAndEndWithIt() throws {
        // A loss that grows faster than the sum of importances predicts.
        let measured = stride(from: 0.0, through: 1.2, by: 0.2).map { (response: $0, loss: 0.02 * exp(4 * $0)) }
        let calibration = try #require(LossCalibration(measured.reversed()))
        for point in measured {
            let forecast = try #require(calibration.forecast(point.response))
            #expect(abs(forecast.loss / point.loss - 1) < 1e-9)
            #expect(forecast.low < forecast.loss && forecast.loss < forecast.high)
        }
        let between = try #require(calibration.forecast(0.5))
        #expect(abs(between.loss / (0.02 * exp(2)) - 1) < 1e-9)
        #expect(calibration.forecast(-1)?.loss == calibration.forecast(0)?.loss)
        #expect(calibration.forecast(1.4) == nil)
    }

    @Test func noisyMeasurementsWidenTheIntervalAndNeverFall() throws {
        let losses = [0.02, 0.05, 0.04, 0.2, 0.15, 0.9]
        let calibration = try #require(
            LossCalibration(losses.enumerated().map { (response: Double($0), loss: $1) }))
        let smooth = try #require(
            LossCalibration((0..<6).map { (response: Double($0), loss: 0.02 * exp(Double($0))) }))
        let forecasts = (0..<6).compactMap { calibration.forecast(Double($0)) }
        for (less, more) in zip(forecasts, forecasts.dropFirst()) { #expect(less.loss <= more.loss) }
        #expect(forecasts[2].high / forecasts[2].low > 2 * (smooth.forecast(2).map { $0.high / $0.low } ?? 0))
    }

    @Test func fewOrEqualMeasurementsCalibrateNothing() {
        #expect(LossCalibration([(response: 0, loss: 1), (response: 1, loss: 2)]) == nil)
        #expect(LossCalibration([(response: 1, loss: 1), (response: 1, loss: 2), (response: 1, loss: 3)]) == nil)
    }

    @Test func aPrunersPredictionIsThatOfTheMeasuredNetworks() throws {
        let graph = Graph.fullyConnected(widths: [4, 8, 2])
        let removable = Mask(count: 8, disabled: 0..<8)
        let sizes = [0, 2, 4, 6]
        let prediction = LossPrediction(
            response: .logLoss, anchor: -1, bends: [:],
            measured: sizes.map { (removed: Mask(count: 8, disabled: 0..<$0), loss: 0.1 * Double($0 + 1)) })
        let pruner = Pruner(
            graph, scores: FilterScores(values: (1...8).map(Double.init), removable: removable, prediction: prediction),
            model: .additive, rules: WidthRules(leastShare: 0))
        for size in sizes.dropFirst() {
            let outcome = try pruner.prune(to: PruningBudget(removedFiltersMin: size))
            #expect(abs((outcome.predictedLoss ?? 0) - 0.1 * Double(size + 1)) < 1e-9)
        }
        // Nothing as small was measured.
        #expect(try pruner.prune(to: PruningBudget(removedFiltersMin: 7)).predictedLoss == nil)
    }

    @Test func whatWasMeasuredIsInTheRunFile() throws {
        let choices = MeasuredChoices(
            images: 100,
            choices: [.init(removed: [], loss: 0.1, accuracy: 0.9), .init(removed: [3, 1], loss: 0.2, accuracy: 0.8)])
        let text = try JSONEncoder().encode(choices)
        #expect(try JSONDecoder().decode(MeasuredChoices.self, from: text) == choices)
    }
}
