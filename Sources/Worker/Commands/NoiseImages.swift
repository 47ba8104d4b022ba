import Shared

extension ImageSet {
    /// Images of noise, for measurements of speed.
    static func noise(_ count: Int, seed: UInt64) -> ImageSet {
        var random = SplitMix64(seed: seed)
        var records = [UInt8](repeating: 0, count: count * recordBytes)
        for index in records.indices {
            let isLabel = index % recordBytes == 0
            records[index] = UInt8(truncatingIfNeeded: random.next() % (isLabel ? UInt64(classes) : 256))
        }
        return ImageSet(records: records)
    }
}
