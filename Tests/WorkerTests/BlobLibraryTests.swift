import Foundation
import Shared
import Testing

@testable import Worker

/// What a worker accepts from a coordinator, and how much.
@Suite struct BlobLibraryTests {
    @discardableResult
    private static func withLibrary<Result>(
        takingUpTo bytes: UInt64, _ body: (BlobLibrary, String) throws -> Result
    ) throws -> Result {
        let folder = FileManager.default.temporaryDirectory.appending(path: "winnow-blobs-\(UUID())").path
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let library = BlobLibrary(
            cache: try BlobCache(folder: folder), model: nil, data: nil, blobBytesMax: bytes)
        return try body(library, folder)
    }

    @Test func moreThanTheLimitIsRefusedBeforeAnythingIsFetched() throws {
        try Self.withLibrary(takingUpTo: 3 << 20) { library, _ in
            try library.check(CoordinatorMessage.Blob(digest: Digest(sha256Of: []), size: 3 << 20))
            #expect {
                try library.check(CoordinatorMessage.Blob(digest: Digest(sha256Of: []), size: 1505 << 20))
            } throws: { error in
                "\(error)".contains("have 1505 MB, this worker accepts up to 3: raise --fetch-limit")
            }
        }
    }

    @Test func noUserCanRaiseTheLimitBeyondTheProtocols() throws {
        try Self.withLibrary(takingUpTo: .max) { library, _ in
            #expect(throws: Failure.self) {
                try library.check(
                    CoordinatorMessage.Blob(digest: Digest(sha256Of: []), size: Wire.blobBytesMax + 1))
            }
        }
    }

    @Test func byDefaultImagesOfHalfTheMemoryAreTaken() {
        #expect(BlobLibrary.blobBytesDefault >= 1 << 30)
        #expect(BlobLibrary.blobBytesDefault >= ProcessInfo.processInfo.physicalMemory / 2)
    }

    @Test func whatWasKeptIsFoundAgainAndWhatWasDamagedIsNot() throws {
        let bytes = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        let blob = CoordinatorMessage.Blob(digest: Digest(sha256Of: bytes), size: UInt64(bytes.count))
        try Self.withLibrary(takingUpTo: 1 << 20) { library, folder in
            #expect(!library.locate(blob))
            #expect(!library.keep(Array(bytes.dropLast()), as: blob))
            #expect(library.keep(bytes, as: blob))
            #expect(try library.take(blob) == bytes)
            // From the cache.
            #expect(library.locate(blob))
            #expect(try library.take(blob) == bytes)
            let path = "\(folder)/\(blob.digest)"
            var damaged = bytes
            damaged[100_000] ^= 1
            try OutputFile.write(damaged, to: path)
            #expect(!library.locate(blob))
        }
    }
}
