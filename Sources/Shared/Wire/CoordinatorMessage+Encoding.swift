extension CoordinatorMessage {
    /// Numbers apart from a worker's, so that a message that comes back is not taken for one.
    private enum Kind: UInt8 {
        case welcome = 129, introduce, chunk, lease, acknowledged, cancel, heartbeat, dismissed, finished
    }

    /// The message as one frame. Texts beyond their limits are cut; counts beyond their limits are a fault of ours.
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
        case .lease(let lease): return encode(lease)
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
        var writer = WireWriter(type: Kind.welcome.rawValue, capacity: 256)
        writer.write(welcome.run)
        writer.write(welcome.life)
        writer.write(welcome.settings)
        writer.write(welcome.network)
        writer.write(welcome.images)
        writer.write(UInt8(welcome.calibrationImages == nil ? 0 : 1))
        if let blob = welcome.calibrationImages { writer.write(blob) }
        writer.write(UInt32(welcome.filters))
        writer.write(UInt32(welcome.masks))
        writer.write(UInt32(welcome.heartbeatMilliseconds))
        writer.write(UInt32(welcome.liveness))
        return writer.finished()
    }

    private func encode(_ lease: Lease) -> [UInt8] {
        let filters = lease.masks.first?.mask.count ?? 0
        precondition(lease.masks.count <= Wire.masksPerLease(filters: filters), "a lease fits a message")
        var writer = WireWriter(
            type: Kind.lease.rawValue, capacity: 32 + lease.masks.count * (4 + (filters + 63) / 64 * 8))
        writer.write(lease.run)
        writer.write(lease.lease)
        writer.write(UInt32(filters))
        writer.write(UInt32(lease.masks.count))
        for item in lease.masks {
            precondition(item.mask.count == filters, "a lease's masks are of one network")
            writer.write(UInt32(item.index))
            for word in item.mask.words { writer.write(word) }
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
        case .lease: self = .lease(try Self.readLease(&reader))
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
        let settings = try reader.readSettings()
        let network = try reader.readBlob("network")
        let images = try reader.readBlob("images")
        let calibration =
            try reader.read("calibration", as: UInt8.self, max: 1) == 1 ? try reader.readBlob("calibration") : nil
        let filters = try reader.read("filters", as: UInt32.self, max: Wire.filtersMax)
        let masks = try reader.read("masks", as: UInt32.self, max: Wire.masksMax)
        let heartbeat = try reader.read("heartbeat", as: UInt32.self, max: 3_600_000)
        let liveness = try reader.read("liveness", as: UInt32.self, max: 1000)
        guard heartbeat > 0, liveness > 0 else { throw .meaningless(field: "heartbeat") }
        return Welcome(
            run: run, life: life, settings: settings, network: network, images: images,
            calibrationImages: calibration, filters: filters, masks: masks, heartbeatMilliseconds: heartbeat,
            liveness: liveness)
    }

    private static func readLease(_ reader: inout WireReader) throws(WireError) -> Lease {
        let run = try reader.readRun()
        let lease = try reader.readLease()
        let filters = try reader.read("filters", as: UInt32.self, max: Wire.filtersMax)
        let words = (filters + 63) / 64
        let count = try reader.readCount("masks", max: Wire.masksPerLeaseMax, itemBytes: 4 + 8 * words)
        var masks: [IndexedMask] = []
        masks.reserveCapacity(count)
        for _ in 0..<count {
            let index = try reader.read("mask", as: UInt32.self, max: Wire.masksMax - 1)
            var bits: [UInt64] = []
            bits.reserveCapacity(words)
            for _ in 0..<words { bits.append(try reader.read("mask")) }
            guard let mask = Mask(count: filters, words: bits) else { throw .meaningless(field: "mask") }
            masks.append(IndexedMask(index: index, mask: mask))
        }
        return Lease(run: run, lease: lease, masks: masks)
    }
}

extension WireWriter {
    /// Appends a blob.
    fileprivate mutating func write(_ blob: CoordinatorMessage.Blob) {
        write(blob.digest)
        write(blob.size)
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
