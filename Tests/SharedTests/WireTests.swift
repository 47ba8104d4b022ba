import TestSupport
import Testing

@testable import Shared

private let digest = Digest(sha256Of: [1, 2, 3] as [UInt8])
private let run = RunID(high: 1, low: .max)
private let lease = LeaseID(life: 3, number: 0xFFFF_FFFE)

private let workerMessages: [WorkerMessage] = [
    .hello(
        .init(
            worker: WorkerID(high: 7, low: 8), incarnation: 9, host: "höst", threads: 64, instructionSet: "AVX2",
            programVersion: "1.2", imagesPerSecond: 1512.5, arithmetic: "lanes 1")),
    .want(.init(digest: digest, offset: 1 << 33, length: Wire.chunkBytesMax)),
    .ready(run),
    .answer(
        .init(
            run: run, lease: lease, computeMicroseconds: 1_500_000,
            evaluations: [
                MaskEvaluation(
                    mask: 0, evaluation: Evaluation(lossSum: 9_223_301_668_110_598_144, correct: 0, images: 131_071)),
                MaskEvaluation(mask: 999_999, evaluation: Evaluation(lossSum: 1, correct: 5, images: 5)),
            ])),
    .answer(.init(run: run, lease: lease, computeMicroseconds: 0, evaluations: [])),
    .answer(
        .init(
            run: run, lease: lease, computeMicroseconds: 5,
            result: .gradient(lossSum: 12.5, correct: 3, images: 32))),
    .answer(
        .init(
            run: run, lease: lease, computeMicroseconds: 5, result: .gradient(lossSum: .infinity, correct: 0, images: 1)
        )),
    .answer(
        .init(
            run: run, lease: lease, computeMicroseconds: 6,
            result: .evaluation(Evaluation(lossSum: 1 << 40, correct: 7, images: 9)))),
    .part(RowPart(subject: lease.subject, total: 9, offset: 4, floats: [1, -2, .infinity, .nan])),
    .wantParameters(version: .max, offset: 1 << 20),
    .failed(.init(run: run, lease: lease, mask: 12, reason: "not a number")),
    .failed(.init(run: run, lease: lease, mask: nil, reason: "")),
    .heartbeat([lease, LeaseID(life: 1, number: 1)], seen: lease),
    .heartbeat([], seen: LeaseID(life: 0, number: 0)), .goodbye(keeping: [lease]),
    .goodbye(keeping: []),
]

private func welcome(
    _ batchNorm: EvaluationSettings.BatchNorm, rotation: ImageRotation? = nil
) -> CoordinatorMessage {
    let work = MaskWork(
        settings: .init(split: .train, images: 1000, batchNorm: batchNorm, rotation: rotation),
        network: .init(digest: digest, size: 1 << 20), images: .init(digest: digest, size: 3),
        calibrationImages: batchNorm == .frozen ? nil : .init(digest: digest, size: 99), filters: 336,
        masks: 1_000_000, ensemble: [1, 2, 3], sample: digest)
    return .welcome(.init(run: run, life: 2, work: .masks(work)))
}

private func training(teacher: Bool) -> CoordinatorMessage {
    func blob(_ seed: UInt8) -> CoordinatorMessage.Blob {
        .init(digest: Digest(sha256Of: [seed]), size: UInt64(seed) * 1000)
    }
    let work = TrainingWork(
        network: blob(1), teacher: teacher ? blob(2) : nil, trainingImages: blob(3), testImages: blob(4),
        normalisation: .standard,
        loss: TrainingLoss(labelSmoothing: 0.1, distillation: teacher ? .init(temperature: 4, weight: 0.5) : nil),
        shardSize: 32, precision: teacher ? .bfloat16 : .float32, cutout: 8, mirrors: !teacher, rowCount: 1234)
    return .welcome(.init(run: run, life: 1, work: .training(work)))
}

