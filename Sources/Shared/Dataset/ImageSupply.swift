/// How many images of a data set a command uses: as many as it wants, or all if there are fewer.
public enum ImageSupply {
    /// The number of images to use if `wanted` are wanted for a purpose, such as "correct batch norms". Says so if
    /// there are fewer. Throws a `.badInput` ``Failure`` if there are none.
    public static func count(
        _ wanted: Int, of split: EvaluationSettings.Split, in data: DataSet, to purpose: String
    ) throws -> Int {
        let there = try data.count(split)
        guard there < wanted else { return wanted }
        Log.shared.line(
            "\(data.source.path) has only \(there) \(split.rawValue) images, not \(wanted): all of them \(purpose)")
        return there
    }
}
