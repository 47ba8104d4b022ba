import Shared

/// A network as a Python module for PyTorch, to lie beside its safetensors file.
///
/// The module needs only `torch`: it reads the safetensors file itself. A state dict alone would not do, because a
/// pruned network's shapes and shortcuts are its own.
public struct PyTorchExport {
    private let network: Network

    /// An export of a network.
    public init(_ network: Network) { self.network = network }

    /// The module's text. `load()` returns the network with the parameters of `weights`, a safetensors file's name in
    /// the same folder, ready for evaluation.
    public func module(weights: String) throws -> String {
        let definition: String
        switch try Architecture(network.graph, for: "the PyTorch export") {
        case .residual(let residual): definition = Self.definition(residual)
        case .fullyConnected(let connected): definition = Self.definition(connected)
        }
        return """
            \"\"\"A network pruned by Winnow \(Version.number). `load()` returns it, ready for evaluation.\"\"\"

            import json
            import pathlib
            import struct

            import torch
            from torch import nn
            from torch.nn import functional

            \(definition)

            def read_safetensors(path):
                \"\"\"The tensors of a safetensors file of 32-bit floats, by name.\"\"\"
                data = pathlib.Path(path).read_bytes()
                (header_bytes,) = struct.unpack("<Q", data[:8])
                header = json.loads(data[8 : 8 + header_bytes])
                tensors = {}
                for name, entry in header.items():
                    if name == "__metadata__":
                        continue
                    start, end = (8 + header_bytes + offset for offset in entry["data_offsets"])
                    values = torch.frombuffer(bytearray(data[start:end]), dtype=torch.float32)
                    tensors[name] = values.reshape(entry["shape"])
                return tensors


            def load(path=pathlib.Path(__file__).with_name(\(PythonText.quoted(weights)))):
                \"\"\"The network with the parameters of a safetensors file.\"\"\"
                network = Network()
                missing, unexpected = network.load_state_dict(read_safetensors(path), strict=False)
                missing = [name for name in missing if not name.endswith("num_batches_tracked")]
                if missing or unexpected:
                    raise ValueError(f"{path} does not fit: missing {missing}, unexpected {unexpected}")
                return network.eval()

            """
    }

    private static func definition(_ architecture: CIFARResNet) -> String {
        let blocks = architecture.blocks.map { block in
            let shortcut = block.shortcut.map { $0.map(String.init) ?? "None" }.joined(separator: ", ")
            return """
                    (\(PythonText.quoted(block.name)), \(block.stride), \(block.input), \(block.hidden), \(block.output), [\(shortcut)]),
                """
        }
        return """
            #: Name, stride, channels in, hidden filters, channels out, and for every channel out the channel in that the
            #: shortcut adds to it.
            BLOCKS = [
            \(blocks.joined(separator: "\n"))
            ]


            class Block(nn.Module):
                def __init__(self, stride, inputs, hidden, outputs, shortcut):
                    super().__init__()
                    self.conv1 = nn.Conv2d(inputs, hidden, 3, stride=stride, padding=1, bias=False)
                    self.bn1 = nn.BatchNorm2d(hidden)
                    self.conv2 = nn.Conv2d(hidden, outputs, 3, padding=1, bias=False)
                    self.bn2 = nn.BatchNorm2d(outputs)
                    self.stride = stride
                    self.is_identity = shortcut == list(range(inputs))
                    # Channel `inputs` is one of zeros, for channels to which nothing is added.
                    sources = [inputs if source is None else source for source in shortcut]
                    self.register_buffer("sources", torch.tensor(sources), persistent=False)

                def forward(self, x):
                    y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
                    x = x[:, :, :: self.stride, :: self.stride]
                    if not self.is_identity:
                        x = functional.pad(x, (0, 0, 0, 0, 0, 1)).index_select(1, self.sources)
                    return functional.relu(y + x)


            class Network(nn.Module):
                \"\"\"Takes normalised images [batch, \(architecture.imageChannels), \(architecture.imageSize), \
            \(architecture.imageSize)] and returns logits [batch, \(architecture.classes)].\"\"\"

                def __init__(self):
                    super().__init__()
                    self.conv1 = nn.Conv2d(\(architecture.imageChannels), \(architecture.stem), 3, padding=1, bias=False)
                    self.bn1 = nn.BatchNorm2d(\(architecture.stem))
                    stages = {}
                    for name, *shape in BLOCKS:
                        stages.setdefault(name.split(".")[0], []).append(Block(*shape))
                    self.stages = list(stages)
                    for name, blocks in stages.items():
                        self.add_module(name, nn.Sequential(*blocks))
                    self.linear = nn.Linear(\(architecture.blocks.last?.output ?? architecture.stem), \
            \(architecture.classes))

                def forward(self, x):
                    x = functional.relu(self.bn1(self.conv1(x)))
                    for name in self.stages:
                        x = getattr(self, name)(x)
                    return self.linear(x.mean(dim=(2, 3)))

            """
    }

    private static func definition(_ architecture: LinearChain) -> String {
        let layers = architecture.layers.map { "    (\(PythonText.quoted($0.name)), \($0.input), \($0.output))," }
        return """
            #: Name, inputs and outputs of every linear layer.
            LAYERS = [
            \(layers.joined(separator: "\n"))
            ]


            class Network(nn.Module):
                \"\"\"Takes normalised images, flattened in channel, row, column order, and returns logits.\"\"\"

                def __init__(self):
                    super().__init__()
                    for name, inputs, outputs in LAYERS:
                        *path, last = name.split(".")
                        parent = self
                        for part in path:
                            if part not in parent._modules:
                                parent.add_module(part, nn.Module())
                            parent = parent.get_submodule(part)
                        parent.add_module(last, nn.Linear(inputs, outputs))

                def forward(self, x):
                    x = x.flatten(1)
                    for name, *_ in LAYERS[:-1]:
                        x = functional.relu(self.get_submodule(name)(x))
                    return self.get_submodule(LAYERS[-1][0])(x)

            """
    }
}
