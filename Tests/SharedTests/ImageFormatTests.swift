import Foundation
import TestSupport
import Testing

@testable import Shared

/// A folder that is removed at the end of a test.
final class ImageFolder {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent("winnow-images-\(UUID().uuidString)").path

    init() throws { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }
    deinit { try? FileManager.default.removeItem(atPath: path) }

    func write(_ bytes: [UInt8], _ name: String) throws {
        let file = URL(fileURLWithPath: "\(path)/\(name)")
        try FileManager.default.createDirectory(at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(bytes).write(to: file)
    }

    /// Opens the images; returns the complaint on failure.
    func complaint(_ name: String = "", format: ImageFormat? = nil, _ split: EvaluationSettings.Split = .test) -> String
    {
        do {
            _ = try ImageSource(name.isEmpty ? path : "\(path)/\(name)", format: format).open().read(split)
            return "no error"
        } catch {
            return "\(error)"
        }
    }
}

private func numbers(_ set: ImageSet) -> [Int] { (0..<set.count).map(set.label) }

@Suite struct IDXTests {
    static func images(_ count: Int, height: Int = 2, width: Int = 3) -> [UInt8] {
        [0, 0, 8, 3, 0, 0, 0, UInt8(count), 0, 0, 0, UInt8(height), 0, 0, 0, UInt8(width)]
            + (0..<count * height * width).map { UInt8($0) }
    }

    static func labels(_ labels: [UInt8]) -> [UInt8] { [0, 0, 8, 1, 0, 0, 0, UInt8(labels.count)] + labels }

    private func folder(in place: String = "") throws -> ImageFolder {
        let folder = try ImageFolder()
        try folder.write(Self.images(4), "\(place)train-images-idx3-ubyte")
        try folder.write(Self.labels([1, 0, 2, 1]), "\(place)train-labels-idx1-ubyte")
        try folder.write(Self.images(2), "\(place)t10k-images-idx3-ubyte")
        try folder.write(Self.labels([6, 0]), "\(place)t10k-labels-idx1-ubyte")
        return folder
    }

    @Test func theFilesAreReadWhereTorchvisionLeavesThem() throws {
        for place in ["", "raw/", "MNIST/raw/"] {
            let folder = try folder(in: place)
            let data = try ImageSource(folder.path).open()
            #expect(data.format == .idx && !data.mayBeMirrored && data.normalisation == .mnist)
            #expect(data.layout == ImageLayout(shape: Shape(channels: 1, height: 2, width: 3), classes: 7))
            let train = try data.read(.train, limit: 3)
            #expect(numbers(train) == [1, 0, 2])
            #expect(train.pixels(2).elementsEqual(12..<18))
            #expect(numbers(try data.read(.test)) == [6, 0])
        }
    }

    @Test func compressedFilesHoldTheSameImages() throws {
        let folder = try folder()
        let raw = try ImageSource(folder.path).open().read(.train)
        let gzip = try Process.run(
            URL(fileURLWithPath: "/usr/bin/env"),
            arguments: ["gzip", "-r", folder.path])
        gzip.waitUntilExit()
        #expect(gzip.terminationStatus == 0)
        #expect(InputFile.isReadable("\(folder.path)/train-images-idx3-ubyte.gz"))
        #expect(try ImageSource(folder.path).open().read(.train) == raw)
        var cut = [UInt8](try Data(contentsOf: URL(fileURLWithPath: "\(folder.path)/train-images-idx3-ubyte.gz")))
        cut.removeLast(12)
        try folder.write(cut, "train-images-idx3-ubyte.gz")
        #expect(folder.complaint("", .train).contains("cut short"))
    }

    @Test func oneOfSeveralDataSetsIsNamedByItsFilesBeginning() throws {
        let folder = try ImageFolder()
        for name in ["emnist-letters", "emnist-digits"] {
            try folder.write(Self.images(1), "\(name)-train-images-idx3-ubyte")
            try folder.write(Self.labels([name == "emnist-digits" ? 9 : 26]), "\(name)-train-labels-idx1-ubyte")
        }
        #expect(folder.complaint().contains("several data sets"))
        #expect(folder.complaint().contains("\(folder.path)/emnist-digits, \(folder.path)/emnist-letters"))
        let letters = try ImageSource("\(folder.path)/emnist-letters").open()
        #expect(letters.layout.classes == 27)
        #expect(folder.complaint("emnist-letters").contains("has no t10k"))
    }

