import Foundation
import Shared

/// The files that a network is written to. Each appears only when complete.
struct ExportedFiles {
    /// The safetensors file; nil for none.
    var safetensors: String?
    /// The ONNX model.
    var onnx: String?
    /// The folder of the Python package.
    var pytorch: String?

    /// The package: the weights, the module that reads them, and the file that makes the folder a package, so one
    /// program can import two exported networks.
    static let packageFiles = ["network.safetensors", "network.py", "__init__.py"]

    /// Writes them all. Throws `.unavailable` if one cannot be written.
    func write(_ network: Network) throws {
        let bytes = Checkpoint.safetensors(of: network)
        if let safetensors { try OutputFile.write(bytes, to: safetensors) }
        if let onnx { try OutputFile.write(OnnxExport(network).bytes, to: onnx) }
        if let pytorch {
            try OutputGuard.prepareFolder(pytorch)
            let contents = [
                bytes, Array(PyTorchExport(network).module(weights: Self.packageFiles[0]).utf8),
                Array("from .network import Network, load  # noqa: F401\n".utf8),
            ]
            for (file, bytes) in zip(Self.packageFiles, contents) {
                try OutputFile.write(bytes, to: "\(pytorch)/\(file)")
            }
        }
    }
}
