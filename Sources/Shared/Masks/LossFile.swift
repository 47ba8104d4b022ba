/// The losses of masks in JSON, in the masks' order:
///
///     {"model":…,"images":N,"results":[{"loss":0.37266,"correct":9173}, …]}
public enum LossFile {
    /// Writes evaluations to a file. Losses are written so that they read back exactly.
    public static func write(
        _ evaluations: some Sequence<Evaluation>, model: String, images: Int, to path: String
    ) throws {
        let file = try OutputFile(path)
        try file.write("{\"model\":\(JSONText.quoted(model)),\"images\":\(images),\"results\":[")
        var separator = "\n"
        for evaluation in evaluations {
            try file.write("\(separator){\"loss\":\(evaluation.loss),\"correct\":\(evaluation.correct)}")
            separator = ",\n"
        }
        try file.write("\n]}\n")
        try file.finish()
    }
}
