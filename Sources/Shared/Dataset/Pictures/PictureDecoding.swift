import Foundation
import Synchronization

/// A picture file and its class.
struct PictureFile: Sendable {
    let path: String
    let label: Int32

    /// The picture. Throws a `.badInput` ``Failure`` that names the file.
    func decoded() throws -> Picture {
        do { return try Picture(at: path) } catch let failure as Failure {
            throw Failure(failure.kind, "\(path): \(failure.description)")
        }
    }
}

/// Decodes pictures on all processors.
struct PictureDecoding {
    let layout: ImageLayout
    let transform: PictureTransform

    /// Pictures between two progress lines.
    private static let reportedPictures = 1000

    /// The destination of the images, for threads that write to different places in it.
    private struct Target: @unchecked Sendable {
        let labels: UnsafeMutableBufferPointer<Int32>
        let pixels: UnsafeMutablePointer<UInt8>
    }

    /// Decodes files to the given places of a set. Returns the numbers of those that failed, in order, and why. Throws
    /// a `.badInput` ``Failure`` if pictures differ in size.
    func decode(
        _ files: [PictureFile], to places: [Int], _ labels: UnsafeMutableBufferPointer<Int32>,
        _ pixels: UnsafeMutableRawBufferPointer
    ) throws -> [(index: Int, reason: String)] {
        guard let base = pixels.bindMemory(to: UInt8.self).baseAddress else { return [] }
        let target = Target(labels: labels, pixels: base)
        let next = Atomic<Int>(0)
        let failures = Locked<[(index: Int, reason: String)]>([])
        let otherSize = Locked<String?>(nil)
        DispatchQueue.concurrentPerform(iterations: min(CPUAllowance.processors, files.count)) { _ in
            while true {
                let index = next.add(1, ordering: .relaxed).oldValue
                guard index < files.count, otherSize.withLock({ $0 == nil }) else { return }
                if index > 0, index.isMultiple(of: Self.reportedPictures) {
                    Log.shared.setStatus("decoded \(index) of \(files.count) pictures")
                }
                do {
                    let picture = try Picture(at: files[index].path)
                    let size = transform.size(height: picture.height, width: picture.width)
                    guard size == (layout.shape.height, layout.shape.width) else {
                        otherSize.withLock { $0 = "\(files[index].path) is \(size.height) × \(size.width)" }
                        return
                    }
                    target.labels[places[index]] = files[index].label
                    transform.apply(picture, to: target.pixels + places[index] * layout.imageBytes)
                } catch {
                    failures.withLock { $0.append((index, "\(error)")) }
                }
            }
        }
        Log.shared.clearStatus()
        if let otherSize = otherSize.withLock({ $0 }) {
            throw Failure(
                .badInput,
                "\(otherSize), others are \(layout.shape.height) × \(layout.shape.width); make them equal, for "
                    + "example with --resize 256 --crop 224")
        }
        return failures.withLock { $0.sorted { $0.index < $1.index } }
    }
}