private let coordinatorMessages: [CoordinatorMessage] = [
    welcome(.frozen), welcome(.recalibrated(images: 256)), welcome(.corrected(images: 256)),
    welcome(.corrected(images: 1500), rotation: ImageRotation(pool: 1500, masks: 64, seed: .max)), .introduce,
    .chunk(.init(digest: digest, offset: 65_536, bytes: [UInt8](repeating: 7, count: 1000))),
    .chunk(.init(digest: digest, offset: 0, bytes: [])),
    training(teacher: false), training(teacher: true),
    .lease(.init(run: run, lease: lease, job: .masks(MaskRuns([5, 6, 9, 1_000_000])))),
    .lease(.init(run: run, lease: lease, job: .masks(MaskRuns()))),
    .lease(
        .init(
            run: run, lease: lease,
            job: .step(
                .gradient(TrainingShard(images: [5, 0, 49_999], augmentationSeed: 7, epoch: 12)), version: 3))),
    .lease(.init(run: run, lease: lease, job: .step(.evaluation(.test, 10..<500), version: .max))),
    .parameters(RowPart(subject: 3, total: 10, offset: 4, floats: [1, -2, .infinity, .nan])),
    .acknowledged(lease), .cancel(lease),
    .heartbeat(life: 4, lease: 9),
    .dismissed(reason: "no"), .finished,
]

private var frames: [[UInt8]] { workerMessages.map { $0.encoded() } + coordinatorMessages.map { $0.encoded() } }

/// Corrects a changed frame's checksum, so decoding reaches its fields.
private func sealed(_ frame: [UInt8]) -> [UInt8] {
    let body = frame.dropLast(Wire.trailerBytes)
    let sum = Array(body).withUnsafeBytes { Checksum.of($0) }
    return body + withUnsafeBytes(of: sum.littleEndian) { Array($0) }
}

private func workerError(_ frame: [UInt8]) -> WireError? {
    do throws(WireError) {
        _ = try WorkerMessage(decoding: frame)
        return nil
    } catch { return error }
}

private func coordinatorError(_ frame: [UInt8]) -> WireError? {
    do throws(WireError) {
        _ = try CoordinatorMessage(decoding: frame)
        return nil
    } catch { return error }
}

