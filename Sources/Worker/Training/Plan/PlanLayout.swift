import CKernels
import Shared

/// Shared by the steps of a plan while it is laid out: parameters, values, and the use of memory over time.
///
/// Time counts the steps of the forward pass, then the loss, then the steps backwards.
final class PlanLayout {
    /// Small work after a step of the backward pass.
    enum Chore {
        /// Two parts of a value's gradient become one.
        case sum(PlanBuffer, PlanBuffer, into: PlanBuffer)
        /// The gradients of gates on a value's channels from one reader's part of its gradient.
        case gates(GateSums, PlanValue, gradient: PlanBuffer)
    }

    let graph: Graph
    let images: Int
    let purpose: PlanPurpose
    let precision: TrainingPrecision
    /// Where the absence of filters ends, if gates are needed.
    let gateEnds: GateEnds?
    /// The parameters, their gradients, the running statistics and those of the last batch, in the order of
    /// ``ParameterLayout``.
    let parameters: AlignedBuffer
    let gradient: AlignedBuffer
    let statistics: AlignedBuffer
    let batchStatistics: AlignedBuffer
    /// Each image's gradients with respect to gates on the filters, `[images, filters]`, if needed.
    let gates: AlignedBuffer
    private(set) var buffers: [PlanBuffer] = []
    /// The chores after the backward pass of each step.
    private(set) var chores: [[Chore]] = []
    private(set) var moment = 0
    private var step = 0
    private var places: [String: Int] = [:]

    init(_ graph: Graph, images: Int, purpose: PlanPurpose, precision: TrainingPrecision) {
        self.graph = graph
        self.images = images
        self.purpose = purpose
        self.precision = precision
        let space = FilterSpace(graph)
        gateEnds = purpose == .importance ? GateEnds(graph, space) : nil
        gates = AlignedBuffer(count: purpose == .importance ? images * space.count : 0)
        let layout = ParameterLayout(graph)
        parameters = AlignedBuffer(count: layout.trainedCount)
        gradient = AlignedBuffer(count: purpose == .inference ? 0 : layout.trainedCount)
        statistics = AlignedBuffer(count: layout.statisticsCount)
        batchStatistics = AlignedBuffer(count: purpose == .inference ? 0 : layout.statisticsCount)
        for entry in layout.trained + layout.statistics { places[entry.name] = entry.range.lowerBound }
    }

    /// Whether the parameters' gradients are wanted.
    var wantsParameterGradients: Bool { purpose == .training }

    /// The place of a node's parameter in its array, or nil if it has none of that role.
    func place(_ node: Int, _ role: Graph.Parameter.Role) -> Int? {
        places["\(graph.nodes[node].name).\(role.rawValue)"]
    }

    // MARK: Time

    /// Lays out the steps in the order in which they run. `loss` is called between the forward and the backward pass.
    func layOut(_ image: PlanValue, _ steps: [any PlanStep], loss: () -> Void) {
        write(image)
        for step in steps {
            step.layOutForward(self)
            moment += 1
        }
        loss()
        chores = Array(repeating: [], count: steps.count)
        guard purpose != .inference else { return }
        for (index, step) in steps.enumerated().reversed() where step.output.dependsOnParameters {
            moment += 1
            self.step = index
            step.layOutBackward(self)
        }
    }

    // MARK: Memory

    /// Memory that is live from now on while it is used.
    func buffer(_ count: Int) -> PlanBuffer {
        let buffer = PlanBuffer(count: count, at: moment)
        buffers.append(buffer)
        return buffer
    }

    /// Memory for this many values of bfloat16.
    func roundedBuffer(_ count: Int) -> PlanBuffer { buffer((count + 1) / 2) }

    /// Keeps memory alive now.
    func use(_ buffer: PlanBuffer) { buffer.use(at: moment) }

    /// Reads a value: keeps it alive now.
    func read(_ value: PlanValue) { use(value.buffer) }

    /// Writes a value, and its rounded copies if needed.
    func write(_ value: PlanValue) {
        value.buffer.begin(at: moment)
        if value.isRounded { value.rounded = roundedBuffer(value.buffer.count) }
    }

    // MARK: Gradients

    /// The gradient of a step's output. If nobody else holds it, the step may overwrite it.
    func takeGradient(of value: PlanValue) -> PlanBuffer {
        let parts = takeGradients(of: value)
        precondition(parts.count == 1, "parts of a gradient are summed unless their taker does it")
        return parts[0]
    }

    /// The parts of the gradient of a step's output: two at most.
    func takeGradients(of value: PlanValue) -> [PlanBuffer] {
        let parts = value.takeGradients()
        for part in parts { use(part) }
        return parts
    }

    /// Adds a step's contribution to the gradient of a value that it reads. `gradient` may be the one that it took
    /// itself.
    func contribute(_ gradient: PlanBuffer, to edge: PlanEdge) {
        use(gradient)
        let value = edge.value
        if let reader = edge.reader, let ends = gateEnds?.ends(of: reader.node, reader.position), !ends.isEmpty {
            read(value)
            let sums = GateSums(ends, channels: value.shape.channels, self)
            chores[step].append(.gates(sums, value, gradient: gradient))
        }
        guard value.dependsOnParameters else { return }
        guard value.gradients.count == (value.takesTwoGradients ? 2 : 1) else { return value.append(gradient) }
        // The sum overwrites a part that nobody else needs.
        var parts = value.takeGradients()
        let earlier = parts.removeLast()
        for part in parts { value.append(part) }
        let sum = earlier.holders == 0 ? earlier : gradient.holders == 0 ? gradient : buffer(gradient.count)
        for part in [earlier, gradient, sum] { use(part) }
        value.append(sum)
        chores[step].append(.sum(earlier, gradient, into: sum))
    }
}
