extension CoordinatorMessage {
    /// Distinct from a worker's numbers, so a message that is sent back is not mistaken for one.
    private enum Kind: UInt8 {
        case welcome = 129, introduce, chunk, lease, acknowledged, cancel, heartbeat, dismissed, finished, parameters
    }

    /// The message as one frame. Texts beyond their limits are truncated; counts beyond their limits are our bug.
    public func encoded() -> [UInt8] {
        switch self {
        case .welcome(let welcome): return encode(welcome)
        case .introduce: return WireWriter(type: Kind.introduce.rawValue).finished()
        case .chunk(let chunk):
            precondition(chunk.bytes.count <= Wire.chunkBytesMax, "a chunk has a bounded length")
            var writer = WireWriter(type: Kind.chunk.rawValue, capacity: 44 + chunk.bytes.count)
            writer.write(chunk.digest)
            writer.write(chunk.offset)
            writer.write(chunk.bytes)
            return writer.finished()
        case .lease(let lease):
            var writer = WireWriter(type: Kind.lease.rawValue)
            writer.write(lease.run)
            writer.write(lease.lease)
            writer.write(lease.job)
            return writer.finished()
        case .parameters(let part):
            var writer = WireWriter(type: Kind.parameters.rawValue, capacity: 24 + 4 * part.floats.count)
            writer.write(part)
            return writer.finished()
        case .acknowledged(let lease): return encode(.acknowledged, lease)
        case .cancel(let lease): return encode(.cancel, lease)
        case .heartbeat(let life, let lease):
            var writer = WireWriter(type: Kind.heartbeat.rawValue)
            writer.write(life)
            writer.write(lease)
            return writer.finished()
        case .dismissed(let reason):
            var writer = WireWriter(type: Kind.dismissed.rawValue)
            writer.write(reason, bytesMax: Wire.reasonBytesMax)
            return writer.finished()
        case .finished: return WireWriter(type: Kind.finished.rawValue).finished()
        }
    }

    private func encode(_ kind: Kind, _ lease: LeaseID) -> [UInt8] {
        var writer = WireWriter(type: kind.rawValue)
        writer.write(lease)
        return writer.finished()
    }

    private func encode(_ welcome: Welcome) -> [UInt8] {
        var writer = WireWriter(type: Kind.welcome.rawValue, capacity: 512)
        writer.write(welcome.run)
        writer.write(welcome.life)
        writer.write(UInt32(welcome.heartbeatMilliseconds))
        writer.write(UInt32(welcome.liveness))
        switch welcome.work {
        case .masks(let work):
            precondition(work.ensemble.count <= Wire.ensembleBytesMax, "an ensemble's description is bounded")
            writer.write(UInt8(0))
            writer.write(work.settings)
            writer.write(work.network)
            writer.write(work.images)
            writer.write(work.calibrationImages)
            writer.write(UInt32(work.filters))
            writer.write(UInt32(work.masks))
            writer.write(work.ensemble)
            writer.write(work.sample)
        case .training(let work):
            writer.write(UInt8(1))
            writer.write(work.network)
            writer.write(work.teacher)
            writer.write(work.trainingImages)
            writer.write(work.testImages)
            writer.write(work.normalisation)
            writer.write(work.loss)
            writer.write(UInt32(work.shardSize))
            writer.write(UInt8(work.precision == .float32 ? 0 : 1))
            writer.write(UInt16(work.cutout))
            writer.write(UInt8(work.mirrors ? 1 : 0))
            writer.write(UInt32(work.rowCount))
        }
        return writer.finished()
    }

    /// Reads a message.
    public init(decoding bytes: [UInt8]) throws(WireError) {
        let result = bytes.withUnsafeBytes { raw in
            Result { () throws(WireError) in try CoordinatorMessage(decoding: raw) }
        }
        self = try result.get()
    }

