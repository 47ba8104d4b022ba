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
            write(range)
        case .step(.network(let task, let floats), let version):
            write(UInt8(4))
            write(version)
            write(UInt32(floats))
            write(task)
        }
    }

    /// Appends a range of images.
    private mutating func write(_ range: Range<Int>) {
        write(UInt32(range.lowerBound))
        write(UInt32(range.count))
    }

    /// Appends a task.
    private mutating func write(_ task: NetworkTask) {
        write(UInt8(task.kind))
        switch task {
        case .evaluations(let batch):
            precondition(batch.masks.count <= NetworkTask.MaskBatch.masksMax, "a batch has a bounded number of masks")
            write(UInt32(batch.masks.count))
            for mask in batch.masks { write(mask) }
            write(UInt32(batch.first))
            write(UInt8(batch.imageSet))
            write(batch.images)
            write(UInt8(batch.calibrationSet.map { $0 + 1 } ?? 0))
            write(batch.settings)
        case .gateGradients(let filters, let set, let images):
            write(UInt32(filters))
            write(UInt8(set))
            write(images)
        case .statistics(let batchNorm, let mask, let set):
            write(batchNorm)
            write(mask)
            write(UInt8(set))
        case .selection(let mask, let set, let images), .reconstruction(let mask, let set, let images):
            write(mask)
            write(UInt8(set))
            write(UInt32(images))
        }
    }

    /// Appends a mask.
    mutating func write(_ mask: Mask) {
        precondition(mask.count <= Wire.filtersMax, "a network has a bounded number of filters")
        write(UInt32(mask.count))
        for word in mask.words { write(word) }
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
        switch try read("kind of job", as: UInt8.self, max: 4) {
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
        case 4:
            let version: UInt64 = try read("version")
            let floats = try read("length of the network", as: UInt32.self, max: RowPart.totalMax)
            return .step(.network(try readTask(), floats: floats), version: version)
        case let kind:
            let version: UInt64 = try read("version")
            return .step(.evaluation(kind == 2 ? .train : .test, try readImages()), version: version)
        }
    }

    /// Reads a range of images.
    private mutating func readImages() throws(WireError) -> Range<Int> {
        let first = try read("image", as: UInt32.self, max: TrainingShard.imageMax)
        let count = try read("images", as: UInt32.self, max: TrainingShard.imageMax)
        return first..<first + count
    }

    /// Reads a task.
    private mutating func readTask() throws(WireError) -> NetworkTask {
        switch try read("kind of task", as: UInt8.self, max: 4) {
        case 0:
            let count = try readCount("masks", max: NetworkTask.MaskBatch.masksMax, itemBytes: 4)
            var masks: [Mask] = []
            for _ in 0..<count { masks.append(try readMask()) }
            guard masks.allSatisfy({ $0.count == masks[0].count }) else { throw .meaningless(field: "masks") }
            return .evaluations(
                NetworkTask.MaskBatch(
                    masks: masks, first: try read("mask", as: UInt32.self, max: Wire.masksMax - count),
                    imageSet: try readImageSet(), images: try readImages(), calibrationSet: try readOptionalImageSet(),
                    settings: try readSettings()))
        case 1:
            return .gateGradients(
                filters: try read("filters", as: UInt32.self, max: Wire.filtersMax), imageSet: try readImageSet(),
                try readImages())
        case 2:
            return .statistics(try readBatchNorm(), under: try readMask(), imageSet: try readImageSet())
        case 3:
            return .selection(
                asManyAs: try readMask(), imageSet: try readImageSet(),
                images: try read("images", as: UInt32.self, max: Evaluation.imagesMax))
        default:
            return .reconstruction(
                removing: try readMask(), imageSet: try readImageSet(),
                images: try read("images", as: UInt32.self, max: Evaluation.imagesMax))
        }
    }

    private mutating func readImageSet() throws(WireError) -> Int {
        try read("set of images", as: UInt8.self, max: NetworkWork.imageSetsMax - 1)
    }

    private mutating func readOptionalImageSet() throws(WireError) -> Int? {
        let place = try read("set of images", as: UInt8.self, max: NetworkWork.imageSetsMax)
        return place == 0 ? nil : place - 1
    }

    /// Reads a mask.
    mutating func readMask() throws(WireError) -> Mask {
        let count = try read("filters", as: UInt32.self, max: Wire.filtersMax)
        var words: [UInt64] = []
        for _ in 0..<(count + 63) / 64 { words.append(try read("mask")) }
        guard let mask = Mask(count: count, words: words) else { throw .meaningless(field: "mask") }
        return mask
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
