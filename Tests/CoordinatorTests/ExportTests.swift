import Foundation
import Shared
import TestSupport
import Testing

@testable import Coordinator

struct ExportTests {
    /// A network with hidden filters, whole coupled groups and shortcuts cut.
    private static func pruned(using generator: inout SeededGenerator) throws -> Network {
        let architecture = Graph.residual(widths: [4, 6, 8], blocksPerStage: 2)
        let network = Network.random(architecture, using: &generator)
        let groups = ChannelClasses(architecture).classes.filter { $0.count > 1 }
        let space = FilterSpace(architecture)
        var mask = Mask.random(count: space.count, rate: 0.2, using: &generator)
        for filter in groups[1] + groups[5] { mask[filter] = true }
        mask[0] = true
        return try network.removing(mask)
    }

    private static func images(_ count: Int, size: Int, using generator: inout SeededGenerator) -> [[Double]] {
        (0..<count).map { _ in (0..<size).map { _ in Double(Float.random(in: -2...2, using: &generator)) } }
    }

    private static func temporaryFolder() throws -> URL {
        let folder = FileManager.default.temporaryDirectory.appending(path: "winnow-export-\(UUID())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        return folder
    }

    private func expectTheOutputs(of network: Network, images: [[Double]], _ data: Data) throws {
        let outputs = try JSONDecoder().decode([[Double]].self, from: data)
        let expected = ReferenceForward(network).outputs(images)
        #expect(outputs.count == images.count)
        for (a, b) in zip(outputs.joined(), expected.joined()) { #expect(abs(a - b) <= 1e-4 * (1 + abs(b))) }
    }

    private static let withOnnxruntime = Python.canImport("numpy", "onnxruntime")

    @Test(.enabled(if: withOnnxruntime, "onnxruntime is not installed"))
    func onnxruntimeComputesWhatTheNetworkDoes() throws {
        var generator = SeededGenerator(seed: 1)
        let connected = Network.random(.fullyConnected(widths: [192, 12, 9, 5]), using: &generator)
        let program = """
            import json, sys, numpy, onnxruntime
            onnxruntime.set_default_logger_severity(3)
            session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
            images = numpy.array(json.load(open(sys.argv[2])), dtype=numpy.float32)
            shape = [d if isinstance(d, int) else len(images) for d in session.get_inputs()[0].shape]
            print(json.dumps(session.run(["logits"], {"images": images.reshape(shape)})[0].tolist()))
            """
        for network in [try Self.pruned(using: &generator), connected] {
            let folder = try Self.temporaryFolder()
            defer { try? FileManager.default.removeItem(at: folder) }
            let model = folder.appending(path: "network.onnx")
            let inputs = folder.appending(path: "images.json")
            let images = Self.images(3, size: 192, using: &generator)
            try Data(OnnxExport(network).bytes).write(to: model)
            try JSONEncoder().encode(images).write(to: inputs)
            let (status, output) = try Python.run(program, [model.path, inputs.path])
            try #require(status == 0)
            try expectTheOutputs(of: network, images: images, output)
        }
    }

    private static let withTorch = Python.canImport("torch")

    @Test(.enabled(if: withTorch, "PyTorch is not installed"))
    func pytorchComputesWhatTheNetworkDoes() throws {
        var generator = SeededGenerator(seed: 2)
        let connected = Network.random(.fullyConnected(widths: [3072, 12, 9, 10]), using: &generator)
        let program = """
            import json, sys, torch
            sys.path.insert(0, sys.argv[1])
            from network import load
            images = torch.tensor(json.load(open(sys.argv[2])))
            images = images.reshape(len(images), 3, *[int((images.shape[1] // 3) ** 0.5)] * 2)
            with torch.no_grad():
                print(json.dumps(load()(images).tolist()))
            """
        for (network, size) in [(try Self.pruned(using: &generator), 192), (connected, 3072)] {
            let folder = try Self.temporaryFolder()
            defer { try? FileManager.default.removeItem(at: folder) }
            let inputs = folder.appending(path: "images.json")
            let images = Self.images(3, size: size, using: &generator)
            try JSONEncoder().encode(images).write(to: inputs)
            try Data(Checkpoint.safetensors(of: network)).write(to: folder.appending(path: "network.safetensors"))
            let module = PyTorchExport(network).module(weights: "network.safetensors")
            try Data(module.utf8).write(to: folder.appending(path: "network.py"))
            let (status, output) = try Python.run(program, [folder.path, inputs.path])
            try #require(status == 0)
            try expectTheOutputs(of: network, images: images, output)
        }
    }

    @Test(.enabled(if: withTorch, "PyTorch is not installed"))
    func packagesLiveSideBySideAreScriptedAndKnowNoForbiddenName() throws {
        var generator = SeededGenerator(seed: 6)
        // Names of torch.nn.Module's own attributes, and one that is a prefix of another.
        let architecture = Graph.fullyConnected(
            LinearChain(layers: [
                .init(name: "forward", input: 3072, output: 6), .init(name: "train", input: 6, output: 5),
                .init(name: "train.1", input: 5, output: 10),
            ]))
        let folder = try Self.temporaryFolder()
        defer { try? FileManager.default.removeItem(at: folder) }
        let networks = [Network.random(architecture, using: &generator), try Self.pruned(using: &generator)]
        for (name, network) in zip(["connected", "residual"], networks) {
            try ExportedFiles(pytorch: folder.appending(path: name).path).write(network)
        }
        let program = """
            import json, sys, torch
            sys.path.insert(0, sys.argv[1])
            import connected, residual
            assert connected.Network is not residual.Network
            answers = []
            for package, size in [(connected, 32), (residual, 8)]:
                model = package.load()
                scripted = torch.jit.script(model)
                images = torch.linspace(-1, 1, 3 * size * size).reshape(1, 3, size, size)
                with torch.no_grad():
                    assert torch.equal(model(images), scripted(images))
                    answers.append(model(images).tolist())
            print(json.dumps(answers))
            """
        let (status, output) = try Python.run(program, [folder.path])
        try #require(status == 0)
        let answers = try JSONDecoder().decode([[[Double]]].self, from: output)
        for (network, (size, answer)) in zip(networks, zip([32, 8], answers)) {
            let count = 3 * size * size
            let image = (0..<count).map { -1 + 2 * Double($0) / Double(count - 1) }
            try expectTheOutputs(of: network, images: [image], JSONEncoder().encode(answer))
        }
    }

    @Test(.enabled(if: Python.canImport("ast"), "Python is not installed"))
    func aLayersNameNeverBecomesCode() throws {
        let names = [#"a", 1, 1), *__import__("os").environ, ("b"#, "'''\n\\\u{2028}"]
        let architecture = Graph.fullyConnected(
            LinearChain(layers: [
                .init(name: names[0], input: 3072, output: 4), .init(name: names[1], input: 4, output: 10),
            ]))
        var generator = SeededGenerator(seed: 4)
        let weights = #"w".safetensors"#
        let module = PyTorchExport(Network.random(architecture, using: &generator)).module(weights: weights)
        // Everything that is called or looked up must be ours; text from a name must be a string.
        let program = """
            import ast, json, sys
            tree = ast.parse(sys.argv[1])
            words = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
            words |= {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
            strings = {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
            print(json.dumps([sorted(words & {"__import__", "environ", "os"}), sorted(strings)]))
            """
        let (status, output) = try Python.run(program, [module])
        try #require(status == 0)
        let found = try JSONDecoder().decode([[String]].self, from: output)
        #expect(found[0] == [])
        #expect(found[1].contains(weights))
        for name in names { #expect(found[1].contains { $0.hasPrefix(name) }) }
    }

    /// An exported ONNX file is a network that can be read back and computes the same.
    private func expectToBeRead(_ network: Network, seed: UInt64, using generator: inout SeededGenerator) throws {
        let read: OnnxNetwork
        do { read = try Onnx.network(bytes: OnnxExport(network).bytes, name: "exported.onnx") } catch {
            Issue.record("seed \(seed): \(error)")
            return
        }
        let images = Self.images(2, size: network.graph.imageShape.count, using: &generator)
        let again = ReferenceForward(Network(graph: read.graph, parameters: read.parameters)).outputs(images)
        let expected = ReferenceForward(network).outputs(images)
        for (a, b) in zip(again.joined(), expected.joined()) {
            #expect(abs(a - b) <= 1e-4 * (1 + abs(b)), "seed \(seed): \(a), not \(b)")
        }
    }

    @Test func exportedNetworksOfEveryOperationAreReadAgain() throws {
        for seed in 0..<60 as Range<UInt64> {
            var generator = SeededGenerator(seed: seed)
            let network = Network.random(try RandomGraphs.graph(seed: seed), using: &generator)
            try expectToBeRead(network, seed: seed, using: &generator)
            let count = FilterSpace(network.graph).count
            let mask = Mask.random(count: count, rate: 0.2, using: &generator)
            guard let pruned = try? network.removing(mask) else { continue }
            try expectToBeRead(pruned, seed: seed, using: &generator)
        }
    }

    @Test(arguments: [(3, 3), (7, 7), (2, 5), (4, 1)])
    func averagesOfUnequalRegionsAreReadAgain(height: Int, width: Int) throws {
        var builder = try GraphBuilder(image: Shape(channels: 2, height: 5, width: 7))
        let size = Graph.Operation.Extent(height, width)
        let pooled = try builder.add("pool", .adaptiveAverage(size), 0)
        let flat = try builder.add("flat", .flatten, pooled)
        let last = try builder.add("last", .linear(.init(outputs: 3)), flat)
        var generator = SeededGenerator(seed: 8)
        let network = Network.random(try builder.graph(output: last), using: &generator)
        let read = try Onnx.network(bytes: OnnxExport(network).bytes, name: "exported.onnx")
        #expect(read.graph.nodes.contains { $0.operation == .adaptiveAverage(size) })
        try expectToBeRead(network, seed: 8, using: &generator)
    }

    @Test func aPrunedNetworkIsReadBackAsItWas() throws {
        var generator = SeededGenerator(seed: 3)
        let architecture = Graph.residual(widths: [4, 6, 8], blocksPerStage: 2, imageSize: 32)
        let network = Network.random(architecture, using: &generator)
        let space = FilterSpace(architecture)
        let groups = ChannelClasses(architecture).classes.filter { $0.count > 1 }
        for removed in [groups[1] + groups[5], groups[7], [space.layers[1].filters.lowerBound]] {
            let pruned = try network.removing(Mask(count: space.count, disabled: removed))
            let bytes = Checkpoint.safetensors(of: pruned)
            #expect(try Checkpoint.network(bytes: bytes, name: "pruned.safetensors") == pruned)
            #expect(bytes.count < Checkpoint.safetensors(of: network).count)
        }
    }
}