    /// Reads a message.
    public init(decoding bytes: UnsafeRawBufferPointer) throws(WireError) {
        var reader = try WireReader(bytes)
        guard let kind = Kind(rawValue: reader.type) else { throw .unknownType(reader.type) }
        switch kind {
        case .welcome: self = .welcome(try Self.readWelcome(&reader))
        case .introduce: self = .introduce
        case .chunk:
            let digest = try reader.readDigest("digest")
            let offset = try reader.read("offset", as: UInt64.self)
            guard offset <= Wire.blobBytesMax else {
                throw .tooLarge(field: "offset", limit: Int(Wire.blobBytesMax))
            }
            let bytes = try reader.readBytes("chunk", max: Wire.chunkBytesMax)
            self = .chunk(Chunk(digest: digest, offset: offset, bytes: bytes))
        case .lease:
            self = .lease(
                Lease(run: try reader.readRun(), lease: try reader.readLease(), job: try reader.readJob()))
        case .parameters: self = .parameters(try reader.readPart())
        case .acknowledged: self = .acknowledged(try reader.readLease())
        case .cancel: self = .cancel(try reader.readLease())
        case .heartbeat: self = .heartbeat(life: try reader.read("life"), lease: try reader.read("lease"))
        case .dismissed: self = .dismissed(reason: try reader.readText("reason", bytesMax: Wire.reasonBytesMax))
        case .finished: self = .finished
        }
        try reader.finish()
    }

    private static func readWelcome(_ reader: inout WireReader) throws(WireError) -> Welcome {
        let run = try reader.readRun()
        let life: UInt32 = try reader.read("life")
        let heartbeat = try reader.read("heartbeat", as: UInt32.self, max: 3_600_000)
        let liveness = try reader.read("liveness", as: UInt32.self, max: 1000)
        guard heartbeat > 0, liveness > 0 else { throw .meaningless(field: "heartbeat") }
        let isTraining = try reader.read("kind of work", as: UInt8.self, max: 1) == 1
        return Welcome(
            run: run, life: life,
            work: isTraining ? .training(try readTraining(&reader)) : .masks(try readMasks(&reader)),
            heartbeatMilliseconds: heartbeat, liveness: liveness)
    }

    private static func readMasks(_ reader: inout WireReader) throws(WireError) -> MaskWork {
        MaskWork(
            settings: try reader.readSettings(), network: try reader.readBlob("network"),
            images: try reader.readBlob("images"), calibrationImages: try reader.readOptionalBlob("calibration"),
            filters: try reader.read("filters", as: UInt32.self, max: Wire.filtersMax),
            masks: try reader.read("masks", as: UInt32.self, max: Wire.masksMax),
            ensemble: try reader.readBytes("ensemble", max: Wire.ensembleBytesMax),
            sample: try reader.readDigest("sample of the masks"))
    }

    private static func readTraining(_ reader: inout WireReader) throws(WireError) -> TrainingWork {
        let network = try reader.readBlob("network")
        let teacher = try reader.readOptionalBlob("teacher")
        let trainingImages = try reader.readBlob("training images")
        let testImages = try reader.readBlob("test images")
        let normalisation = try reader.readNormalisation()
        let loss = try reader.readTrainingLoss()
        guard loss.distillation == nil || teacher != nil else { throw .meaningless(field: "distillation") }
        let shardSize = try reader.read("shard size", as: UInt32.self, max: TrainingShard.imagesMax)
        guard shardSize > 0 else { throw .meaningless(field: "shard size") }
        let isRounded = try reader.read("precision", as: UInt8.self, max: 1) == 1
        return TrainingWork(
            network: network, teacher: teacher, trainingImages: trainingImages, testImages: testImages,
            normalisation: normalisation, loss: loss, shardSize: shardSize,
            precision: isRounded ? .bfloat16 : .float32,
            cutout: try reader.read("cutout", as: UInt16.self, max: ImageLayout.extentMax),
            mirrors: try reader.read("mirrors", as: UInt8.self, max: 1) == 1,
            rowCount: try reader.read("parameters", as: UInt32.self, max: RowPart.totalMax))
    }
}

extension WireWriter {
    /// Appends a blob.
    fileprivate mutating func write(_ blob: CoordinatorMessage.Blob) {
        write(blob.digest)
        write(blob.size)
    }

