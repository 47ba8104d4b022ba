import Foundation
import Shared

/// The files that a network is written to. Each appears whole or not at all.
struct ExportedFiles {
    /// The safetensors file; nil for none.
    var safetensors: String?
    /// The ONNX model.
    var onnx: String?
    /// The folder of the Python package.
    var pytorch: String?

    /// What is in the package: the weights, the module that reads them, and what makes the folder a package, so that
    /// two exported networks can be imported by one program.
    static let packageFiles = ["network.safetensors", "network.py", "__init__.py"]

    /// Writes them all. Throws `.unavailable` where one cannot be written.
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