@Test func everyMessageComesBackAsItWas() throws {
    for message in workerMessages { #expect(try WorkerMessage(decoding: message.encoded()) == message) }
    for message in coordinatorMessages { #expect(try CoordinatorMessage(decoding: message.encoded()) == message) }
}

@Test func theChecksumIsZlibs() {
    #expect(Array("123456789".utf8).withUnsafeBytes { Checksum.of($0) } == 0xCBF4_3926)
    #expect([UInt8]().withUnsafeBytes { Checksum.of($0) } == 0)
    let long = (0..<1000).map { UInt8(truncatingIfNeeded: $0 * 7) }
    #expect(long.withUnsafeBytes { Checksum.of($0) } == 0x114A_D5FF)
}

@Test func aChangedBitIsNoticed() {
    for frame in frames where frame.count < 200 {
        for bit in 0..<frame.count * 8 {
            var changed = frame
            changed[bit / 8] ^= 1 << UInt8(bit % 8)
            #expect(workerError(changed) != nil && coordinatorError(changed) != nil)
        }
    }
}

@Test func aMessageCutAnywhereIsRefused() {
    for frame in frames where frame.count < 200 {
        for count in 0..<frame.count {
            let cut = Array(frame.prefix(count))
            #expect(workerError(cut) != nil && coordinatorError(cut) != nil)
            guard count >= Wire.headerBytes + Wire.trailerBytes else { continue }
            #expect(workerError(sealed(cut)) != nil && coordinatorError(sealed(cut)) != nil)
        }
    }
}

@Test func bytesLeftOverAreRefused() {
    for message in workerMessages { #expect(workerError(sealed(message.encoded() + [0])) == .trailing(1)) }
    for message in coordinatorMessages { #expect(coordinatorError(sealed(message.encoded() + [0])) == .trailing(1)) }
}

@Test func anotherVersionIsToldFromDamage() {
    for frame in frames {
        var other = frame
        other[4] = 99
        other[6] = 250
        #expect(workerError(sealed(other)) == .otherVersion(99))
        #expect(coordinatorError(sealed(other)) == .otherVersion(99))
        #expect(workerError(other) == .damaged)
    }
    #expect(WireError.otherVersion(99).description.contains("version 99"))
}

@Test func aMessageOfTheOtherDirectionIsRefused() {
    for message in workerMessages { #expect(coordinatorError(message.encoded()) != nil) }
    for message in coordinatorMessages { #expect(workerError(message.encoded()) != nil) }
}

@Test func aCountBeyondItsLimitTakesNoMemory() {
    var frame = WorkerMessage.goodbye(keeping: []).encoded()
    frame.replaceSubrange(8..<12, with: [0xFF, 0xFF, 0xFF, 0x7F])
    #expect(workerError(sealed(frame)) == .tooLarge(field: "leases", limit: Wire.leasesPerWorkerMax))
    frame.replaceSubrange(8..<12, with: [40, 0, 0, 0])
    #expect(workerError(sealed(frame)) == .cut(field: "leases"))
    let long = [UInt8](repeating: 0, count: Wire.messageBytesMax + 1)
    #expect(workerError(long) == .tooLarge(field: "length", limit: Wire.messageBytesMax))
}

@Test func changedFieldsNeverTrap() {
    var random = SeededGenerator(seed: 1)
    let originals = frames
    for _ in 0..<200_000 {
        var frame = originals[Int.random(in: 0..<originals.count, using: &random)]
        for _ in 0..<Int.random(in: 1...4, using: &random) {
            frame[Int.random(in: 6..<frame.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
        }
        frame = sealed(frame)
        // What is understood is what would be said.
        if let message = try? WorkerMessage(decoding: frame) { #expect(message.encoded() == frame) }
        if let message = try? CoordinatorMessage(decoding: frame) {
            #expect((try? CoordinatorMessage(decoding: message.encoded())) == message)
        }
    }
}

@Test func randomBytesAreNoMessage() {
    var random = SeededGenerator(seed: 2)
    for _ in 0..<20_000 {
        let count = Int.random(in: 0...300, using: &random)
        let bytes = (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
        #expect(workerError(bytes) != nil && coordinatorError(bytes) != nil)
    }
}

@Test func aLongTextIsCutBetweenCharacters() throws {
    let reason = String(repeating: "é", count: 2000)
    let message = try CoordinatorMessage(decoding: CoordinatorMessage.dismissed(reason: "x" + reason).encoded())
    guard case .dismissed(let short) = message else { throw Failure(.internalFault, "another message") }
    #expect(short == "x" + String(repeating: "é", count: 511))
}

@Test func aFullLeaseFitsItsMessage() throws {
    let scattered = MaskRuns(stride(from: 0, to: 2 * Wire.masksPerLeaseMax, by: 2))
    let message = CoordinatorMessage.lease(.init(run: run, lease: lease, job: .masks(scattered)))
    #expect(message.encoded().count <= Wire.messageBytesMax)
    #expect(try CoordinatorMessage(decoding: message.encoded()) == message)
    let row = [Float](repeating: 1, count: RowPart.floatsMax + 1)
    for part in RowPart.parts(of: row, subject: 1) {
        #expect(WorkerMessage.part(part).encoded().count <= Wire.messageBytesMax)
    }
}

@Test func runsOfMasksThatTouchOrDescendAreRefused() {
    func error(_ runs: [(UInt32, UInt32)]) -> WireError? {
        var writer = WireWriter(type: 132)
        writer.write(run)
        writer.write(lease)
        writer.write(UInt8(0))
        writer.write(UInt32(runs.count))
        for (first, count) in runs {
            writer.write(first)
            writer.write(count)
        }
        return coordinatorError(writer.finished())
    }
    #expect(error([(0, 4), (5, 1)]) == nil)
    for runs in [[(0, 4), (4, 1)], [(5, 1), (0, 1)], [(0, 0)], [(1 << 28 - 1, 2)]] as [[(UInt32, UInt32)]] {
        #expect(error(runs) == .meaningless(field: "masks"))
    }
    #expect(error([(0, 4000), (5000, 4000)]) == .tooLarge(field: "masks", limit: Wire.masksPerLeaseMax))
}

@Test func aRowIsPutTogetherFromItsPartsInAnyOrder() {
    let row = (0..<25).map { Float($0) }
    let parts = RowPart.parts(of: row, subject: 8, floats: 10)
    #expect(parts.count == 3)
    var assembly = RowAssembly(subject: 8, total: 25, partFloats: 10)
    #expect(assembly.missing(atMost: 2) == [0, 10])
    for index in [2, 0, 2] {
        let isTaken = assembly.add(parts[index])
        #expect(isTaken)
    }
    #expect(assembly.row == nil && assembly.missing(atMost: 9) == [10])
    for (offset, count) in [(10, 9), (11, 10), (10, 11), (30, 10)] {
        let wrong = RowPart(subject: 8, total: 25, offset: offset, floats: [Float](repeating: 0, count: count))
        let isTaken = assembly.add(wrong)
        #expect(!isTaken)
    }
    var other = parts[1]
    other.subject = 9
    let isOtherTaken = assembly.add(other)
    #expect(!isOtherTaken)
    let isLastTaken = assembly.add(parts[1])
    #expect(isLastTaken)
    #expect(assembly.row == row)
}

@Test func everyNumberFromAPeerHasARange() {
    func losses(_ microseconds: UInt64, _ lossSum: Int64, images: UInt32) -> WireError? {
        var writer = WireWriter(type: 4)
        for number in [1, 2] as [UInt64] { writer.write(number) }
        for number in [1, 1] as [UInt32] { writer.write(number) }
        writer.write(microseconds)
        writer.write(UInt8(0))
        writer.write(UInt32(1))
        writer.write(UInt32(0))
        writer.write(lossSum)
        writer.write(UInt32(0))
        writer.write(images)
        return workerError(writer.finished())
    }
    let imageMax = Int64(Evaluation.imageLossMax * Evaluation.unitsPerNat)
    #expect(losses(Wire.computeMicrosecondsMax, 100 * imageMax, images: 100) == nil)
    #expect(losses(Wire.computeMicrosecondsMax + 1, 0, images: 100) != nil)
    #expect(losses(.max, 0, images: 100) != nil)
    #expect(losses(1, 100 * imageMax + 1, images: 100) != nil)
    #expect(losses(1, .max, images: 100) != nil)
    #expect(losses(1, -1, images: 100) != nil)
    #expect(losses(1, 0, images: UInt32(Evaluation.imagesMax) + 1) != nil)

    func hello(threads: UInt16, imagesPerSecond: Double) -> WireError? {
        var writer = WireWriter(type: 1)
        for number in [1, 2, 3] as [UInt64] { writer.write(number) }
        writer.write(threads)
        writer.write(imagesPerSecond)
        for _ in 0..<4 { writer.write("x", bytesMax: 9) }
        return workerError(writer.finished())
    }
    #expect(hello(threads: 4, imagesPerSecond: 1e6) == nil)
    #expect(hello(threads: .max, imagesPerSecond: 1e6) != nil)
    for speed in [-1, .infinity, .nan, 1e300] { #expect(hello(threads: 4, imagesPerSecond: speed) != nil) }
}

@Test func aPoolThatIsSmallerThanAMasksImagesIsRefused() {
    for pool in [0, 999, 1499] {
        let frame = welcome(.corrected(images: 1500), rotation: ImageRotation(pool: pool, masks: 64, seed: 1)).encoded()
        #expect(coordinatorError(frame) == .meaningless(field: "pool"))
    }
}
