import CKernels
import Shared

/// The values of any node of a network for some images: a forward pass that stops where the caller wants to look.
///
/// Every node that computes something is a separate stage (``Stages/init(_:unfusedIn:)``), in an order that the caller
/// chooses. The pass consists of *legs* from one *position*, the number of completed stages, to another. Values that
/// later stages read are kept between legs if the memory allows it, so all legs together cost about one forward pass;
/// otherwise the next leg starts further back. Only the current leg's parameters are in the kernels' form.
final class NetworkWalk {
    /// The network. Parameters of nodes after the kept position may change between legs.
    var network: Network
    let stages: Stages

    private let images: PreparedImages
    private let normalisation: Normalisation
    private let kernels: winnow_kernels
    private let schedule: Schedule
    /// For every value (``Stage/Source``), its memory in an arena, and the first line of each of its channels.
    private let ranges: [Range<Int>]
    private let lines: [[Int32]]
    private var kept: (position: Int, values: BlockValues)?

    /// Prepares a pass over images, with nodes computed in a topological order.
    init(
        _ network: Network, order: [Int], images: PreparedImages, normalisation: Normalisation, kernels: winnow_kernels
    ) {
        self.network = network
        self.images = images
        self.normalisation = normalisation
        self.kernels = kernels
        stages = Stages(network.graph, unfusedIn: order)
        let tree = PrefixTree(
            [Mask(count: stages.space.count)], of: stages.space, cuts: stages.layersByCut)
        schedule = Schedule(stages, tree, Schedule.Options(branchesMax: 1, isCalibration: true))
        var lines = [schedule.imageLines]
        var ranges = schedule.input
        for case .step(let step) in schedule.items {
            let made = step.branches[0].lines
            let present = made.filter { $0 >= 0 }.map(Int.init)
            let plane = schedule.plane(stages.list[step.stage].shape)
            lines.append(made)
            ranges.append((present.min() ?? 0)..<(present.max().map { $0 + plane } ?? 0))
        }
        self.lines = lines
        self.ranges = ranges
    }

    /// The floats of an arena to run legs in.
    var arenaFloats: Int { schedule.arenaLines * kernels.lanesCount }

    /// The position from which a node's values exist. They stay until its last reader has been computed.
    func position(after node: Int) -> Int { stages.sources(of: node).compactMap { $0?.value }.max() ?? 0 }

    /// The position right before a node that is a stage: its inputs exist, and so does everything earlier in the order.
    func position(before node: Int) -> Int { position(after: node) - 1 }

    /// The places of a node's channels in an arena: each one's first line, or -1 for an absent one.
    func lines(of node: Int) -> [Int32] {
        stages.sources(of: node).map { source in
            guard let source, lines[source.value][source.channel] >= 0 else { return -1 }
            return lines[source.value][source.channel] + Int32(source.pixel)
        }
    }

    /// A part of the pass, to be run for every block of images.
    struct Leg {
        fileprivate let end: Int
        fileprivate let program: CPUProgram
        fileprivate let start: (values: BlockValues, pieces: [Range<Int>])?
        fileprivate let next: (values: BlockValues, pieces: [Range<Int>])?
        /// Floats of scratch space that it needs.
        var scratchFloats: Int { program.scratchFloats }
    }

    /// The leg from the kept position to another one. Its values are kept if, together with those kept now, they fit
    /// the given memory. Throws an `.unavailable` ``Failure`` if there is no memory.
    func leg(to end: Int, keepingBytesMax: Int) throws -> Leg {
        let position = kept?.position ?? 0
        precondition(position <= end, "a walk goes on, never back")
        let compiled = CompiledNetwork(network, stages, only: position..<end)
        let program = CPUProgram(schedule, compiled, lanes: kernels.lanesCount, storage: Storage())
        var next: (values: BlockValues, pieces: [Range<Int>])?
        let pieces = pieces(at: end)
        let lines = pieces.reduce(0) { $0 + $1.count }
        let bytes = images.blocks * lines * kernels.lanesCount * MemoryLayout<Float>.stride
        if end > position, bytes + (kept?.values.bytes ?? 0) <= keepingBytesMax {
            next = (try BlockValues(lines: lines, blocks: images.blocks, lanes: kernels.lanesCount), pieces)
        }
        return Leg(
            end: end, program: program, start: kept.map { ($0.values, self.pieces(at: $0.position)) }, next: next)
    }

    /// Runs a leg for one block of images. Different blocks may run on different threads, each in its own arena.
    func run(_ leg: Leg, _ block: Int, in arena: Arena, scratch: Arena) {
        if let (values, pieces) = leg.start {
            values.restore(block, to: arena, at: pieces)
        } else {
            images.load(block, normalisation, kernels, for: schedule, to: arena)
        }
        for case .step(let step) in leg.program.items { step.compute(kernels, arena, scratch) }
        if let (values, pieces) = leg.next { values.save(block, from: arena, at: pieces) }
    }

    /// Marks a leg as run for all blocks.
    func finish(_ leg: Leg) {
        if let next = leg.next { kept = (leg.end, next.values) }
    }

    /// The memory of the values that stages from a position on read.
    private func pieces(at position: Int) -> [Range<Int>] {
        (0...position).filter { stages.lastReaders[$0] >= position }.map { ranges[$0] }
    }
}
