import Shared

/// Networks for the tests.
public enum Networks {
    /// A CIFAR-10 ResNet of `6 n + 2` layers with the published channel counts.
    public static func resnet(_ n: Int) -> Graph {
        var blocks: [CIFARResNet.Block] = []
        var input = 16
        for (stage, output) in [16, 32, 64].enumerated() {
            for block in 0..<n {
                blocks.append(
                    CIFARResNet.Block(
                        name: "layer\(stage + 1).\(block)", stride: stage > 0 && block == 0 ? 2 : 1, input: input,
                        hidden: output, output: output,
                        shortcut: CIFARResNet.Block.paddedShortcut(input: input, output: output)))
                input = output
            }
        }
        return .residual(CIFARResNet(stem: 16, blocks: blocks, classes: 10))
    }

    /// ResNet-20's filters.
    public static let resnet20 = FilterSpace(resnet(3))
    /// ResNet-56's filters.
    public static let resnet56 = FilterSpace(resnet(9))

    /// A chain of linear layers with names as `nn.Sequential` gives them.
    public static func connected(_ widths: [Int]) -> FilterSpace {
        let layers = zip(widths, widths.dropFirst()).enumerated().map { index, width in
            LinearChain.Linear(name: "layers.\(2 * index)", input: width.0, output: width.1)
        }
        return FilterSpace(Graph.fullyConnected(LinearChain(layers: layers)))
    }
}
