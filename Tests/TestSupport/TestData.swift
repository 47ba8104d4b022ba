import Foundation
import Shared

/// CIFAR-10, trained networks and golden losses, which are not part of the project: in `$WINNOW_TEST_DATA`, by default
/// the folder `shared` beside it. Tests that need them are skipped if there are none:
///
///     @Test(.enabled(if: TestData.isPresent, "no WINNOW_TEST_DATA")) func …
public enum TestData {
    /// The folder.
    public static let folder: String = {
        if let given = ProcessInfo.processInfo.environment["WINNOW_TEST_DATA"] { return given }
        let package = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        return package.deletingLastPathComponent().appendingPathComponent("shared").path
    }()

    /// Whether the data are there.
    public static let isPresent = InputFile.isReadable(checkpoint("resnet20"))

    /// The path of a trained network, `resnet20` or `resnet56`.
    public static func checkpoint(_ name: String) -> String { "\(folder)/models/\(name).th" }

    /// The path of golden losses, for example `resnet20` or `resnet56-recalibrated`.
    public static func golden(_ name: String) -> String { "\(folder)/golden/\(name).json" }

    /// A folder with CIFAR-10's binary batches, unpacked at the first call on this machine into the system's temporary
    /// folder. Takes 184 MB there.
    public static func cifar10() throws -> String { try unpacked.get() }

    private static let unpacked: Result<String, Failure> = {
        let manager = FileManager.default
        let target = manager.temporaryDirectory.appendingPathComponent("winnow-cifar10-\(getuid())")
        if manager.fileExists(atPath: target.path) { return .success(target.path) }
        let part = manager.temporaryDirectory.appendingPathComponent("winnow-cifar10-\(UUID().uuidString)")
        do {
            try manager.createDirectory(at: part, withIntermediateDirectories: true)
            let unpack = try Process.run(URL(fileURLWithPath: "\(folder)/data/unpack"), arguments: [part.path])
            unpack.waitUntilExit()
            guard unpack.terminationStatus == 0 else { throw Failure(.unavailable, "unpacking failed") }
            // Another test process may have been faster; its copy is as good.
            if rename(part.path, target.path) != 0 { try manager.removeItem(at: part) }
            return .success(target.path)
        } catch {
            return .failure(Failure(.unavailable, "cannot unpack CIFAR-10 to \(part.path): \(error)"))
        }
    }()
}
