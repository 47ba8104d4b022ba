extension WireWriter {
    /// Appends a job.
    mutating func write(_ job: Job) {
        switch job {
        case .masks(let masks):
            precondition(masks.count <= Wire.masksPerLeaseMax, "a lease has a bounded number of masks")
            write(UInt8(0))
            write(UInt32(masks.ranges.count))
            for range in masks.ranges {
                write(UInt32(range.lowerBound))
                write(UInt32(range.count))
            }
        case .step(.gradient(let shard), let version):
            precondition(shard.images.count <= TrainingShard.imagesMax, "a shard has a bounded size")
            write(UInt8(1))
            write(version)
            write(UInt32(shard.epoch))
            write(UInt8(shard.augmentationSeed == nil ? 0 : 1))
            write(shard.augmentationSeed ?? 0)
            write(UInt32(shard.images.count))
            for image in shard.images { write(UInt32(image)) }
        case .step(.evaluation(let split, let range), let version):
            write(UInt8(split == .train ? 2 : 3))
            write(version)
            write(UInt32(range.lowerBound))
            write(UInt32(range.count))
        }
    }

    /// Appends a part of a row.
    mutating func write(_ part: RowPart) {
        precondition(part.floats.count <= RowPart.floatsMax, "a part has a bounded length")
        write(part.subject)
        write(UInt32(part.total))
        write(UInt32(part.offset))
        write(part.floats)
    }
}

extension WireReader {
    /// Reads a job.
    mutating func readJob() throws(WireError) -> Job {
        switch try read("kind of job", as: UInt8.self, max: 3) {
        case 0: return .masks(try readMaskRuns())
        case 1:
            let version: UInt64 = try read("version")
            let epoch = try read("epoch", as: UInt32.self, max: Int(Int32.max))
            let seeded = try read("seeded", as: UInt8.self, max: 1) == 1
            let seed: UInt64 = try read("seed")
            let count = try readCount("images", max: TrainingShard.imagesMax, itemBytes: 4)
            var images: [Int] = []
            images.reserveCapacity(count)
            for _ in 0..<count { images.append(try read("image", as: UInt32.self, max: TrainingShard.imageMax)) }
            let shard = TrainingShard(images: images, augmentationSeed: seeded ? seed : nil, epoch: epoch)
            return .step(.gradient(shard), version: version)
        case let kind:
            let version: UInt64 = try read("version")
            let first = try read("image", as: UInt32.self, max: TrainingShard.imageMax)
            let count = try read("images", as: UInt32.self, max: TrainingShard.imageMax)
            return .step(.evaluation(kind == 2 ? .train : .test, first..<first + count), version: version)
        }
    }

    /// Reads ascending runs of masks that do not touch.
    private mutating func readMaskRuns() throws(WireError) -> MaskRuns {
        let count = try readCount("runs of masks", max: Wire.masksPerLeaseMax, itemBytes: 8)
        var masks = MaskRuns()
        var end = -1
        for _ in 0..<count {
            let first = try read("mask", as: UInt32.self, max: Wire.masksMax - 1)
            let length = try read("masks", as: UInt32.self, max: Wire.masksPerLeaseMax)
            guard first > end, length > 0, first + length <= Wire.masksMax else { throw .meaningless(field: "masks") }
            end = first + length
            masks.append(first..<end)
        }
        guard masks.count <= Wire.masksPerLeaseMax else {
            throw .tooLarge(field: "masks", limit: Wire.masksPerLeaseMax)
        }
        return masks
    }

    /// Reads a part of a row.
    mutating func readPart() throws(WireError) -> RowPart {
        let subject: UInt64 = try read("subject")
        let total = try read("length of the row", as: UInt32.self, max: RowPart.totalMax)
        let offset = try read("offset", as: UInt32.self, max: RowPart.totalMax)
        let floats = try readFloats("floats", max: RowPart.floatsMax)
        guard offset + floats.count <= total else { throw .meaningless(field: "offset") }
        return RowPart(subject: subject, total: total, offset: offset, floats: floats)
    }
}
