import Foundation
import TestSupport
import Testing

@testable import Shared

/// Data sets in torchvision's places, value for value as torchvision reads them. The files are synthetic: nothing is
/// downloaded, so the checks of downloads are left out.
@Suite struct TorchvisionDataTests {
    private static let isPresent = Python.canImport("numpy", "torch", "torchvision")

    /// Writes images as `write` says, has torchvision read both splits, and compares.
    private func compare(_ program: String, _ format: ImageFormat) throws {
        let folder = try ImageFolder()
        let script = """
            import gzip, os, pickle, struct, sys
            import numpy as np
            from torchvision import datasets
            root = sys.argv[1]
            g = np.random.default_rng(3)
            \(program)
            for dataset in train, test:
                pixels = np.asarray(dataset.data)
                pixels = pixels[:, None] if pixels.ndim == 3 else pixels.transpose(0, 3, 1, 2)
                sys.stdout.buffer.write(np.asarray(dataset.targets).astype("<i4").tobytes() + pixels.tobytes())
            """
        let (status, output) = try Python.run(script, [folder.path])
        try #require(status == 0, "torchvision cannot read what was written")
        let data = try ImageSource(folder.path).open()
        #expect(data.format == format)
        let read = try [EvaluationSettings.Split.train, .test].flatMap { split in
            let set = try data.read(split)
            #expect(set.count > 0)
            return set.withLabels { Array(UnsafeRawBufferPointer($0)) } + set.withPixels { Array($0) }
        }
        #expect(read == Array(output))
    }

    @Test(.enabled(if: isPresent, "no torchvision"), arguments: ["MNIST", "FashionMNIST", "KMNIST"], [false, true])
    func idxFilesHoldWhatTorchvisionReads(set: String, isCompressed: Bool) throws {
        // torchvision reads the raw files and keeps the compressed ones beside them.
        let compression = """
                if \(isCompressed ? "True" : "False"):
                    os.rename(path, path + ".kept")
                    with gzip.open(path + ".gz", "wb") as file:
                        file.write(open(path + ".kept", "rb").read())
            """
        let program = """
            folder = f"{root}/\(set)/raw"
            os.makedirs(folder)
            paths = []
            for name, count in (("train", 7), ("t10k", 4)):
                for kind, array in (
                        ("images-idx3", g.integers(0, 256, (count, 28, 28))), ("labels-idx1", g.integers(0, 10, count))):
                    paths.append(f"{folder}/{name}-{kind}-ubyte")
                    with open(paths[-1], "wb") as file:
                        file.write(struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape))
                        file.write(array.astype(np.uint8).tobytes())
            train, test = (datasets.\(set)(root, train=part) for part in (True, False))
            for path in paths:
            \(compression)
            """
        try compare(program, .idx)
    }

    @Test(.enabled(if: isPresent, "no torchvision"), arguments: [3, 4])
    func cifarsPythonBatchesHoldWhatTorchvisionReads(pickleProtocol: Int) throws {
        let program = """
            folder = f"{root}/cifar-10-batches-py"
            os.makedirs(folder)
            class Unchecked(datasets.CIFAR10):
                meta = {"filename": "batches.meta", "key": "label_names", "md5": None}
                def _check_integrity(self):
                    return True
            def save(name, value):
                with open(f"{folder}/{name}", "wb") as file:
                    pickle.dump(value, file, protocol=\(pickleProtocol))
            for number, (name, _) in enumerate(Unchecked.train_list + Unchecked.test_list):
                count = 3 + number
                save(name, {
                    "batch_label": name, "labels": g.integers(0, 10, count).tolist(),
                    "data": g.integers(0, 256, (count, 3072)).astype(np.uint8), "filenames": ["a.png"] * count})
            save("batches.meta", {"label_names": [str(number) for number in range(10)]})
            train, test = Unchecked(root, train=True), Unchecked(root, train=False)
            """
        try compare(program, .cifar10)
    }
}
