/// A graph as JSON, which Winnow's files carry in their metadata:
///
///     {"version":1,"image":[3,32,32],"output":9,"nodes":[
///         {"name":"conv1","kind":"convolution","inputs":[0],"filters":16,"kernel":[3,3],"padding":[1,1,1,1]}, …]}
///
/// Inputs count from the image, 0. Missing attributes have their usual values.
extension Graph {
    private static let version = 1

    /// The text; the same for the same graph.
    public var json: String {
        var writer = JSONWriter()
        writer.object { writer in
            writer.member("version", Self.version)
            writer.array("image", of: [imageShape.channels, imageShape.height, imageShape.width]) { $0.element($1) }
            writer.member("output", output)
            writer.array("nodes", of: nodes.dropFirst()) { writer, node in
                writer.object { writer in
                    writer.member("name", node.name)
                    writer.member("kind", node.operation.kindName)
                    writer.array("inputs", of: node.inputs) { $0.element($1) }
                    node.operation.writeAttributes(to: &writer)
                }
            }
        }
        return writer.text
    }

    /// Reads a text. Throws a `.badInput` ``Failure`` that says where it is damaged, or which node is unsound.
    public init(json text: String) throws {
        var reader = JSONReader(Array(text.utf8))
        var image: [Int] = []
        var output: Int?
        var nodes: [NodeRecord] = []
        do {
            try reader.object { reader, key in
                switch key {
                case "version":
                    let version = try reader.integer()
                    guard version == Self.version else {
                        throw Failure(
                            .badInput,
                            "it has version \(version), this program reads \(Self.version); use a newer release")
                    }
                case "image": image = try reader.integers(atMost: 3)
                case "output": output = try reader.integer()
                case "nodes":
                    try reader.array { reader, index in
                        guard index < Graph.nodesMax else {
                            throw reader.damaged("there are more than \(Graph.nodesMax) nodes")
                        }
                        nodes.append(try NodeRecord(&reader))
                    }
                default: try reader.skip()
                }
            }
            try reader.finish()
        } catch let failure as Failure {
            throw Failure(failure.kind, "its graph is damaged: \(failure.description)")
        }
        guard image.count == 3, let output else {
            throw Failure(.badInput, "its graph has no image shape or no output")
        }
        var builder = try GraphBuilder(image: Shape(channels: image[0], height: image[1], width: image[2]))
        for node in nodes { try builder.add(node.name, try node.operation(), node.inputs, isExact: true) }
        guard (1...nodes.count).contains(output) else {
            throw Failure(.badInput, "its graph's output, node \(output), does not exist")
        }
        self = try builder.graph(output: output)
    }
}

extension Operation {
    fileprivate func writeAttributes(to writer: inout JSONWriter) {
        func list(_ name: String, _ values: [Int], unless usual: [Int], _ writer: inout JSONWriter) {
            if values != usual { writer.array(name, of: values) { $0.element($1) } }
        }
        func extents(_ extents: [(String, Extent)], _ writer: inout JSONWriter) {
            for (name, extent) in extents { list(name, [extent.height, extent.width], unless: [1, 1], &writer) }
        }
        func padding(_ insets: Insets, _ writer: inout JSONWriter) {
            list(
                "padding", [insets.top, insets.left, insets.bottom, insets.right], unless: [0, 0, 0, 0], &writer)
        }
        switch self {
        case .convolution(let convolution):
            writer.member("filters", convolution.filters)
            extents(
                [
                    ("kernel", convolution.kernel), ("stride", convolution.stride), ("dilation", convolution.dilation),
                ], &writer)
            padding(convolution.padding, &writer)
            if convolution.groups != 1 { writer.member("groups", convolution.groups) }
            if convolution.hasBias { writer.member("bias", 1) }
        case .linear(let linear):
            writer.member("outputs", linear.outputs)
            if linear.hasBias { writer.member("bias", 1) }
        case .batchNorm(let epsilon): writer.member("epsilon", epsilon)
        case .activation(let activation):
            for (name, value) in activation.attributes where value.isFinite { writer.member(name, value) }
        case .pool(let pool):
            extents([("kernel", pool.kernel), ("stride", pool.stride), ("dilation", pool.dilation)], &writer)
            padding(pool.padding, &writer)
            if pool.coversEnd { writer.member("covers_end", 1) }
            if pool.countsPadding { writer.member("counts_padding", 1) }
        case .adaptiveAverage(let size): writer.array("size", of: [size.height, size.width]) { $0.element($1) }
        case .select(let channels): writer.array("channels", of: channels) { $0.element($1 ?? -1) }
        case .crop(let crop):
            writer.array("start", of: [crop.top, crop.left]) { $0.element($1) }
            extents([("step", crop.step)], &writer)
            writer.array("size", of: [crop.size.height, crop.size.width]) { $0.element($1) }
        case .pad(let insets): padding(insets, &writer)
        case .image, .affine, .add, .multiply, .concatenate, .flatten, .softmax: break
        }
    }
}

