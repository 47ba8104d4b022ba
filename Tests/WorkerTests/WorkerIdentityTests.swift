import Foundation
import Testing

@testable import Worker

/// A worker's identity, over restarts and beside others in the same cache folder.
@Suite struct WorkerIdentityTests {
    private let folder: String

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "winnow-identity-\(UUID())").path
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    }

    @Test func anIdentityLastsAndCountsItsStarts() {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        var first: WorkerIdentity? = WorkerIdentity(in: folder)
        let known = first?.worker
        #expect(first?.incarnation == 1)
        // Two processes are two workers.
        let second = WorkerIdentity(in: folder)
        #expect(second.worker != known)
        first = nil
        let again = WorkerIdentity(in: folder)
        #expect(again.worker == known)
        #expect(again.incarnation == 2)
        withExtendedLifetime(second) {}
    }

    @Test func aFileThatIsNoIdentityIsReplaced() throws {
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try Data("nonsense".utf8).write(to: URL(fileURLWithPath: "\(folder)/worker-1.id"))
        var identity: WorkerIdentity? = WorkerIdentity(in: folder)
        let drawn = identity?.worker
        identity = nil
        #expect(WorkerIdentity(in: folder).worker == drawn)
    }

    @Test func whereNothingCanBeKeptAnIdentityIsDrawn() {
        let identity = WorkerIdentity(in: "/nowhere/at/all")
        #expect(identity.incarnation == 1)
    }
}
