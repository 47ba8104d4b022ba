import Foundation
import Shared

/// A worker's identity, kept on disk: the runs that it took part in recognise a restarted worker, even one that they
/// dismissed.
///
/// Every process takes the first free identity of its cache folder, and holds it until it ends.
final class WorkerIdentity {
    /// The most workers in one cache folder at a time.
    private static let countMax = 4096

    /// The identity.
    let worker: WorkerID
    /// How often a process has taken it: of two with one identity, the later one counts, whatever clocks say.
    let incarnation: UInt64
    private let descriptor: Int32

    /// Takes an identity of a folder; a temporary one if the folder is not writable.
    init(in folder: String) {
        for number in 1...Self.countMax {
            let descriptor = open("\(folder)/worker-\(number).id", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
            guard descriptor >= 0 else { break }
            guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
                let isTaken = errno == EWOULDBLOCK
                close(descriptor)
                if isTaken { continue }
                break
            }
            let known = Self.read(descriptor)
            worker = known?.worker ?? .random()
            incarnation = (known?.incarnation ?? 0) &+ 1
            self.descriptor = descriptor
            // If it cannot be stored, it lasts until the worker ends.
            let bytes = Array("\(worker) \(incarnation)\n".utf8)
            _ = pwrite(descriptor, bytes, bytes.count, 0)
            return
        }
        worker = .random()
        incarnation = 1
        descriptor = -1
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    private static func read(_ descriptor: Int32) -> (worker: WorkerID, incarnation: UInt64)? {
        var bytes = [UInt8](repeating: 0, count: 64)
        let count = pread(descriptor, &bytes, bytes.count, 0)
        guard count > 0 else { return nil }
        let words = String(decoding: bytes.prefix(count), as: UTF8.self).split { $0.isWhitespace }
        guard words.count == 2, let worker = WorkerID(text: words[0]), let incarnation = UInt64(words[1]) else {
            return nil
        }
        return (worker, incarnation)
    }
}
