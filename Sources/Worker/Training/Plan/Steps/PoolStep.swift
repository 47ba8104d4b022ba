import CKernels
import Shared

/// The largest value or the mean of windows of each channel: every kind of pooling.
///
/// A small loop of our own, since oneDNN's means divide by the kernel's size, while PyTorch counts the values in the
/// padded channel, and since oneDNN has no adaptive windows.
final class PoolStep: PlanStep {
    private let rows: [winnow_window]
    private let columns: [winnow_window]
    private let isLargest: Bool
    private let x: PlanEdge
    let output: PlanValue
    private let images: Int
    /// Where the largest values came from.
    private var chosen: PlanBuffer?
    private var yGradient: PlanBuffer?
    private var xGradient: PlanBuffer?

    init(_ pool: Graph.Operation.Pool, _ x: PlanEdge, _ y: PlanValue, _ layout: PlanLayout) {
        let from = x.value.shape
        func windows(
            _ size: Int, _ count: Int, _ extents: KeyPath<Graph.Operation.Extent, Int>, before: Int, after: Int
        ) -> [winnow_window] {
            let (kernel, dilation) = (pool.kernel[keyPath: extents], pool.dilation[keyPath: extents])
            return (0..<count).map { index in
                let start = index * pool.stride[keyPath: extents] - before
                let taps = (0..<kernel).map { start + $0 * dilation }
                let inside = taps.filter { (0..<size).contains($0) }
                let counted = pool.countsPadding ? taps.count { $0 < size + after } : inside.count
                return winnow_window(
                    begin: Int32(inside.first ?? 0), end: Int32((inside.last ?? -1) + 1), step: Int32(dilation),
                    counted: Int32(counted))
            }
        }
        rows = windows(from.height, y.shape.height, \.height, before: pool.padding.top, after: pool.padding.bottom)
        columns = windows(from.width, y.shape.width, \.width, before: pool.padding.left, after: pool.padding.right)
        isLargest = pool.kind == .max
        self.x = x
        output = y
        images = layout.images
    }

    /// Means of regions that cover each channel.
    init(adaptive size: Graph.Operation.Extent, _ x: PlanEdge, _ y: PlanValue, _ layout: PlanLayout) {
        func windows(_ size: Int, _ count: Int) -> [winnow_window] {
            (0..<count).map { index in
                let begin = index * size / count
                let end = ((index + 1) * size + count - 1) / count
                return winnow_window(
                    begin: Int32(begin), end: Int32(end), step: 1, counted: Int32(end - begin))
            }
        }
        rows = windows(x.value.shape.height, size.height)
        columns = windows(x.value.shape.width, size.width)
        isLargest = false
        self.x = x
        output = y
        images = layout.images
    }

    func layOutForward(_ layout: PlanLayout) {
        layout.read(x.value)
        layout.write(output)
        if isLargest, layout.purpose != .inference, x.value.dependsOnParameters {
            chosen = layout.buffer(output.buffer.count)
        }
    }

    func layOutBackward(_ layout: PlanLayout) {
        yGradient = layout.takeGradient(of: output)
        if let chosen { layout.use(chosen) }
        let gradient = layout.buffer(x.value.buffer.count)
        xGradient = gradient
        layout.contribute(gradient, to: x)
    }

    func forward(_ statistics: NormalisationStatistics) {
        let shape = x.value.shape
        winnow_pool(
            x.value.buffer.pointer, images, shape.height, shape.width, shape.channels, rows, rows.count, columns,
            columns.count, isLargest, output.buffer.pointer, chosen?.integers)
    }

    func backward() {
        guard let yGradient, let xGradient else { return }
        let shape = x.value.shape
        winnow_pool_gradient(
            yGradient.pointer, images, shape.height, shape.width, shape.channels, rows, rows.count, columns,
            columns.count, chosen?.integers, xGradient.pointer)
    }
}