    @Test func moreClassesThanHaveImagesAreAsked() throws {
        let folder = try folder()
        let data = try ImageSource(folder.path, classes: 10).open()
        #expect(data.layout.classes == 10)
        #expect(try data.read(.train).layout.classes == 10)
        #expect(throws: Failure.self) { try ImageSource(folder.path, classes: 6).open() }
    }

    @Test func filesThatAreCutShortOrContradictEachOtherAreRefused() throws {
        let folder = try folder()
        try folder.write(Array(Self.images(4).dropLast()), "train-images-idx3-ubyte")
        #expect(folder.complaint("", .train).contains("train-images-idx3-ubyte is cut short"))
        try folder.write(Self.images(3), "train-images-idx3-ubyte")
        #expect(folder.complaint().contains("has 3 images, but"))
        try folder.write([0, 0, 8, 3, 0, 0, 0, 4, 255, 255, 255, 255, 255, 255, 255, 255], "train-images-idx3-ubyte")
        #expect(folder.complaint().contains("cannot hold the 4 images"))
        try folder.write([0, 0, 13, 3] + [UInt8](repeating: 0, count: 40), "train-images-idx3-ubyte")
        #expect(folder.complaint().contains("is not an IDX file of bytes in 3 dimensions"))
        try folder.write([0, 0], "train-images-idx3-ubyte")
        #expect(folder.complaint().contains("cut short"))
    }
}

@Suite struct NumpyTests {
    private func write(
        _ folder: ImageFolder, _ name: String, _ type: String, _ shape: [Int], _ bytes: [UInt8]
    ) throws { try folder.write(NumpyArray.header(type, shape: shape) + bytes, "\(name).npy") }

    @Test func arraysOfAFolderAreReadInEveryOrderOfTheirAxes() throws {
        for (shape, expected) in [
            ([2, 3, 1, 2], Array(0..<12)), ([2, 1, 2, 3], [0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11]),
            ([2, 2, 3], Array(0..<12)),
        ] {
            let folder = try ImageFolder()
            try write(folder, "images", "|u1", shape, (0..<12).map { UInt8($0) })
            try write(folder, "labels", "<i8", [2], [4, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0])
            let set = try ImageSource(folder.path).open().read(.train)
            // [2, 1, 2, 3] has channels last only if its second extent is not a number of channels, and 1 is one.
            let expected = shape == [2, 1, 2, 3] ? Array(0..<12) : expected
            #expect((set.pixels(0) + set.pixels(1)).map(Int.init) == expected)
            #expect(numbers(set) == [4, 1] && set.layout.classes == 5)
        }
    }

    @Test func channelsThatComeLastAreMovedToTheFront() throws {
        let folder = try ImageFolder()
        try write(folder, "images", "|u1", [1, 2, 2, 3], (0..<12).map { UInt8($0) })
        try write(folder, "labels", "|u1", [1], [0])
        let set = try ImageSource(folder.path).open().read(.test)
        #expect(set.layout.shape == Shape(channels: 3, height: 2, width: 2))
        #expect(Array(set.pixels(0)) == [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8, 11])
    }

    @Test func floatsAreInputsAsTheyAreAndMustBeNumbers() throws {
        let folder = try ImageFolder()
        func bytes(_ values: [Float]) -> [UInt8] { values.flatMap { withUnsafeBytes(of: $0, Array.init) } }
        try write(folder, "train_images", "<f4", [2, 1, 1, 2], bytes([0.5, -1, 2, 3]))
        try write(folder, "train_labels", "<i4", [2, 1], [1, 0, 0, 0, 0, 0, 0, 0])
        let data = try ImageSource(folder.path).open()
        #expect(data.normalisation == .none && data.layout.pixelType == .float32)
        #expect(try data.read(.train).input(1, .none) == [2, 3])
        #expect(folder.complaint("", .test).contains("has no test_images"))
        try write(folder, "train_images", "<f4", [2, 1, 1, 2], bytes([0.5, -1, .nan, 3]))
        #expect(folder.complaint("", .train).contains("image 1 is nan at channel 0, row 0, column 0"))
    }

