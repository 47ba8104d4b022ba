import CKernels
import Shared

/// Moves values: picks channels, crops pixels, pads with zeros, flattens an image into a vector.
final class RearrangementStep: PlanStep {
    /// Reads one buffer and writes another.
    private typealias Move = (UnsafePointer<Float>, UnsafeMutablePointer<Float>) -> Void

    private let x: PlanEdge
    let output: PlanValue
    private let move: Move
    /// Adds up, for each value read, the gradients that come back to it.
    private let moveBack: Move
    private var yGradient: PlanBuffer?
    private var xGradient: PlanBuffer?

    private init(_ x: PlanEdge, _ y: PlanValue, move: @escaping Move, back moveBack: @escaping Move) {
        self.x = x
        output = y
        self.move = move
        self.moveBack = moveBack
    }

    private convenience init(
        _ x: PlanEdge, _ y: PlanValue, _ layout: PlanLayout, top: Int = 0, left: Int = 0,
        step: Graph.Operation.Extent = .one, map: [Int32]? = nil
    ) {
        let (from, to) = (x.value.shape, y.shape)
        let form = winnow_rearrangement(
            images: layout.images, height: from.height, width: from.width, channels: from.channels, top: top,
            left: left, row_step: step.height, column_step: step.width, output_height: to.height,
            output_width: to.width, output_channels: to.channels, map: nil)
        func withForm(_ body: (UnsafePointer<winnow_rearrangement>) -> Void) {
            var form = form
            guard let map else { return body(&form) }
            map.withUnsafeBufferPointer {
                form.map = $0.baseAddress
                body(&form)
            }
        }
        self.init(
            x, y, move: { from, to in withForm { winnow_rearrange($0, from, to) } },
            back: { from, to in withForm { winnow_rearrange_gradient($0, from, to) } })
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

    /// `[image, pixel, channel]` becomes `[image, channel, pixel]`. Channels of a single pixel need no step; their vector is
    /// the value itself.
    convenience init(flatten x: PlanEdge, _ y: PlanValue, _ layout: PlanLayout) {
        let (images, shape) = (layout.images, x.value.shape)
        self.init(
            x, y, move: { winnow_transpose($0, images, shape.pixels, shape.channels, $1) },
            back: { winnow_transpose($0, images, shape.channels, shape.pixels, $1) })
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

    func forward(_ statistics: NormalisationStatistics) { move(x.value.buffer.pointer, output.buffer.pointer) }

    func backward() {
        guard let yGradient, let xGradient else { return }
        moveBack(yGradient.pointer, xGradient.pointer)
    }
}
