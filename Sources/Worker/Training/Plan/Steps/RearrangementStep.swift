import CKernels
import Shared

/// Channels picked, pixels cut out, zeros around them.
final class RearrangementStep: PlanStep {
    private let rearrangement: winnow_rearrangement
    private let map: [Int32]?
    private let x: PlanEdge
    let output: PlanValue
    private var yGradient: PlanBuffer?
    private var xGradient: PlanBuffer?

    private init(
        _ x: PlanEdge, _ y: PlanValue, _ layout: PlanLayout, top: Int = 0, left: Int = 0,
        step: Graph.Operation.Extent = .one, map: [Int32]? = nil
    ) {
        let (from, to) = (x.value.shape, y.shape)
        rearrangement = winnow_rearrangement(
            images: layout.images, height: from.height, width: from.width, channels: from.channels, top: top,
            left: left, row_step: step.height, column_step: step.width, output_height: to.height,
            output_width: to.width, output_channels: to.channels, map: nil)
        self.map = map
        self.x = x
        output = y
    }

    convenience init(select channels: [Int?], _ x: PlanEdge, _ y: PlanValue, _ layout: PlanLayout) {
        self.init(x, y, layout, map: channels.map { Int32($0 ?? -1) })
    }

    convenience init(crop: Graph.Operation.Crop, _ x: PlanEdge, _ y: PlanValue, _ layout: PlanLayout) {
        self.init(x, y, layout, top: crop.top, left: crop.left, step: crop.step)
    }

    convenience init(pad insets: Graph.Operation.Insets, _ x: PlanEdge, _ y: PlanValue, _ layout: PlanLayout) {
        self.init(x, y, layout, top: -insets.top, left: -insets.left)
    }

    func layOutForward(_ layout: PlanLayout) {
        layout.read(x.value)
        layout.write(output)
    }

    func layOutBackward(_ layout: PlanLayout) {
        yGradient = layout.takeGradient(of: output)
        let gradient = layout.buffer(x.value.buffer.count)
        xGradient = gradient
        layout.contribute(gradient, to: x)
    }

    private func withRearrangement(_ body: (UnsafePointer<winnow_rearrangement>) -> Void) {
        var rearrangement = rearrangement
        guard let map else { return body(&rearrangement) }
        map.withUnsafeBufferPointer {
            rearrangement.map = $0.baseAddress
            body(&rearrangement)
        }
    }

    func forward(_ statistics: NormalisationStatistics) {
        withRearrangement { winnow_rearrange($0, x.value.buffer.pointer, output.buffer.pointer) }
    }

    func backward() {
        guard let yGradient, let xGradient else { return }
        withRearrangement { winnow_rearrange_gradient($0, yGradient.pointer, xGradient.pointer) }
    }
}
