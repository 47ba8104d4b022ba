import Foundation
import Shared
import Testing

@Test func partsOfKilledProgramsAreRemovedAndNoOthers() throws {
    let folder = FileManager.default.temporaryDirectory.appending(path: "winnow-parts-\(UUID())").path
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    // No process has the largest number that there can be.
    let gone = "4194304"
    let stale = ["a.\(gone).part", "a.\(gone).part-journal"]
    let kept = ["a.\(getpid()).part", "b.\(gone).part", "a.part", "a.x.part", "a.\(gone).part.keep", "a.1.2.part"]
    for name in stale + kept + ["a.99999999.part"] {
        let path = "\(folder)/\(name)"
        #expect(FileManager.default.createFile(atPath: path, contents: Data()))
        let age = name == "a.99999999.part" ? 0 : 3600
        let time = timeval(tv_sec: Foundation.time(nil) - age, tv_usec: 0)
        utimes(path, [time, time])
    }
    StaleParts.remove(beside: "\(folder)/a")
    let left = Set(try FileManager.default.contentsOfDirectory(atPath: folder))
    #expect(left == Set(kept + ["a.99999999.part"]), "one that was just written may be another host's")
}
