import Foundation
import Shared

extension TrainingLoss {
    /// One image's loss and whether its largest output is the label's; writes the gradient with respect to the outputs.
    /// With distillation, `teacher` holds the teacher's outputs.
    func evaluate(
        logits: UnsafeBufferPointer<Float>, label: Int, teacher: UnsafeBufferPointer<Float>?,
        gradient: UnsafeMutablePointer<Float>
    ) -> (loss: Double, correct: Bool) {
        let classes = logits.count
        let share = Double(distillation?.weight ?? 0)
        let smoothing = Double(labelSmoothing)
        let logProbabilities = Self.logSoftmax(logits, temperature: 1)
        var loss = 0.0
        var best = 0
        for output in 0..<classes {
            if logits[output] > logits[best] { best = output }
            let target = smoothing / Double(classes) + (output == label ? 1 - smoothing : 0)
            loss -= (1 - share) * target * logProbabilities[output]
            gradient[output] = Float((1 - share) * (exp(logProbabilities[output]) - target))
        }
        if let distillation, let teacher {
            let temperature = Double(distillation.temperature)
            let student = Self.logSoftmax(logits, temperature: temperature)
            let wanted = Self.logSoftmax(teacher, temperature: temperature)
            for output in 0..<classes {
                let probability = exp(wanted[output])
                loss += share * temperature * temperature * probability * (wanted[output] - student[output])
                gradient[output] += Float(share * temperature * (exp(student[output]) - probability))
            }
        }
        return (loss, best == label)
    }

    private static func logSoftmax(_ logits: UnsafeBufferPointer<Float>, temperature: Double) -> [Double] {
        let scaled = logits.map { Double($0) / temperature }
        let largest = scaled.max() ?? 0
        let sum = scaled.reduce(0) { $0 + exp($1 - largest) }
        return scaled.map { $0 - largest - log(sum) }
    }
}
