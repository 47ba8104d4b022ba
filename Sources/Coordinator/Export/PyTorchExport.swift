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
    public func module(weights: String) -> String {
        let definition: String
        switch network.architecture {
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


            def place(name):
                \"\"\"The name in the network of a tensor of the file.\"\"\"
                layer = max((layer for layer in PLACES if name.startswith(layer + ".")), key=len, default=None)
                return name if layer is None else PLACES[layer] + name[len(layer) :]


            def load(path=pathlib.Path(__file__).with_name(\(PythonText.quoted(weights)))):
                \"\"\"The network with the parameters of a safetensors file.\"\"\"
                network = Network()
                tensors = {place(name): tensor for name, tensor in read_safetensors(path).items()}
                missing, unexpected = network.load_state_dict(tensors, strict=False)
                missing = [name for name in missing if not name.endswith("num_batches_tracked")]
                if missing or unexpected:
                    raise ValueError(f"{path} does not fit: missing {missing}, unexpected {unexpected}")
                return network.eval()

            """
    }

    private static func definition(_ architecture: ResidualArchitecture) -> String {
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


            #: Where the tensors of each block are: attributes have names of their own, whatever the file's are.
            PLACES = {name: f"blocks.{index}" for index, (name, *_) in enumerate(BLOCKS)}


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
                        x = functional.pad(x, [0, 0, 0, 0, 0, 1]).index_select(1, self.sources)
                    return functional.relu(y + x)


            class Network(nn.Module):
                \"\"\"Takes normalised images [batch, \(architecture.imageChannels), \(architecture.imageSize), \
            \(architecture.imageSize)] and returns logits [batch, \(architecture.classes)].\"\"\"

                def __init__(self):
                    super().__init__()
                    self.conv1 = nn.Conv2d(\(architecture.imageChannels), \(architecture.stem), 3, padding=1, bias=False)
                    self.bn1 = nn.BatchNorm2d(\(architecture.stem))
                    self.blocks = nn.ModuleList(Block(*shape) for _, *shape in BLOCKS)
                    self.linear = nn.Linear(\(architecture.blocks.last?.output ?? architecture.stem), \
            \(architecture.classes))

                def forward(self, x):
                    x = functional.relu(self.bn1(self.conv1(x)))
                    for block in self.blocks:
                        x = block(x)
                    return self.linear(x.mean(dim=[2, 3]))

            """
    }

    private static func definition(_ architecture: FullyConnectedArchitecture) -> String {
        let layers = architecture.layers.map { "    (\(PythonText.quoted($0.name)), \($0.input), \($0.output))," }
        return """
            #: Name, inputs and outputs of every linear layer.
            LAYERS = [
            \(layers.joined(separator: "\n"))
            ]


            #: Where the tensors of each layer are: attributes have names of their own, whatever the file's are.
            PLACES = {name: f"layers.{index}" for index, (name, *_) in enumerate(LAYERS)}


            class Network(nn.Module):
                \"\"\"Takes normalised images, flattened in channel, row, column order, and returns logits.\"\"\"

                def __init__(self):
                    super().__init__()
                    self.layers = nn.ModuleList(nn.Linear(inputs, outputs) for _, inputs, outputs in LAYERS)
                    self.last = len(LAYERS) - 1

                def forward(self, x):
                    x = x.flatten(1)
                    for index, layer in enumerate(self.layers):
                        x = layer(x)
                        if index < self.last:
                            x = functional.relu(x)
                    return x

            """
    }
}
