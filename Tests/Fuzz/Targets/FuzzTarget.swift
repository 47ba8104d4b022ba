import Shared

/// The fuzz targets: each reads bytes that an attacker could have made. Bad input must end in a ``Failure``, never in a
/// crash, and accepted input must come back equal when it is written.
///
/// A new target only needs a new case and a folder of its name in `Tests/Fuzz/corpus`.
public enum FuzzTarget: String, CaseIterable, Sendable {
    /// PyTorch's old format: the pickle reader.
    case pickle
    /// PyTorch's zip format.
    case zip
    case safetensors
    /// Networks in ONNX files.
    case onnx
    /// CIFAR-10 batches, and image sets as they travel.
    case images
    /// NumPy's arrays.
    case numpy
    /// NumPy's archives of arrays as a set of images.
    case numpyArchive
    /// MNIST's pairs of files, raw and compressed.
    case idx
    /// CIFAR's pickled batches.
    case cifarPython
    /// JPEG, PNG and WebP.
    case pictures
    /// Mask files.
    case masks
    /// Messages between workers and the coordinator.
    case wire
    /// Run files: the whole file, or any value in any column.
    case runFile
    /// Files to resume a training from.
    case trainingFile
    /// A coordinator's scheduler among hostile peers.
    case scheduler
    /// A coordinator's scheduler of a training among hostile peers.
    case steps
    /// A worker's protocol before a hostile coordinator.
    case worker

    /// Reads one input. Stops the process if something is wrong.
    public func run(_ bytes: [UInt8]) {
        do {
            switch self {
            case .pickle: try checkpoint(bytes, beginning: [0x80])
            case .zip: try checkpoint(bytes, beginning: [0x50, 0x4B])
            case .safetensors: try checkpoint(bytes, beginning: [])
            case .onnx: try onnx(bytes)
            case .images: try images(bytes)
            case .numpy: try numpy(bytes)
            case .numpyArchive: try numpyArchive(bytes)
            case .idx: try idx(bytes)
            case .cifarPython: try cifarPython(bytes)
            case .pictures: try pictures(bytes)
            case .masks: try masks(bytes)
            case .wire: wire(bytes)
            case .runFile: try runFile(bytes)
            case .trainingFile: try trainingFile(bytes)
            case .scheduler: scheduler(bytes)
            case .steps: steps(bytes)
            case .worker: worker(bytes)
            }
        } catch let failure as Failure {
            precondition(failure.kind == .badInput, "not a complaint about the input: \(failure)")
            precondition(!failure.description.isEmpty, "a failure says what is wrong")
        } catch {
            preconditionFailure("not a Failure: \(error)")
        }
    }

    private func checkpoint(_ bytes: [UInt8], beginning: [UInt8]) throws {
        guard bytes.starts(with: beginning) else { return }
        let network = try Checkpoint.network(bytes: bytes, name: "input")
        let written = Checkpoint.safetensors(of: network)
        let again = try? Checkpoint.network(bytes: written, name: "written")
        precondition(again == network, "comes back changed")
        precondition(network.graph.cost().parameters > 0, "a network has parameters")
    }

    private func onnx(_ bytes: [UInt8]) throws {
        let network = try Onnx.network(bytes: bytes, name: "input")
        precondition(Onnx.matches(bytes), "what is read is recognised")
        let parameters = network.graph.parameters
        precondition(network.parameters.count == parameters.count, "every parameter has a name of its own")
        for parameter in parameters {
            precondition(network.parameters[parameter.name]?.shape == parameter.shape, "a parameter has its shape")
        }
    }

    private func images(_ bytes: [UInt8]) throws {
        if let set = try? ImageSet(blob: bytes, name: "input") {
            for image in 0..<set.count { precondition(set.label(image) < set.layout.classes, "a label is a class") }
        }
        let images = try CIFAR10.images(bytes: bytes, name: "input")
        let again = try? ImageSet(blob: images.blob, name: "written")
        precondition(again == images && CIFAR10.records(of: images) == bytes, "comes back changed")
    }

    private func masks(_ bytes: [UInt8]) throws {
        let space = Self.space
        let masks = try MaskFile.read(bytes, name: "input", for: space)
        let written = masks.map { "{\"disabled\":\(MaskFile.text(of: $0, in: space))}" }.joined(separator: ",")
        let again = try? MaskFile.read(Array("{\"masks\":[\(written)]}".utf8), name: "written", for: space)
        precondition(again == masks, "comes back changed")
    }

    /// The input is a message's type and fields; the frame around them is corrected, so decoding reaches the fields.
    private func wire(_ bytes: [UInt8]) {
        guard bytes.count + 16 <= Wire.messageBytesMax else { return }
        let frame = Wire.frame(type: bytes.first ?? 0, fields: bytes.dropFirst())
        for input in [bytes, frame] {
            if let message = try? WorkerMessage(decoding: input) {
                precondition(message.encoded() == input, "a worker's message comes back changed")
            }
            if let message = try? CoordinatorMessage(decoding: input) {
                let again = try? CoordinatorMessage(decoding: message.encoded())
                precondition(again == message, "a coordinator's message comes back changed")
            }
        }
    }

    /// The filters of a small network, whose layers the masks of the corpus name.
    private static let space: FilterSpace = {
        let blocks = ["layer1.0", "layer1.1"].map { name in
            CIFARResNet.Block(
                name: name, stride: 1, input: 16, hidden: 70, output: 16, shortcut: (0..<16).map { $0 })
        }
        return FilterSpace(.residual(CIFARResNet(stem: 16, blocks: blocks, classes: 10)))
    }()
}