    @Test func arraysThatAreNoImagesOrLabelsAreRefusedWithWhatToDo() throws {
        let folder = try ImageFolder()
        func complaint(
            images: (type: String, shape: [Int]) = ("|u1", [1, 1, 1]), bytes: [UInt8] = [1],
            labels: (type: String, shape: [Int]) = ("|u1", [1]), labelBytes: [UInt8] = [0]
        ) throws -> String {
            try write(folder, "images", images.type, images.shape, bytes)
            try write(folder, "labels", labels.type, labels.shape, labelBytes)
            return folder.complaint()
        }
        #expect(try complaint() == "no error")
        #expect(try complaint(images: ("|O", [1, 1, 1])).contains("holds Python objects, which are never read"))
        #expect(
            try complaint(images: ("<f8", [1, 1, 1]), bytes: [0, 0, 0, 0, 0, 0, 0, 0]).contains("neither uint8 nor"))
        #expect(try complaint(images: (">f4", [1, 1, 1])).contains("big-endian"))
        #expect(try complaint(images: ("<U4", [1, 1, 1])).contains("values of type <U4"))
        #expect(try complaint(images: ("|u1", [1])).contains("has the shape [1], but [N, C, H, W]"))
        #expect(try complaint(images: ("|u1", [1, 1, 200])).contains("cannot hold the 200 bytes"))
        #expect(try complaint(images: ("|u1", [1, 1, 2])).contains("cut short: 2 bytes are needed, but 1 are left"))
        #expect(try complaint(images: ("|u1", [1 << 40, 1 << 40, 1])).contains("too large"))
        #expect(try complaint(labels: ("<f4", [1]), labelBytes: [0, 0, 0, 0]).contains("labels must be integers"))
        #expect(try complaint(labels: ("|i1", [1]), labelBytes: [255]).contains("image 0 has label -1"))
        #expect(try complaint(labels: ("|u1", [2]), labelBytes: [0, 0]).contains("not one label for each of 1 images"))
        var fortran = NumpyArray.header("|u1", shape: [1, 1, 1])
        fortran.replaceSubrange(try #require(fortran.firstRange(of: Array("False".utf8))), with: Array("True ".utf8))
        try folder.write(fortran + [1], "images.npy")
        #expect(folder.complaint().contains("in Fortran order; convert it with np.ascontiguousarray"))
        _ = try complaint()
        try FileManager.default.removeItem(atPath: "\(folder.path)/labels.npy")
        #expect(folder.complaint().contains("has images without labels"))
    }

    @Test func imagesWithoutLabelsAreOfAsManyClassesAsANetworkTells() throws {
        let folder = try ImageFolder()
        try write(folder, "images", "|u1", [2, 1, 2, 2], [1, 2, 3, 4, 5, 6, 7, 8])
        let opened = try ImageSource(folder.path).open(needsLabels: false)
        #expect(!opened.hasLabels)
        let graph = try RandomGraphs.graph(seed: 1)
        let data = try opened.fitting(graph)
        #expect(data.source.classes == graph.classes)
        let set = try data.read(.test)
        #expect(set.layout.classes == graph.classes && set.count == 2 && (0..<2).allSatisfy { set.label($0) == 0 })
        #expect(set.pixels(1).elementsEqual([5, 6, 7, 8] as [UInt8]))
        // The run file's description of them opens the same set.
        #expect(try data.source.open(needsLabels: false).read(.test) == set)
        try write(folder, "labels", "|u1", [2], [0, 1])
        #expect(try ImageSource(folder.path).open(needsLabels: false).fitting(graph).layout.classes == 2)
    }

