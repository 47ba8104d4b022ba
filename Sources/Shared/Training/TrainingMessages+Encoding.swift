/// Numbers of the messages' types, apart from those of ``WorkerMessage`` and ``CoordinatorMessage``.
private enum Kind: UInt8 {
    case gradient = 65
    case shardDone, evaluated, failed
    case welcome = 193
    case parameters, task
}

extension TrainingOrder {
    /// Whether a message that is no ``CoordinatorMessage`` may be one of these.
    public static func mayBe(_ bytes: [UInt8]) -> Bool {
        bytes.count > 6 && (Kind.welcome.rawValue...Kind.task.rawValue).contains(bytes[6])
    }

    /// The message as one frame.
    public func encoded() -> [UInt8] {
        switch self {
        case .welcome(let welcome): return Self.encode(welcome)
        case .parameters(let part): return encodePart(part, .parameters)
        case .task(let task): return Self.encode(task)
        }
    }

    /// Reads a message.
    public init(decoding bytes: [UInt8]) throws(WireError) {
        let result = bytes.withUnsafeBytes { raw in
            Result { () throws(WireError) in
                var reader = try WireReader(raw)
                let order: TrainingOrder
                switch Kind(rawValue: reader.type) {
                case .welcome: order = .welcome(try Self.readWelcome(&reader))
                case .parameters: order = .parameters(try reader.readPart())
                case .task: order = .task(try Self.readTask(&reader))
                default: throw WireError.unknownType(reader.type)
                }
                try reader.finish()
                return order
            }
        }
        self = try result.get()
    }

    private static func encode(_ welcome: TrainingWelcome) -> [UInt8] {
        var writer = WireWriter(type: Kind.welcome.rawValue, capacity: 512)
        writer.write(welcome.run.high)
        writer.write(welcome.run.low)
        func write(_ blob: CoordinatorMessage.Blob) {
            writer.write(blob.digest)
            writer.write(blob.size)
        }
        write(welcome.network)
        writer.write(UInt8(welcome.teacher == nil ? 0 : 1))
        if let teacher = welcome.teacher { write(teacher) }
        write(welcome.trainingImages)
        write(welcome.testImages)
        writer.write(welcome.normalisation)
        writer.write(welcome.loss.labelSmoothing)
        writer.write(UInt8(welcome.loss.distillation == nil ? 0 : 1))
        if let distillation = welcome.loss.distillation {
            writer.write(distillation.temperature)
            writer.write(distillation.weight)
        }
        writer.write(UInt32(welcome.shardSize))
        writer.write(UInt8(welcome.precision == .float32 ? 0 : 1))
        writer.write(UInt16(welcome.cutout))
        writer.write(UInt8(welcome.mirrors ? 1 : 0))
        return writer.finished()
    }

    private static func readWelcome(_ reader: inout WireReader) throws(WireError) -> TrainingWelcome {
        func blob(_ field: String) throws(WireError) -> CoordinatorMessage.Blob {
            let digest = try reader.readDigest(field)
            let size: UInt64 = try reader.read(field)
            guard size <= Wire.blobBytesMax else { throw .tooLarge(field: field, limit: Int(Wire.blobBytesMax)) }
            return CoordinatorMessage.Blob(digest: digest, size: size)
        }
        let run = RunID(high: try reader.read("run"), low: try reader.read("run"))
        let network = try blob("network")
        let teacher = try reader.read("teacher", as: UInt8.self, max: 1) == 1 ? try blob("teacher") : nil
        let trainingImages = try blob("training images")
        let testImages = try blob("test images")
        let normalisation = try reader.readNormalisation()
        var loss = TrainingLoss(labelSmoothing: try reader.readFloat("label smoothing"))
        if try reader.read("distillation", as: UInt8.self, max: 1) == 1 {
            let temperature = try reader.readFloat("temperature")
            let weight = try reader.readFloat("distillation weight")
            guard temperature > 0, (0...1).contains(weight), teacher != nil else {
                throw .meaningless(field: "distillation")
            }
            loss.distillation = TrainingLoss.Distillation(temperature: temperature, weight: weight)
        }
        guard (0...1).contains(loss.labelSmoothing) else { throw .meaningless(field: "label smoothing") }
        let shardSize = try reader.read("shard size", as: UInt32.self, max: TrainingShard.imagesMax)
        guard shardSize > 0 else { throw .meaningless(field: "shard size") }
        let isRounded = try reader.read("precision", as: UInt8.self, max: 1) == 1
        let cutout = try reader.read("cutout", as: UInt16.self, max: ImageLayout.extentMax)
        let mirrors = try reader.read("mirrors", as: UInt8.self, max: 1) == 1
        return TrainingWelcome(
            run: run, network: network, teacher: teacher, trainingImages: trainingImages, testImages: testImages,
            normalisation: normalisation, loss: loss, shardSize: shardSize, precision: isRounded ? .bfloat16 : .float32,
            cutout: cutout,
            mirrors: mirrors)
    }

    private static func encode(_ task: TrainingTask) -> [UInt8] {
        var writer = WireWriter(type: Kind.task.rawValue, capacity: 64)
        writer.write(task.number)
        writer.write(task.version)
        switch task.work {
        case .gradient(let shard):
            precondition(shard.images.count <= TrainingShard.imagesMax, "a shard has a bounded size")
            writer.write(UInt8(0))
            writer.write(UInt32(shard.epoch))
            writer.write(UInt8(shard.augmentationSeed == nil ? 0 : 1))
            writer.write(shard.augmentationSeed ?? 0)
            writer.write(UInt32(shard.images.count))
            for image in shard.images { writer.write(UInt32(image)) }
        case .evaluation(let split, let range):
            writer.write(UInt8(split == .train ? 1 : 2))
            writer.write(UInt32(range.lowerBound))
            writer.write(UInt32(range.count))
        }
        return writer.finished()
    }

