import Foundation
import Shared

/// `winnow-demo images`: writes the demonstration's images.
struct Images: Command {
    static let description = CommandDescription(
        name: "images", summary: "write synthetic images in ten classes in CIFAR-10's binary format",
        discussion: """
            Writes data_batch_1.bin, data_batch_2.bin, … and test_batch.bin to a folder. The same options give the same \
            bytes on every machine. demo/resnet.safetensors was trained on the default images:

                winnow-demo images --output demo-images
                winnow-worker evaluate --model demo/resnet.safetensors --data demo-images …
            """)

    @Option("Folder to write to, created if missing.", value: "DIR") var output: String
    @Option("Seed of all images.", value: "N") var seed: UInt64 = 1
    @Option("Training images.", value: "N") var train: Int = 10_000
    @Option("Test images.", value: "N") var test: Int = 2_000

    /// Images in one training batch, and the most test images.
    private static let batchImages = 10_000
    private static let batchesMax = 5

    func validate() throws {
        guard (1...Self.batchImages * Self.batchesMax).contains(train) else {
            throw Failure(.usage, "--train must be 1 to \(Self.batchImages * Self.batchesMax)")
        }
        guard (1...Self.batchImages).contains(test) else {
            throw Failure(.usage, "--test must be 1 to \(Self.batchImages)")
        }
    }

    func run() throws {
        let images = DemonstrationImages(seed: seed)
        do {
            try FileManager.default.createDirectory(atPath: output, withIntermediateDirectories: true)
        } catch {
            throw Failure(.unavailable, "cannot make the folder \(output): \(error.localizedDescription)")
        }
        for (index, start) in stride(from: 0, to: train, by: Self.batchImages).enumerated() {
            let range = start..<min(start + Self.batchImages, train)
            try write(images, .train, range, name: "data_batch_\(index + 1).bin")
        }
        try write(images, .test, 0..<test, name: "test_batch.bin")
        print("\(train) training and \(test) test images are in \(output)")
    }

    private func write(
        _ images: DemonstrationImages, _ split: EvaluationSettings.Split, _ range: Range<Int>, name: String
    ) throws {
        let records = range.flatMap { images.record(split, $0) }
        let path = "\(output)/\(name)"
        do {
            try Data(records).write(to: URL(fileURLWithPath: path), options: .atomic)
        } catch {
            throw Failure(.unavailable, "cannot write \(path): \(error.localizedDescription)")
        }
    }
}

/// The program `winnow-demo`.
public let demonstrationProgram = Program(
    name: "winnow-demo", summary: "generate images to try Winnow with",
    version: Version.number, commands: [Images.self])
