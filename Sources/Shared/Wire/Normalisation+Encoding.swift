extension WireWriter {
    /// Appends a normalisation.
    mutating func write(_ normalisation: Normalisation) {
        write(UInt32(normalisation.mean.count))
        for value in normalisation.mean + normalisation.deviation { write(value) }
    }
}

extension WireReader {
    /// Reads a normalisation.
    mutating func readNormalisation() throws(WireError) -> Normalisation {
        let field = "normalisation"
        let channels = try readCount(field, max: ImageLayout.extentMax, itemBytes: 2 * MemoryLayout<Float>.stride)
        var values: [Float] = []
        for _ in 0..<2 * channels { values.append(try readFloat(field)) }
        let deviation = Array(values[channels...])
        guard deviation.allSatisfy({ $0 > 0 }) else { throw .meaningless(field: field) }
        return Normalisation(mean: Array(values[..<channels]), deviation: deviation)
    }
}