extension Operation.Activation {
    fileprivate var attributes: [(name: String, value: Double)] {
        switch self {
        case .leakyReLU(let slope): [("slope", slope)]
        case .clip(let lowest, let highest): [("lowest", lowest), ("highest", highest)]
        case .hardSigmoid(let slope, let offset): [("slope", slope), ("offset", offset)]
        case .elu(let alpha): [("alpha", alpha)]
        default: []
        }
    }
}

/// A node as stored in the text.
private struct NodeRecord {
    /// A vector of a convolution's output; a channel shuffle has as many.
    static let valuesMax = 1 << 20

    var name = ""
    var kind = ""
    var inputs: [Int] = []
    private var lists: [String: [Int]] = [:]
    private var numbers: [String: Double] = [:]

    init(_ reader: inout JSONReader) throws {
        try reader.object { reader, key in
            switch key {
            case "name": name = try reader.string()
            case "kind": kind = try reader.string()
            case "inputs": inputs = try reader.integers(atMost: Graph.nodesMax)
            case "kernel", "stride", "dilation", "padding", "size", "start", "step", "channels":
                lists[key] = try reader.integers(atMost: Self.valuesMax)
            default: numbers[key] = try reader.number()
            }
        }
        guard !name.isEmpty else { throw reader.damaged("a node needs a name") }
    }

    func operation() throws -> Operation {
        switch kind {
        case "convolution":
            return .convolution(
                Operation.Convolution(
                    filters: try integer("filters"), kernel: try extent("kernel"), stride: try extent("stride"),
                    padding: try padding(), dilation: try extent("dilation"), groups: try integer("groups", usual: 1),
                    hasBias: try integer("bias", usual: 0) == 1))
        case "linear":
            return .linear(
                Operation.Linear(outputs: try integer("outputs"), hasBias: try integer("bias", usual: 0) == 1))
        case "batch_norm": return .batchNorm(epsilon: try number("epsilon"))
        case "affine": return .affine
        case "add": return .add
        case "multiply": return .multiply
        case "concatenate": return .concatenate
        case "max_pool", "average_pool":
            return .pool(
                Operation.Pool(
                    kind == "max_pool" ? .max : .average, kernel: try extent("kernel"), stride: try extent("stride"),
                    padding: try padding(), dilation: try extent("dilation"),
                    coversEnd: try integer("covers_end", usual: 0) == 1,
                    countsPadding: try integer("counts_padding", usual: 0) == 1))
        case "adaptive_average": return .adaptiveAverage(try extent("size"))
        case "flatten": return .flatten
        case "select":
            guard let channels = lists["channels"] else { throw damaged("channels are missing") }
            return .select(channels.map { $0 == -1 ? nil : $0 })
        case "crop":
            let start = lists["start"] ?? [0, 0]
            guard start.count == 2 else { throw damaged("start needs two numbers") }
            return .crop(
                Operation.Crop(
                    top: start[0], left: start[1], step: try extent("step"), size: try extent("size")))
        case "pad": return .pad(try padding())
        case "softmax": return .softmax
        default: return .activation(try activation())
        }
    }

    private func activation() throws -> Operation.Activation {
        switch kind {
        case "relu": .relu
        case "leaky_relu": .leakyReLU(slope: try number("slope"))
        case "prelu": .prelu
        case "clip": .clip(lowest: numbers["lowest"] ?? -.infinity, highest: numbers["highest"] ?? .infinity)
        case "sigmoid": .sigmoid
        case "hard_sigmoid": .hardSigmoid(slope: try number("slope"), offset: try number("offset"))
        case "hard_swish": .hardSwish
        case "silu": .silu
        case "tanh": .tanh
        case "elu": .elu(alpha: try number("alpha"))
        case "gelu": .gelu
        case "gelu_tanh": .geluTanh
        default: throw damaged("the kind of operation '\(kind.prefix(40))' is unknown; use a newer release")
        }
    }

    private func number(_ name: String) throws -> Double {
        guard let value = numbers[name] else { throw damaged("\(name) is missing") }
        return value
    }

    private func integer(_ name: String, usual: Int? = nil) throws -> Int {
        if let usual, numbers[name] == nil { return usual }
        guard let value = Int(exactly: try number(name)) else { throw damaged("\(name) is not a whole number") }
        return value
    }

    private func extent(_ name: String) throws -> Operation.Extent {
        let values = lists[name] ?? [1, 1]
        guard values.count == 2 else { throw damaged("\(name) needs two numbers") }
        return Operation.Extent(values[0], values[1])
    }

    private func padding() throws -> Operation.Insets {
        let values = lists["padding"] ?? [0, 0, 0, 0]
        guard values.count == 4 else { throw damaged("padding needs four numbers") }
        return Operation.Insets(top: values[0], left: values[1], bottom: values[2], right: values[3])
    }

    private func damaged(_ what: String) -> Failure { Failure(.badInput, "its graph's node \(name): \(what)") }
}

extension JSONReader {
    /// Reads an array of at most this many whole numbers.
    fileprivate mutating func integers(atMost count: Int) throws -> [Int] {
        var values: [Int] = []
        try array { reader, index in
            guard index < count else { throw reader.damaged("at most \(count) numbers are allowed") }
            values.append(try reader.integer())
        }
        return values
    }
}