    /// Appends a blob that may be none.
    fileprivate mutating func write(_ blob: CoordinatorMessage.Blob?) {
        write(UInt8(blob == nil ? 0 : 1))
        if let blob { write(blob) }
    }

    /// Appends the minimised loss.
    fileprivate mutating func write(_ loss: TrainingLoss) {
        write(loss.labelSmoothing)
        write(UInt8(loss.distillation == nil ? 0 : 1))
        guard let distillation = loss.distillation else { return }
        write(distillation.temperature)
        write(distillation.weight)
    }

    /// Appends settings.
    fileprivate mutating func write(_ settings: EvaluationSettings) {
        write(UInt8(settings.split == .test ? 0 : 1))
        write(UInt32(settings.images))
        let sources = EvaluationSettings.BatchNorm.Source.allCases
        write(UInt8(sources.firstIndex(of: settings.batchNorm.source) ?? 0))
        write(UInt32(settings.batchNorm.calibrationImages ?? 0))
        write(settings.normalisation)
        write(UInt8(settings.labels == .given ? 0 : 1))
        write(UInt32(settings.rotation?.masks ?? 0))
        guard let rotation = settings.rotation else { return }
        write(UInt32(rotation.pool))
        write(rotation.seed)
    }
}

extension WireReader {
    /// Reads a blob.
    fileprivate mutating func readBlob(_ field: String) throws(WireError) -> CoordinatorMessage.Blob {
        let digest = try readDigest(field)
        let size = try read(field, as: UInt64.self)
        guard size <= Wire.blobBytesMax else { throw .tooLarge(field: field, limit: Int(Wire.blobBytesMax)) }
        return CoordinatorMessage.Blob(digest: digest, size: size)
    }

    /// Reads a blob that may be none.
    fileprivate mutating func readOptionalBlob(_ field: String) throws(WireError) -> CoordinatorMessage.Blob? {
        try read(field, as: UInt8.self, max: 1) == 1 ? try readBlob(field) : nil
    }

    /// Reads the minimised loss.
    fileprivate mutating func readTrainingLoss() throws(WireError) -> TrainingLoss {
        var loss = TrainingLoss(labelSmoothing: try readFloat("label smoothing"))
        guard (0...1).contains(loss.labelSmoothing) else { throw .meaningless(field: "label smoothing") }
        guard try read("distillation", as: UInt8.self, max: 1) == 1 else { return loss }
        let temperature = try readFloat("temperature")
        let weight = try readFloat("distillation weight")
        guard temperature > 0, (0...1).contains(weight) else { throw .meaningless(field: "distillation") }
        loss.distillation = TrainingLoss.Distillation(temperature: temperature, weight: weight)
        return loss
    }

    /// Reads settings.
    fileprivate mutating func readSettings() throws(WireError) -> EvaluationSettings {
        let split: EvaluationSettings.Split = try read("split", as: UInt8.self, max: 1) == 0 ? .test : .train
        let images = try read("images", as: UInt32.self, max: Evaluation.imagesMax)
        let sources = EvaluationSettings.BatchNorm.Source.allCases
        let source = sources[try read("batch norms", as: UInt8.self, max: sources.count - 1)]
        let calibration = try read("calibration images", as: UInt32.self, max: Evaluation.imagesMax)
        guard (calibration > 0) == (source != .frozen) else { throw .meaningless(field: "calibration images") }
        var settings = EvaluationSettings(
            split: split, images: images, batchNorm: .init(source, images: calibration),
            normalisation: try readNormalisation(),
            labels: try read("labels", as: UInt8.self, max: 1) == 0 ? .given : .network)
        let masks = try read("masks of the same images", as: UInt32.self, max: Wire.masksMax)
        guard masks > 0 else { return settings }
        let pool = try read("pool", as: UInt32.self, max: ImageSet.countMax)
        settings.rotation = ImageRotation(pool: pool, masks: masks, seed: try read("seed"))
        guard (1...max(pool, 1)).contains(settings.imagesTaken) else { throw .meaningless(field: "pool") }
        return settings
    }
}
