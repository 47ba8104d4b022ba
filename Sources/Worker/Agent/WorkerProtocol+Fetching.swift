import Shared

extension WorkerProtocol {
    /// The download of a run's blobs, one after the other.
    struct Fetch: Sendable, Equatable {
        /// Blobs still needed, the current one first.
        var blobs: [CoordinatorMessage.Blob]
        /// Whether the caller has reported what it has of the current blob.
        var isLocated = false
        /// Whether the caller compares the current blob with its digest.
        var isChecking = false
        /// Bytes of the current blob that are stored: a prefix.
        var stored: UInt64 = 0
        /// Offsets of requested parts, and when they were requested.
        var asked: [UInt64: Moment] = [:]
        /// Parts that arrived early.
        var early: [UInt64: [UInt8]] = [:]
        /// How often the current blob arrived damaged.
        var wrong = 0
    }

    /// The most requested parts of a blob at a time: enough to keep the line busy.
    static let partsMax = 4
    /// Times that a blob may arrive damaged.
    static let wrongMax = 3

    mutating func beginFetching(_ welcome: CoordinatorMessage.Welcome) {
        guard let blob = welcome.blobs.first else {
            work = .preparing
            actions.append(.prepare(welcome))
            return
        }
        work = .fetching(Fetch(blobs: welcome.blobs))
        actions.append(.locate(blob))
    }

    /// What the caller has of a blob: `isWhole` if the digest is right, else the first `bytes` bytes.
    public mutating func blobLocated(
        _ digest: Digest, bytes: UInt64, isWhole: Bool, at moment: Moment
    ) -> [Action] {
        guard advance(to: moment) else { return [] }
        guard case .fetching(var fetch) = work, let blob = fetch.blobs.first, blob.digest == digest, !fetch.isLocated
        else { return [] }
        fetch.isLocated = true
        // A file that is too long is not a prefix of the right one.
        fetch.stored = bytes <= blob.size ? bytes : 0
        work = .fetching(fetch)
        if isWhole { nextBlob() } else { goOn() }
        return conclude()
    }

    /// Whether a blob's bytes match its digest. If not, the caller has discarded them.
    public mutating func blobChecked(_ digest: Digest, isRight: Bool, at moment: Moment) -> [Action] {
        guard advance(to: moment) else { return [] }
        guard case .fetching(var fetch) = work, let blob = fetch.blobs.first, blob.digest == digest, fetch.isChecking
        else { return [] }
        if isRight {
            nextBlob()
        } else if fetch.wrong + 1 >= Self.wrongMax {
            send(.goodbye(keeping: []))
            stop(.failed(reason: "\(blob.digest) arrived damaged \(Self.wrongMax) times"))
        } else {
            fetch = Fetch(blobs: fetch.blobs, isLocated: true, wrong: fetch.wrong + 1)
            work = .fetching(fetch)
            actions.append(.note("\(blob.digest) arrived damaged; fetching it again"))
            goOn()
        }
        return conclude()
    }

    /// A part came: it is stored when all before it are.
    mutating func take(_ chunk: CoordinatorMessage.Chunk) {
        guard case .fetching(var fetch) = work, let blob = fetch.blobs.first, blob.digest == chunk.digest,
            fetch.asked[chunk.offset] != nil, chunk.bytes.count == partLength(at: chunk.offset, of: blob)
        else { return }
        fetch.asked[chunk.offset] = nil
        fetch.early[chunk.offset] = chunk.bytes
        while let bytes = fetch.early.removeValue(forKey: fetch.stored) {
            actions.append(.store(CoordinatorMessage.Chunk(digest: blob.digest, offset: fetch.stored, bytes: bytes)))
            fetch.stored += UInt64(bytes.count)
        }
        work = .fetching(fetch)
        goOn()
    }

    /// Requests the missing parts of the current blob, or has it checked if it is complete.
    private mutating func goOn() {
        guard case .fetching(var fetch) = work, let blob = fetch.blobs.first, fetch.isLocated, !fetch.isChecking
        else { return }
        guard fetch.stored >= blob.size else {
            askForParts()
            return
        }
        fetch.isChecking = true
        work = .fetching(fetch)
        actions.append(.check(blob))
    }

    /// Keeps parts requested, and repeats requests that are not answered.
    mutating func askForParts() {
        guard isOnline, case .fetching(var fetch) = work, let blob = fetch.blobs.first, fetch.isLocated,
            !fetch.isChecking
        else { return }
        var offset = fetch.stored
        for _ in 0..<Self.partsMax where offset < blob.size {
            let length = partLength(at: offset, of: blob)
            let late = fetch.asked[offset].map { now - $0 >= Self.repeatMilliseconds } ?? true
            if late, fetch.early[offset] == nil {
                fetch.asked[offset] = now
                send(.want(WorkerMessage.BlobRange(digest: blob.digest, offset: offset, length: length)))
            }
            offset += UInt64(length)
        }
        work = .fetching(fetch)
    }

    private func partLength(at offset: UInt64, of blob: CoordinatorMessage.Blob) -> Int {
        offset < blob.size ? Int(min(UInt64(partBytes), blob.size - offset)) : 0
    }

    private mutating func nextBlob() {
        guard case .fetching(let fetch) = work, let run else { return }
        let rest = Array(fetch.blobs.dropFirst())
        if let blob = rest.first {
            work = .fetching(Fetch(blobs: rest))
            actions.append(.locate(blob))
        } else {
            work = .preparing
            actions.append(.prepare(run))
        }
    }

    /// The network and the images of a run are loaded.
    public mutating func prepared(_ id: RunID, at moment: Moment) -> [Action] {
        guard advance(to: moment), work == .preparing, run?.run == id else { return [] }
        work = .prepared
        actions.append(.note("ready"))
        sendReady()
        return conclude()
    }

    /// The network or the images cannot be loaded, so no work is possible here.
    public mutating func preparationFailed(_ reason: String, at moment: Moment) -> [Action] {
        guard advance(to: moment), work == .preparing else { return [] }
        send(.goodbye(keeping: []))
        stop(.failed(reason: reason))
        return conclude()
    }
}