    @Test(.enabled(if: Python.canImport("numpy"), "no NumPy"), arguments: ["savez", "savez_compressed"])
    func whatNumpyWritesIsReadValueForValue(_ function: String) throws {
        let folder = try ImageFolder()
        let program = """
            import sys, numpy as np
            folder, function = sys.argv[1:]
            g = np.random.default_rng(1)
            images = g.integers(0, 256, (7, 5, 6, 3), dtype=np.uint8)
            labels = g.integers(0, 300, 7)
            getattr(np, function)(folder + "/images.npz", train_images=images, train_labels=labels,
                test_images=images[:2, ::-1].copy(), test_labels=labels[:2].astype(np.uint16), classes=np.array(300),
                mean=np.array([.1, .2, .3]), deviation=np.array([1, 2, 3], np.float32))
            sys.stdout.buffer.write(images.transpose(0, 3, 1, 2).tobytes() + labels.astype("<i4").tobytes())
            """
        let (status, output) = try Python.run(program, [folder.path, function])
        #expect(status == 0)
        let data = try ImageSource("\(folder.path)/images.npz").open()
        #expect(data.layout.description == "3 × 5 × 6 in 300 classes")
        #expect(data.normalisation == Normalisation(mean: [0.1, 0.2, 0.3], deviation: [1, 2, 3]))
        let set = try data.read(.train)
        let pixels = set.withPixels { Array($0) }
        let labels = set.withLabels { Array(UnsafeRawBufferPointer($0)) }
        #expect(pixels + labels == Array(output))
        #expect(try data.read(.train, limit: 3) == set.subset(0..<3))
        #expect(try data.count(.test) == 2)
    }

    @Test(.enabled(if: Python.canImport("numpy"), "no NumPy"))
    func anArrayInFortransOrderOrOfObjectsIsRefused() throws {
        let folder = try ImageFolder()
        let program = """
            import sys, numpy as np
            np.savez(sys.argv[1] + "/fortran.npz", images=np.asfortranarray(np.zeros((2, 3, 4), np.uint8)),
                labels=np.zeros(2, int))
            np.savez(sys.argv[1] + "/objects.npz", images=np.zeros((2, 3, 4), np.uint8),
                labels=np.array(["a", None], object))
            """
        #expect(try Python.run(program, [folder.path]).status == 0)
        #expect(folder.complaint("fortran.npz").contains("in Fortran order; convert it with np.ascontiguousarray"))
        #expect(folder.complaint("objects.npz").contains("holds Python objects"))
    }
}

@Suite struct CIFARPythonTests {
    /// A batch as Python 2 pickled it: protocol 2, texts and bytes as `str`.
    static func batch(_ labels: [(name: String, values: [UInt8])], pixels: [UInt8], type: String = "u1") -> [UInt8] {
        func text(_ text: String) -> [UInt8] { [UInt8(ascii: "U"), UInt8(text.utf8.count)] + Array(text.utf8) }
        func number(_ number: Int, _ bytes: Int) -> [UInt8] { (0..<bytes).map { UInt8(number >> (8 * $0) & 255) } }
        func integer(_ value: Int) -> [UInt8] { [UInt8(ascii: "J")] + number(value, 4) }
        var bytes: [UInt8] = [0x80, 2, UInt8(ascii: "}"), UInt8(ascii: "(")]
        bytes += text("batch_label") + text("training batch 1 of 5")
        for (name, values) in labels {
            bytes += text(name) + Array("](".utf8)
            bytes += values.flatMap { [UInt8(ascii: "K"), $0] } + Array("e".utf8)
        }
        bytes += text("data") + Array("cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n".utf8)
        bytes += [UInt8(ascii: "K"), 0, 0x85] + text("b") + [0x87] + Array("R(".utf8)
        bytes += integer(1) + integer(pixels.count / 3072) + integer(3072) + [0x86] + Array("cnumpy\ndtype\n".utf8)
        bytes += text(type) + integer(0) + integer(1) + [0x87] + Array("R(".utf8) + integer(3) + text("|")
        bytes += Array("NNN".utf8) + integer(-1) + integer(-1) + integer(0) + Array("tb".utf8) + [0x89]
        bytes += [UInt8(ascii: "T")] + number(pixels.count, 4) + pixels + Array("tbu.".utf8)
        return bytes
    }

    static func pixels(_ count: Int, seed: UInt64) -> [UInt8] {
        var generator = SeededGenerator(seed: seed)
        return (0..<count * 3072).map { _ in UInt8.random(in: 0...255, using: &generator) }
    }

