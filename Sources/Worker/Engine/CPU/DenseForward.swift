import CKernels
import Shared

/// The logits of a whole network for images that are inputs already, with the engine's kernels, on one thread.
///
/// The same bits however images are batched and with every instruction set, as with ``Engine``.
final class DenseForward {
    private let graph: Graph
    private let isVectorOnly: Bool
    private let program: CPUProgram
    private let network: CompiledNetwork
    private let kernels: winnow_kernels
    private let arena: Arena
    private let scratch: Arena

    /// Images to compute at once.
    private var blockImages: Int { program.schedule.groups * kernels.lanesCount }

    /// Prepares a network with its own statistics. Throws a ``Failure`` if there is too little memory.
    init(_ network: Network, instructionSet: InstructionSet) throws {
        kernels = instructionSet.kernels
        graph = network.graph
        self.network = CompiledNetwork(network)
        let stages = self.network.stages
        isVectorOnly = stages.isVectorOnly
        let tree = PrefixTree(
            [Mask(count: stages.space.count)], of: stages.space, cuts: stages.layersByCut)
        let schedule = Schedule(stages, tree, Schedule.Options(branchesMax: 1, isCalibration: false))
        program = CPUProgram(schedule, self.network, lanes: kernels.lanesCount, storage: Storage())
        arena = try Arena(floats: program.arenaFloats)
        scratch = try Arena(floats: program.scratchFloats)
    }

    /// Writes the logits, `[images, classes]`, for inputs `[images, channel, row, column]`.
    func compute(_ inputs: UnsafePointer<Float>, images: Int, to outputs: UnsafeMutablePointer<Float>) {
        let values = graph.imageShape.count
        let classes = graph.classes
        for start in stride(from: 0, to: images, by: blockImages) {
            let count = min(blockImages, images - start)
            for image in 0..<count { load(inputs + (start + image) * values, at: image) }
            for item in program.items {
                switch item {
                case .step(let step): step.compute(kernels, arena, scratch)
                case .leaf(let leaf):
                    for image in 0..<count {
                        for output in 0..<classes {
                            outputs[(start + image) * classes + output] =
                                arena.base[leaf.offset + output * leaf.stride + image]
                        }
                    }
                }
            }
        }
    }

    /// Puts an image into its lane. A block's groups are side by side, so an image's place among all lanes is its place
    /// in the block.
    private func load(_ image: UnsafePointer<Float>, at place: Int) {
        let shape = graph.imageShape
        let lines = program.schedule.imageLines
        for value in 0..<shape.count {
            let line = isVectorOnly ? Int(lines[value]) : Int(lines[value / shape.pixels]) + value % shape.pixels
            arena.base[line * kernels.lanesCount + place] = image[value]
        }
    }
}
