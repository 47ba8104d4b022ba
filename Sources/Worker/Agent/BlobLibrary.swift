import Foundation
import Shared

/// Where a worker finds networks and images: in files that its user named, in the cache, and in memory until they are
/// loaded.
final class BlobLibrary: Sendable {
    /// The default limit on a blob from a coordinator: blobs are held in memory, so half of the machine's, and at least
    /// what fits any machine that evaluates networks.
    static let blobBytesDefault = max(UInt64(ProcessInfo.processInfo.physicalMemory) / 2, 1 << 30)

    /// The largest blob to accept from a coordinator.
    private let blobBytesMax: UInt64
    private let cache: BlobCache
    private let model: String?
    private let data: ImageSource?
    private let loaded = Locked<[Digest: [UInt8]]>([:])

    /// A library of a cache and, if given, a checkpoint and labelled images.
    init(
        cache: BlobCache, model: String?, data: ImageSource?, blobBytesMax: UInt64 = BlobLibrary.blobBytesDefault
    ) {
        self.blobBytesMax = min(blobBytesMax, Wire.blobBytesMax)
        self.cache = cache
        self.model = model
        self.data = data
    }

    /// Checks, before downloading anything, that this worker accepts a blob. Throws a `.badInput` ``Failure``.
    func check(_ blob: CoordinatorMessage.Blob) throws {
        guard blob.size <= blobBytesMax else {
            throw Failure(
                .badInput,
                "the coordinator's network or images have \(blob.size >> 20) MB, this worker accepts up to "
                    + "\(blobBytesMax >> 20): raise --fetch-limit here, or use fewer --images there")
        }
    }

    /// Looks for a blob and holds it ready. Returns whether it is here.
    func locate(_ blob: CoordinatorMessage.Blob) -> Bool {
        guard blob.size <= blobBytesMax else { return false }
        guard let bytes = local(blob) ?? cache.bytes(of: blob.digest, size: blob.size) else { return false }
        loaded.withLock { $0[blob.digest] = bytes }
        return true
    }

    /// Holds a blob's bytes ready and puts them into the cache, if they match its digest. Returns whether they do.
    func keep(_ bytes: [UInt8], as blob: CoordinatorMessage.Blob) -> Bool {
        guard Digest(sha256Of: bytes) == blob.digest else { return false }
        loaded.withLock { $0[blob.digest] = bytes }
        do {
            try cache.store(bytes, as: blob.digest)
        } catch {
            Log.shared.line("\(error); this worker continues without")
        }
        return true
    }

    /// A blob that was located or kept; it is not held any longer. Throws a `.badInput` ``Failure``.
    func take(_ blob: CoordinatorMessage.Blob) throws -> [UInt8] {
        if let bytes = loaded.withLock({ $0.removeValue(forKey: blob.digest) }) { return bytes }
        // The images of a run may also be its calibration images, and are then taken twice.
        guard let bytes = local(blob) ?? cache.bytes(of: blob.digest, size: blob.size) else {
            throw Failure(.badInput, "\(blob.digest) has vanished from the cache \(cache.folder)")
        }
        return bytes
    }

    /// A blob from the user's own files.
    private func local(_ blob: CoordinatorMessage.Blob) -> [UInt8]? {
        func checked(_ bytes: [UInt8]?) -> [UInt8]? {
            guard let bytes, UInt64(bytes.count) == blob.size, Digest(sha256Of: bytes) == blob.digest else {
                return nil
            }
            return bytes
        }
        if let model, (try? InputFile.size(of: model)).map({ UInt64($0) }) == blob.size,
            let bytes = checked(try? InputFile.bytes(at: model, bytesMax: Int(blobBytesMax)))
        {
            return bytes
        }
        guard let data = try? data?.open(needsLabels: false),
            let count = ImageSet.count(data.layout, blobBytes: Int(blob.size))
        else {
            return nil
        }
        for split in EvaluationSettings.Split.allCases {
            let images = try? data.read(split, limit: count)
            if let bytes = checked(images?.blob) { return bytes }
        }
        return nil
    }
}