    @Test func theBatchesThatTorchvisionDownloadsAreReadAsTheyLie() throws {
        let folder = try ImageFolder()
        let place = "cifar-10-batches-py"
        let parts = (1...2).map { Self.pixels(3, seed: $0) }
        for (number, pixels) in parts.enumerated() {
            let labels: [UInt8] = [UInt8(number), 9, 4]
            try folder.write(
                Self.batch([("labels", labels)], pixels: pixels), "\(place)/data_batch_\(number + 1)")
        }
        try folder.write(Self.batch([("labels", [7])], pixels: Self.pixels(1, seed: 9)), "\(place)/test_batch")
        let data = try ImageSource(folder.path).open()
        #expect(data.format == .cifar10 && data.layout == CIFAR10.layout && data.normalisation == .standard)
        let train = try data.read(.train)
        #expect(numbers(train) == [0, 9, 4, 1, 9, 4])
        #expect(train.withPixels { Array($0) } == parts[0] + parts[1])
        #expect(try data.read(.train, limit: 4) == train.subset(0..<4))
        #expect(numbers(try data.read(.test)) == [7])

        // The binary version of the same images is the same set.
        let binary = try ImageFolder()
        try binary.write(CIFAR10.records(of: train), "data_batch_1.bin")
        #expect(try ImageSource(binary.path).open().read(.train) == train)
    }

    @Test func eitherLabelsOfCIFAR100AreRead() throws {
        let folder = try ImageFolder()
        let names = [(name: "fine_labels", values: [UInt8(99), 3]), (name: "coarse_labels", values: [UInt8(19), 0])]
        let pixels = Self.pixels(2, seed: 1)
        try folder.write(Self.batch(names, pixels: pixels), "cifar-100-python/train")
        try folder.write(
            [19, 99] + pixels[..<3072] + [0, 3] + pixels[3072...], "binary/cifar-100-binary/train.bin")
        for path in [folder.path, "\(folder.path)/binary"] {
            let fine = try ImageSource(path).open()
            #expect(fine.format == .cifar100 && fine.layout.classes == 100 && fine.normalisation == .cifar100)
            #expect(numbers(try fine.read(.train)) == [99, 3])
            let coarse = try ImageSource(path, cifar100Labels: .coarse).open().read(.train)
            #expect(coarse.layout.classes == 20 && numbers(coarse) == [19, 0])
            #expect(coarse.withPixels { Array($0) } == pixels)
        }
        #expect(folder.complaint().contains("cifar-100-python/test is missing"))
    }

    @Test func picklesThatAreNoBatchesAreRefused() throws {
        let folder = try ImageFolder()
        func complaint(_ bytes: [UInt8]) throws -> String {
            try folder.write(bytes, "test_batch")
            return folder.complaint()
        }
        let pixels = Self.pixels(1, seed: 1)
        let whole = Self.batch([("labels", [1])], pixels: pixels)
        #expect(try complaint(whole) == "no error")
        #expect(try complaint(Array(whole.dropLast(9))).contains("test_batch: the file is cut short"))
        #expect(try complaint(Self.batch([("fine_labels", [1])], pixels: pixels)).contains("has no labels"))
        #expect(try complaint(Self.batch([("labels", [10])], pixels: pixels)).contains("image 0 has label 10"))
        #expect(try complaint(Self.batch([("labels", [1, 2])], pixels: pixels)).contains("for each of 2 labels"))
        #expect(try complaint(Self.batch([("labels", [1])], pixels: pixels, type: "f4")).contains("its data is not"))
        #expect(try complaint(Array("cos\nsystem\n(U\u{2}lstR.".utf8)).contains("not a dictionary"))
        #expect(try complaint([0x80, 2, UInt8(ascii: "N"), UInt8(ascii: ".")]).contains("not a dictionary"))
    }
}

@Test func aFolderOfSeveralFormsAsksWhichOneIsMeant() throws {
    let folder = try ImageFolder()
    try folder.write(IDXTests.images(1), "MNIST/raw/t10k-images-idx3-ubyte")
    try folder.write(IDXTests.labels([3]), "MNIST/raw/t10k-labels-idx1-ubyte")
    try folder.write([UInt8](repeating: 1, count: CIFAR10.recordBytes), "cifar-10-batches-bin/test_batch.bin")
    #expect(folder.complaint().contains("holds cifar10 and idx; choose one with --data-format"))
    #expect(try ImageSource(folder.path, format: .idx).open().read(.test).label(0) == 3)
    #expect(try ImageSource(folder.path, format: .cifar10).open().read(.test).label(0) == 1)
    #expect(folder.complaint(format: .numpy).contains("holds no numpy images"))
    #expect(folder.complaint("nowhere").contains("does not exist"))
}
