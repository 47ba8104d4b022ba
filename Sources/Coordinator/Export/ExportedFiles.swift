import Foundation
import Shared

/// The files that a pruned network is written to. Each appears whole or not at all.
struct PrunedFiles {
    /// The safetensors file.
    var output: String
    /// The ONNX model.
    var onnx: String?
    /// The folder of the PyTorch module.
    var pytorch: String?

    /// Writes them all. Throws `.unavailable` where one cannot be written.
    func write(_ network: Network, normalisation: Normalisation) throws {
        let safetensors = Data(Checkpoint.safetensors(of: network))
        try Self.write(safetensors, to: output)
        if let onnx { try Self.write(Data(OnnxExport(network, normalisation: normalisation).bytes), to: onnx) }
        if let pytorch {
            do {
                try FileManager.default.createDirectory(atPath: pytorch, withIntermediateDirectories: true)
            } catch { throw Failure(.unavailable, "cannot make the folder \(pytorch): \(error.localizedDescription)") }
            try Self.write(safetensors, to: pytorch + "/network.safetensors")
            let module = PyTorchExport(network).module(weights: "network.safetensors")
            try Self.write(Data(module.utf8), to: pytorch + "/network.py")
        }
    }

    /// Writes one file. Throws `.unavailable` where that fails.
    static func write(_ data: Data, to path: String) throws {
        do { try data.write(to: URL(fileURLWithPath: path), options: .atomic) } catch {
            throw Failure(.unavailable, "cannot write \(path): \(error.localizedDescription)")
        }
    }
}
