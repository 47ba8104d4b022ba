import CKernels
import Shared

/// The outputs of a whole network for images that are already inputs, by the engine's kernels, on one thread.
///
/// The same bits whatever images are computed together and with whatever instruction set, as with ``Engine``.
final class DenseForward {
    private let network: CompiledNetwork
    private let schedule: Schedule
    private let storage = Storage()
    private let kernels: winnow_kernels
    private let arena: Arena
    private let scratch: Arena

    /// Images that are computed at once.
    private var blockImages: Int { schedule.groups * kernels.lanesCount }

    /// Prepares a network with the statistics that it has. Throws a ``Failure`` where there is too
    /// little memory.
    init(_ network: Network, instructionSet: InstructionSet) throws {
        kernels = instructionSet.kernels
        self.network = try CompiledNetwork(network)
        let none = Mask(count: FilterSpace(network.graph).count)
        let options = Schedule.Options(
            lanes: kernels.lanesCount, branchesMax: 1, isCalibration: false, hasOwnNorms: false)
        schedule = Schedule(
            self.network, PrefixTree([none], of: network.graph, self.network.graph), options, storage: storage)
        arena = try Arena(floats: schedule.arenaFloats)
        scratch = try Arena(floats: schedule.scratchFloats)
    }

    /// Writes the last layer's outputs, `[images, classes]`, for inputs `[images, channel, row, column]`.
    func compute(_ inputs: UnsafePointer<Float>, images: Int, to outputs: UnsafeMutablePointer<Float>) {
        let values = network.graph.imageShape.count
        let classes = network.graph.classes
        for start in stride(from: 0, to: images, by: blockImages) {
            let count = min(blockImages, images - start)
            for image in 0..<count { load(inputs + (start + image) * values, at: image) }
            for item in schedule.items {
                switch item {
                case .step(let step): kernels.layer(step.description, arena.base, scratch.base)
                case .leaf(let leaf):
                    leaf.computeOutputs(kernels, arena, scratch)
                    for image in 0..<count {
                        for output in 0..<classes {
                            outputs[(start + image) * classes + output] =
                                arena.base[leaf.outputs + output * leaf.plane + image]
                        }
                    }
                }
            }
        }
    }

    /// Puts an image into its lane. A block's groups lie side by side, so that an image's place among all lanes is its
    /// place in the block.
    private func load(_ image: UnsafePointer<Float>, at place: Int) {
        let plane = schedule.input.plane
        let shape = network.graph.imageShape
        for channel in 0..<shape.channels {
            let source = image + channel * shape.pixels
            let isWholePlane = schedule.groups == 1
            let target =
                arena.base + schedule.input.offset + channel * (isWholePlane ? plane : shape.pixels * plane) + place
            let stride = isWholePlane ? kernels.lanesCount : plane
            for pixel in 0..<shape.pixels { target[pixel * stride] = source[pixel] }
        }
    }
}
