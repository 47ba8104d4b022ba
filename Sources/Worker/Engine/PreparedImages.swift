import Shared

/// Images in the kernels' order: blocks of as many as a vector has lanes, in each `[channel, row, column, lane]`.
final class PreparedImages: @unchecked Sendable {
    let count: Int
    let lanes: Int
    /// Blocks; the last one's missing images are black.
    let blocks: Int
    private let pixels: UnsafeMutablePointer<UInt8>
    private let labels: UnsafeMutablePointer<UInt8>
    private let storage = Storage()

    /// The memory it takes.
    var bytes: Int { storage.bytes }

    /// The memory that the first `count` images of a set would take.
    static func bytes(count: Int, lanes: Int) -> Int {
        (count + lanes - 1) / lanes * lanes * ImageSet.recordBytes
    }

    /// Reorders the first `count` images of a set.
    init(_ images: ImageSet, count: Int, lanes: Int) {
        precondition(count <= images.count, "there are not so many images")
        self.count = count
        self.lanes = lanes
        blocks = (count + lanes - 1) / lanes
        let values = ImageSet.imageBytes
        pixels = storage.make(blocks * values * lanes, of: UInt8.self)
        labels = storage.make(blocks * lanes, of: UInt8.self)
        pixels.initialize(repeating: 0, count: blocks * values * lanes)
        labels.initialize(repeating: 0, count: blocks * lanes)
        images.records.withUnsafeBufferPointer { records in
            for image in 0..<count {
                let record = image * ImageSet.recordBytes
                labels[image] = records[record]
                let target = pixels + image / lanes * values * lanes + image % lanes
                for value in 0..<values { target[value * lanes] = records[record + 1 + value] }
            }
        }
    }

    /// The pixels of a block, `[value, lane]`.
    func pixels(_ block: Int) -> UnsafePointer<UInt8> {
        UnsafePointer(pixels + block * ImageSet.imageBytes * lanes)
    }

    /// The labels of a block.
    func labels(_ block: Int) -> UnsafePointer<UInt8> { UnsafePointer(labels + block * lanes) }

    /// Images of a block that are there; 0 past the last block.
    func present(_ block: Int) -> Int { max(0, min(lanes, count - block * lanes)) }
}
