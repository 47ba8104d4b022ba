import Shared

extension EvaluationSettings {
    /// The images of a mask's evaluation, in words: `512 of 50,000 train images each`.
    var imagesInWords: String {
        let kind = "\(split.rawValue) images"
        guard let rotation else { return "\(Text.grouped(images)) \(kind)" }
        return "\(Text.grouped(images)) of \(Text.grouped(rotation.pool)) \(kind) each"
    }
}