    private static func readTask(_ reader: inout WireReader) throws(WireError) -> TrainingTask {
        let number: UInt64 = try reader.read("task")
        let version: UInt64 = try reader.read("version")
        let kind = try reader.read("kind of work", as: UInt8.self, max: 2)
        guard kind == 0 else {
            let first = try reader.read("image", as: UInt32.self, max: TrainingShard.imageMax)
            let count = try reader.read("images", as: UInt32.self, max: TrainingShard.imageMax)
            return TrainingTask(
                number: number, version: version, work: .evaluation(kind == 1 ? .train : .test, first..<first + count))
        }
        let epoch = try reader.read("epoch", as: UInt32.self, max: Int(Int32.max))
        let seeded = try reader.read("seeded", as: UInt8.self, max: 1) == 1
        let seed: UInt64 = try reader.read("seed")
        let count = try reader.readCount("images", max: TrainingShard.imagesMax, itemBytes: 4)
        var images: [Int] = []
        images.reserveCapacity(count)
        for _ in 0..<count { images.append(try reader.read("image", as: UInt32.self, max: TrainingShard.imageMax)) }
        let shard = TrainingShard(images: images, augmentationSeed: seeded ? seed : nil, epoch: epoch)
        return TrainingTask(number: number, version: version, work: .gradient(shard))
    }
}

extension TrainingAnswer {
    /// Whether a message that is no ``WorkerMessage`` may be one of these.
    public static func mayBe(_ bytes: [UInt8]) -> Bool {
        bytes.count > 6 && (Kind.gradient.rawValue...Kind.failed.rawValue).contains(bytes[6])
    }

    /// The message as one frame.
    public func encoded() -> [UInt8] {
        switch self {
        case .gradient(let part): return encodePart(part, .gradient)
        case .shardDone(let task, let lossSum, let correct, let images):
            var writer = WireWriter(type: Kind.shardDone.rawValue)
            writer.write(task)
            writer.write(lossSum)
            writer.write(UInt32(correct))
            writer.write(UInt32(images))
            return writer.finished()
        case .evaluated(let task, let evaluation):
            var writer = WireWriter(type: Kind.evaluated.rawValue)
            writer.write(task)
            writer.write(evaluation.lossSum)
            writer.write(UInt32(evaluation.correct))
            writer.write(UInt32(evaluation.images))
            return writer.finished()
        case .failed(let task, let reason):
            var writer = WireWriter(type: Kind.failed.rawValue)
            writer.write(task)
            writer.write(reason, bytesMax: Wire.reasonBytesMax)
            return writer.finished()
        }
    }

    /// Reads a message.
    public init(decoding bytes: [UInt8]) throws(WireError) {
        let result = bytes.withUnsafeBytes { raw in
            Result { () throws(WireError) in try TrainingAnswer(decoding: raw) }
        }
        self = try result.get()
    }

    private init(decoding bytes: UnsafeRawBufferPointer) throws(WireError) {
        var reader = try WireReader(bytes)
        let limit = TrainingShard.imagesMax
        switch Kind(rawValue: reader.type) {
        case .gradient: self = .gradient(try reader.readPart())
        case .shardDone:
            let task: UInt64 = try reader.read("task")
            // A network that diverged has a loss that is no number; that is for the coordinator to tell its user.
            let lossSum = Double(bitPattern: try reader.read("loss"))
            let correct = try reader.read("correct images", as: UInt32.self, max: limit)
            let images = try reader.read("images", as: UInt32.self, max: limit)
            guard correct <= images else { throw .meaningless(field: "correct images") }
            self = .shardDone(task: task, lossSum: lossSum, correct: correct, images: images)
        case .evaluated:
            let task: UInt64 = try reader.read("task")
            self = .evaluated(task: task, try reader.readEvaluation())
        case .failed:
            let task: UInt64 = try reader.read("task")
            self = .failed(task: task, reason: try reader.readText("reason", bytesMax: Wire.reasonBytesMax))
        default: throw .unknownType(reader.type)
        }
        try reader.finish()
    }
}

private func encodePart(_ part: FloatsPart, _ kind: Kind) -> [UInt8] {
    precondition(part.floats.count <= FloatsPart.floatsMax, "a part has a bounded length")
    var writer = WireWriter(type: kind.rawValue, capacity: 32 + 4 * part.floats.count)
    writer.write(part.subject)
    writer.write(UInt32(part.total))
    writer.write(UInt32(part.offset))
    writer.write(part.floats)
    return writer.finished()
}

extension WireReader {
    fileprivate mutating func readPart() throws(WireError) -> FloatsPart {
        let subject: UInt64 = try read("subject")
        let total = try read("length of the row", as: UInt32.self, max: FloatsPart.totalMax)
        let offset = try read("offset", as: UInt32.self, max: FloatsPart.totalMax)
        let floats = try readFloats("floats", max: FloatsPart.floatsMax)
        guard offset + floats.count <= total else { throw .meaningless(field: "offset") }
        return FloatsPart(subject: subject, total: total, offset: offset, floats: floats)
    }
}
