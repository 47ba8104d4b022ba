import Shared

/// `winnow-coordinator train`.
struct Train: Command {
    static let description = CommandDescription(
        name: "train",
        summary: "train a network from scratch",
        discussion: """
            Trains on the workers by synchronous stochastic gradient descent. On one machine:

              winnow-coordinator train --architecture resnet20 --data cifar-10-batches-bin --epochs 160 \\
                  --learning-rate 0.1 --output resnet20.safetensors

            On many, add --bind and start 'winnow-worker serve' there. Ctrl-C stops it, and the same command with \
            --resume goes on; the result is the same as without the interruption.
            """)

    @Option("resnet20, resnet56, …, resnet:WIDTHxDEPTH, or mlp:512-256 (the hidden layers).", value: "NAME")
    var architecture: String
    @OptionGroup var training = TrainingOptions()

    func validate() throws {
        try training.cluster.validate()
        _ = try training.settings()
        _ = try InitialNetwork(architecture)
    }

    func run() throws {
        try training.train(from: nil) { try InitialNetwork(architecture, for: $0).network(seed: training.seed) }
    }
}
