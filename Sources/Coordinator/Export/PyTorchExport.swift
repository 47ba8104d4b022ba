import Shared

/// A network as a Python module for PyTorch, next to its safetensors file.
///
/// The module needs only `torch`: it builds the network from plain `torch.nn` layers with the names in the checkpoint,
/// and reads the safetensors file itself. A state dict alone would not do, because a pruned network's shapes and
/// shortcuts are unique.
public struct PyTorchExport {
    private let network: Network
    private let names: ModuleNames

    /// An export of a network.
    public init(_ network: Network) {
        self.network = network
        names = ModuleNames(network.graph)
    }

    /// The module's text. `load()` returns the network with the parameters of `weights`, a safetensors file's name in
    /// the same folder, ready for evaluation.
    public func module(weights: String) -> String {
        let graph = network.graph
        let image = graph.imageShape
        let indices = graph.nodes.indices.dropFirst()
        let layers = indices.compactMap(layer)
        let statements = indices.map { "        \(value($0)) = \(expression($0))" }
        let renamed = names.renamed.map { "    \(PythonText.quoted($0.key)): \(PythonText.quoted($0.value))," }.sorted()
        return """
            \"\"\"A network pruned by Winnow \(Version.number). `load()` returns it, ready for evaluation.\"\"\"

            import json
            import pathlib
            import struct

            import torch
            from torch import nn
            from torch.nn import functional

            #: Layers whose names in the file a module cannot have: the name in the file, and the name here.
            RENAMED = {
            \(renamed.joined(separator: "\n"))
            }


            class Affine(nn.Module):
                \"\"\"`weight * x + bias` for each channel.\"\"\"

                def __init__(self, channels: int, dimensions: int):
                    super().__init__()
                    self.shape = [-1] + [1] * dimensions
                    self.weight = nn.Parameter(torch.ones(channels))
                    self.bias = nn.Parameter(torch.zeros(channels))

                def forward(self, x):
                    return x * self.weight.reshape(self.shape) + self.bias.reshape(self.shape)


            class Network(nn.Module):
                \"\"\"Takes normalised images [batch, \(image.channels), \(image.height), \(image.width)] and returns \
            \(graph.nodes[graph.output].operation == .softmax ? "probabilities" : "logits") [batch, \(graph.classes)].\"\"\"

                def __init__(self):
                    super().__init__()
            \(layers.joined(separator: "\n"))

                def _add(self, path: str, layer: nn.Module):
                    \"\"\"Puts a layer under a dotted path.\"\"\"
                    *parents, name = path.split(".")
                    module = self
                    for parent in parents:
                        if parent not in module._modules:
                            module.add_module(parent, nn.Module())
                        module = module._modules[parent]
                    module.add_module(name, layer)

                def forward(self, x0):
            \(statements.joined(separator: "\n"))
                    return \(graph.isMatrix(graph.output) ? value(graph.output) : "torch.flatten(\(value(graph.output)), 1)")


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
                    layer, _, parameter = name.rpartition(".")
                    tensors[f"{RENAMED.get(layer, layer)}.{parameter}"] = values.reshape(entry["shape"])
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

    private func value(_ node: Int) -> String { "x\(node)" }

    /// The line that creates a node's layer or constant, or nil if it needs none.
    private func layer(_ index: Int) -> String? {
        let node = network.graph.nodes[index]
        let channels = node.shape.channels
        let text: String
        switch node.operation {
        case .convolution(let convolution):
            var arguments = [
                "\(network.graph.inputShape(of: node).channels)", "\(channels)", convolution.kernel.python,
                "stride=\(convolution.stride.python)", "dilation=\(convolution.dilation.python)",
                "groups=\(convolution.groups)", "bias=\(convolution.hasBias ? "True" : "False")",
            ]
            if let padding = convolution.padding.symmetric { arguments.append("padding=\(padding)") }
            text = "nn.Conv2d(\(arguments.joined(separator: ", ")))"
        case .linear(let linear):
            text =
                "nn.Linear(\(network.graph.inputShape(of: node).channels), \(channels), "
                + "bias=\(linear.hasBias ? "True" : "False"))"
        case .batchNorm(let epsilon):
            text = "nn.BatchNorm\(network.graph.isMatrix(index) ? 1 : 2)d(\(channels), eps=\(epsilon))"
        case .affine: text = "Affine(\(channels), \(network.graph.isMatrix(index) ? 0 : 2))"
        case .activation(.prelu): text = "nn.PReLU(\(channels))"
        case .select(let sources):
            let count = network.graph.inputShape(of: node).channels
            let list = sources.map { "\($0 ?? count)" }.joined(separator: ", ")
            return "        self.register_buffer(\"_channels_\(index)\", torch.tensor([\(list)]), persistent=False)"
        default: return nil
        }
        return "        self._add(\(PythonText.quoted(names.path(index).joined(separator: "."))), \(text))"
    }

    /// The expression that computes a node.
    private func expression(_ index: Int) -> String {
        let graph = network.graph
        let node = graph.nodes[index]
        let inputs = node.inputs.map { input in
            switch graph.change(of: input, for: index) {
            case .flattened: "torch.flatten(\(value(input)), 1)"
            case .image: "\(value(input))[:, :, None, None]"
            case nil: value(input)
            }
        }
        let x = inputs[0]
        switch node.operation {
        case .image: return x
        case .convolution(let convolution):
            let padded =
                convolution.padding.symmetric == nil ? "functional.pad(\(x), \(convolution.padding.python))" : x
            return "\(module(index))(\(padded))"
        case .linear, .batchNorm, .affine: return "\(module(index))(\(x))"
        case .activation(let activation): return expression(activation, index, x)
        case .add: return inputs.joined(separator: " + ")
        case .multiply: return inputs.joined(separator: " * ")
        case .concatenate: return "torch.cat([\(inputs.joined(separator: ", "))], 1)"
        case .pool(let pool): return expression(pool, x)
        case .adaptiveAverage(let size): return "functional.adaptive_avg_pool2d(\(x), \(size.python))"
        case .flatten: return "torch.flatten(\(x), 1)"
        case .select(let sources):
            let all = sources.contains(nil) ? "torch.cat([\(x), torch.zeros_like(\(x)[:, :1])], 1)" : x
            return "torch.index_select(\(all), 1, self._channels_\(index))"
        case .crop(let crop):
            let rows = slice(crop.top, crop.size.height, crop.step.height)
            return "\(x)[:, :, \(rows), \(slice(crop.left, crop.size.width, crop.step.width))]"
        case .pad(let insets): return "functional.pad(\(x), \(insets.python))"
        case .softmax: return "torch.softmax(\(x), 1)"
        }
    }

    private func slice(_ first: Int, _ count: Int, _ step: Int) -> String {
        "\(first):\(first + (count - 1) * step + 1):\(step)"
    }

    /// A node's layer; parts of its path may be numbers, which only `getattr` takes.
    private func module(_ index: Int) -> String {
        names.path(index).reduce("self") { "getattr(\($0), \(PythonText.quoted($1)))" }
    }

    private func expression(_ activation: Graph.Operation.Activation, _ index: Int, _ x: String) -> String {
        switch activation {
        case .relu: return "torch.relu(\(x))"
        case .leakyReLU(let slope): return "functional.leaky_relu(\(x), \(slope))"
        case .prelu: return "\(module(index))(\(x))"
        case .clip(let lowest, let highest):
            let bounds = [("min", lowest), ("max", highest)].filter { $0.1.isFinite }
            if bounds.isEmpty { return x }
            return "torch.clamp(\(x), \(bounds.map { "\($0.0)=\($0.1)" }.joined(separator: ", ")))"
        case .sigmoid: return "torch.sigmoid(\(x))"
        case .hardSigmoid(let slope, let offset):
            return "torch.clamp(\(slope) * \(x) + \(offset), min=0.0, max=1.0)"
        case .hardSwish: return "functional.hardswish(\(x))"
        case .silu: return "functional.silu(\(x))"
        case .tanh: return "torch.tanh(\(x))"
        case .elu(let alpha): return "functional.elu(\(x), \(alpha))"
        case .gelu: return "functional.gelu(\(x))"
        case .geluTanh: return "functional.gelu(\(x), approximate=\"tanh\")"
        }
    }

    private func expression(_ pool: Graph.Operation.Pool, _ x: String) -> String {
        let mode = "ceil_mode=\(pool.coversEnd ? "True" : "False")"
        // PyTorch pads pools equally on both sides, by half a window at most.
        let isPlain =
            pool.padding.symmetric != nil && 2 * pool.padding.top <= pool.kernel.height
            && 2 * pool.padding.left <= pool.kernel.width
        let padding = isPlain ? pool.padding.symmetric ?? "0" : "0"
        switch pool.kind {
        case .max:
            let padded = isPlain ? x : "functional.pad(\(x), \(pool.padding.python), value=-float(\"inf\"))"
            return
                "functional.max_pool2d(\(padded), \(pool.kernel.python), \(pool.stride.python), \(padding), "
                + "\(pool.dilation.python), \(mode))"
        case .average:
            let counts = "count_include_pad=\(pool.countsPadding ? "True" : "False")"
            func average(_ x: String) -> String {
                "functional.avg_pool2d(\(x), \(pool.kernel.python), \(pool.stride.python), \(padding), \(mode), \(counts))"
            }
            if isPlain { return average(x) }
            let sum = average("functional.pad(\(x), \(pool.padding.python))")
            if pool.countsPadding { return sum }
            return "\(sum) / \(average("functional.pad(torch.ones_like(\(x)), \(pool.padding.python))"))"
        }
    }
}

/// The paths under which a module keeps its layers: the nodes' names, except those that a PyTorch module cannot have.
private struct ModuleNames {
    private let paths: [Int: [String]]
    /// The renamed layers, and their new names.
    let renamed: [String: String]

    init(_ graph: Graph) {
        var paths: [Int: [String]] = [:]
        var renamed: [String: String] = [:]
        // A path that is a layer cannot contain others, and vice versa.
        var layers: Set<[String]> = []
        var folders: Set<[String]> = []
        for (index, node) in graph.nodes.enumerated() where !graph.parameters(of: index).isEmpty {
            var path = node.name.split(separator: ".", omittingEmptySubsequences: false).map(Self.part)
            func prefixes() -> [[String]] { (0..<path.count).map { Array(path.prefix($0)) } }
            while layers.contains(path) || folders.contains(path) || prefixes().contains(where: layers.contains) {
                path[0] += "_"
            }
            layers.insert(path)
            folders.formUnion(prefixes())
            paths[index] = path
            let name = path.joined(separator: ".")
            if name != node.name { renamed[node.name] = name }
        }
        self.paths = paths
        self.renamed = renamed
    }

    /// The parts of a layer's path.
    func path(_ index: Int) -> [String] { paths[index] ?? [] }

    /// Attributes that every module already has, or Python keywords.
    private static let taken: Set<String> = [
        "", "T_destination", "add_module", "apply", "bfloat16", "bias", "buffers", "call_super_init", "children",
        "compile", "cpu", "cuda", "double", "dump_patches", "eval", "extra_repr", "float", "forward",
        "get_buffer", "get_extra_state", "get_parameter", "get_submodule", "half", "ipu", "load_state_dict", "modules",
        "mtia", "named_buffers", "named_children", "named_modules", "named_parameters", "parameters",
        "register_backward_hook", "register_buffer", "register_forward_hook", "register_forward_pre_hook",
        "register_full_backward_hook", "register_full_backward_pre_hook", "register_load_state_dict_post_hook",
        "register_load_state_dict_pre_hook", "register_module", "register_parameter", "register_state_dict_post_hook",
        "register_state_dict_pre_hook", "requires_grad_", "set_extra_state", "set_submodule", "share_memory",
        "state_dict", "to", "to_empty", "train", "training", "type", "xpu", "zero_grad",
    ]

    private static func part(_ part: Substring) -> String {
        let name = String(part)
        return taken.contains(name) || name.hasPrefix("_") ? name + "_" : name
    }
}

extension Graph.Operation.Extent {
    /// Height and width as a tuple.
    fileprivate var python: String { "(\(height), \(width))" }
}

extension Graph.Operation.Insets {
    /// As `functional.pad` takes them.
    fileprivate var python: String { "(\(left), \(right), \(top), \(bottom))" }

    /// Rows and columns as a tuple if both sides are equal.
    fileprivate var symmetric: String? { top == bottom && left == right ? "(\(top), \(left))" : nil }
}
