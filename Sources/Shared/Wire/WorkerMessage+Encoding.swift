extension WorkerMessage {
    private enum Kind: UInt8 {
        case hello = 1, want, ready, answer, failed, heartbeat, goodbye, wantParameters, part
    }

    /// Bytes of one mask's evaluation in a message.
    private static let evaluationBytes = 4 + 8 + 4 + 4

    /// The message as one frame. Texts beyond their limits are cut; counts beyond their limits are a fault of ours.
    public func encoded() -> [UInt8] {
        switch self {
        case .hello(let hello): return encode(hello)
        case .want(let range):
            var writer = WireWriter(type: Kind.want.rawValue)
            writer.write(range.digest)
            writer.write(range.offset)
            writer.write(UInt32(range.length))
            return writer.finished()
        case .ready(let run):
            var writer = WireWriter(type: Kind.ready.rawValue)
            writer.write(run)
            return writer.finished()
        case .wantParameters(let version, let offset):
            var writer = WireWriter(type: Kind.wantParameters.rawValue)
            writer.write(version)
            writer.write(UInt32(offset))
            return writer.finished()
        case .part(let part):
            var writer = WireWriter(type: Kind.part.rawValue, capacity: 24 + 4 * part.floats.count)
            writer.write(part)
            return writer.finished()
        case .answer(let answer): return encode(answer)
        case .failed(let failure):
            var writer = WireWriter(type: Kind.failed.rawValue)
            writer.write(failure.run)
            writer.write(failure.lease)
            writer.write(failure.mask.map { UInt32($0) } ?? .max)
            writer.write(failure.reason, bytesMax: Wire.reasonBytesMax)
            return writer.finished()
        case .heartbeat(let leases, let seen):
            var writer = WireWriter(type: Kind.heartbeat.rawValue)
            Self.write(leases, to: &writer)
            writer.write(seen)
            return writer.finished()
        case .goodbye(let leases):
            var writer = WireWriter(type: Kind.goodbye.rawValue)
            Self.write(leases, to: &writer)
            return writer.finished()
        }
    }

    private func encode(_ hello: Hello) -> [UInt8] {
        var writer = WireWriter(type: Kind.hello.rawValue)
        writer.write(hello.worker.high)
        writer.write(hello.worker.low)
        writer.write(hello.incarnation)
        writer.write(UInt16(clamping: min(hello.threads, Wire.threadsMax)))
        writer.write(hello.imagesPerSecond)
        writer.write(hello.host, bytesMax: Wire.nameBytesMax)
        writer.write(hello.instructionSet, bytesMax: Wire.nameBytesMax)
        writer.write(hello.programVersion, bytesMax: Wire.nameBytesMax)
        writer.write(hello.arithmetic, bytesMax: Wire.nameBytesMax)
        return writer.finished()
    }

    private func encode(_ answer: Answer) -> [UInt8] {
        let count = answer.evaluations.count
        precondition(count <= Wire.masksPerLeaseMax, "a lease has a bounded number of masks")
        var writer = WireWriter(type: Kind.answer.rawValue, capacity: 64 + Self.evaluationBytes * count)
        writer.write(answer.run)
        writer.write(answer.lease)
        writer.write(min(answer.computeMicroseconds, Wire.computeMicrosecondsMax))
        switch answer.result {
        case .masks(let evaluations):
            writer.write(UInt8(0))
            writer.write(UInt32(count))
            for item in evaluations {
                writer.write(UInt32(item.mask))
                Self.write(item.evaluation, to: &writer)
            }
        case .gradient(let lossSum, let correct, let images):
            writer.write(UInt8(1))
            writer.write(lossSum.isNaN ? .infinity : lossSum)
            writer.write(UInt32(correct))
            writer.write(UInt32(images))
        case .evaluation(let evaluation):
            writer.write(UInt8(2))
            Self.write(evaluation, to: &writer)
        case .row: writer.write(UInt8(3))
        case .filters(let mask):
            writer.write(UInt8(4))
            writer.write(mask)
        }
        return writer.finished()
    }

    private static func write(_ evaluation: Evaluation, to writer: inout WireWriter) {
        writer.write(evaluation.lossSum)
        writer.write(UInt32(evaluation.correct))
        writer.write(UInt32(evaluation.images))
    }

    private static func write(_ leases: [LeaseID], to writer: inout WireWriter) {
        let named = leases.prefix(Wire.leasesPerWorkerMax)
        writer.write(UInt32(named.count))
        for lease in named { writer.write(lease) }
    }

    /// Reads a message.
    public init(decoding bytes: [UInt8]) throws(WireError) {
        let result = bytes.withUnsafeBytes { raw in
            Result { () throws(WireError) in try WorkerMessage(decoding: raw) }
        }
        self = try result.get()
    }

    /// Reads a message.
    public init(decoding bytes: UnsafeRawBufferPointer) throws(WireError) {
        var reader = try WireReader(bytes)
        guard let kind = Kind(rawValue: reader.type) else { throw .unknownType(reader.type) }
        switch kind {
        case .hello: self = .hello(try Self.readHello(&reader))
        case .want:
            let digest = try reader.readDigest("digest")
            let offset = try reader.read("offset", as: UInt64.self)
            guard offset <= Wire.blobBytesMax else {
                throw .tooLarge(field: "offset", limit: Int(Wire.blobBytesMax))
            }
            let length = try reader.read("length", as: UInt32.self, max: Wire.chunkBytesMax)
            self = .want(BlobRange(digest: digest, offset: offset, length: length))
        case .ready: self = .ready(try reader.readRun())
        case .wantParameters:
            self = .wantParameters(
                version: try reader.read("version"),
                offset: try reader.read("offset", as: UInt32.self, max: RowPart.totalMax))
        case .part: self = .part(try reader.readPart())
        case .answer: self = .answer(try Self.readAnswer(&reader))
        case .failed:
            let run = try reader.readRun()
            let lease = try reader.readLease()
            let mask = try reader.read("mask", as: UInt32.self)
            guard mask == .max || mask < Wire.masksMax else { throw .tooLarge(field: "mask", limit: Wire.masksMax) }
            let reason = try reader.readText("reason", bytesMax: Wire.reasonBytesMax)
            self = .failed(
                LeaseFailure(run: run, lease: lease, mask: mask == .max ? nil : Int(mask), reason: reason))
        case .heartbeat: self = .heartbeat(try Self.readLeases(&reader), seen: try reader.readLease())
        case .goodbye: self = .goodbye(keeping: try Self.readLeases(&reader))
        }
        try reader.finish()
    }

    private static func readHello(_ reader: inout WireReader) throws(WireError) -> Hello {
        let worker = WorkerID(high: try reader.read("worker"), low: try reader.read("worker"))
        let incarnation: UInt64 = try reader.read("incarnation")
        let threads = try reader.read("threads", as: UInt16.self, max: Wire.threadsMax)
        let imagesPerSecond = try reader.readDouble("images per second")
        guard (0...Wire.imagesPerSecondMax).contains(imagesPerSecond) else {
            throw .meaningless(field: "images per second")
        }
        return Hello(
            worker: worker, incarnation: incarnation,
            host: try reader.readText("host", bytesMax: Wire.nameBytesMax), threads: threads,
            instructionSet: try reader.readText("instruction set", bytesMax: Wire.nameBytesMax),
            programVersion: try reader.readText("program version", bytesMax: Wire.nameBytesMax),
            imagesPerSecond: imagesPerSecond,
            arithmetic: try reader.readText("arithmetic", bytesMax: Wire.nameBytesMax))
    }

    private static func readAnswer(_ reader: inout WireReader) throws(WireError) -> Answer {
        let run = try reader.readRun()
        let lease = try reader.readLease()
        let microseconds: UInt64 = try reader.read("time")
        guard microseconds <= Wire.computeMicrosecondsMax else {
            throw .tooLarge(field: "time", limit: Int(Wire.computeMicrosecondsMax))
        }
        return Answer(run: run, lease: lease, computeMicroseconds: microseconds, result: try readResult(&reader))
    }

    private static func readResult(_ reader: inout WireReader) throws(WireError) -> JobResult {
        switch try reader.read("kind of answer", as: UInt8.self, max: 4) {
        case 0:
            let count = try reader.readCount("losses", max: Wire.masksPerLeaseMax, itemBytes: evaluationBytes)
            var evaluations: [MaskEvaluation] = []
            evaluations.reserveCapacity(count)
            for _ in 0..<count {
                let mask = try reader.read("mask", as: UInt32.self, max: Wire.masksMax - 1)
                evaluations.append(MaskEvaluation(mask: mask, evaluation: try reader.readEvaluation()))
            }
            return .masks(evaluations)
        case 1:
            // A network that diverged has a loss that is no number, which is for the coordinator to tell its user; it
            // travels as the greatest one, so that messages can be compared.
            let lossSum = Double(bitPattern: try reader.read("loss"))
            guard !lossSum.isNaN else { throw .meaningless(field: "loss") }
            let correct = try reader.read("correct images", as: UInt32.self, max: TrainingShard.imagesMax)
            let images = try reader.read("images", as: UInt32.self, max: TrainingShard.imagesMax)
            guard correct <= images else { throw .meaningless(field: "correct images") }
            return .gradient(lossSum: lossSum, correct: correct, images: images)
        case 2: return .evaluation(try reader.readEvaluation())
        case 3: return .row
        default: return .filters(try reader.readMask())
        }
    }

    private static func readLeases(_ reader: inout WireReader) throws(WireError) -> [LeaseID] {
        let count = try reader.readCount("leases", max: Wire.leasesPerWorkerMax, itemBytes: 8)
        var leases: [LeaseID] = []
        leases.reserveCapacity(count)
        for _ in 0..<count { leases.append(try reader.readLease()) }
        return leases
    }
}

extension WireWriter {
    /// Appends a run.
    mutating func write(_ run: RunID) {
        write(run.high)
        write(run.low)
    }

    /// Appends a lease.
    mutating func write(_ lease: LeaseID) {
        write(lease.life)
        write(lease.number)
    }
}

extension WireReader {
    /// Reads a run.
    mutating func readRun() throws(WireError) -> RunID {
        RunID(high: try read("run"), low: try read("run"))
    }

    /// Reads an evaluation that can be.
    mutating func readEvaluation() throws(WireError) -> Evaluation {
        let lossSum: Int64 = try read("sum of losses")
        let correct = try read("correct images", as: UInt32.self, max: Evaluation.imagesMax)
        let images = try read("images", as: UInt32.self, max: Evaluation.imagesMax)
        let evaluation = Evaluation(lossSum: lossSum, correct: correct, images: images)
        guard evaluation.isPossible else { throw .meaningless(field: "evaluation") }
        return evaluation
    }

    /// Reads a lease.
    mutating func readLease() throws(WireError) -> LeaseID {
        LeaseID(life: try read("lease"), number: try read("lease"))
    }
}
