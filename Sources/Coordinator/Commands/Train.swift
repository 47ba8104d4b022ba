import Shared

/// `winnow-coordinator train`.
struct Train: Command {
    static let description = CommandDescription(
        name: "train",
        summary: "train a network from scratch",
        discussion: """
            Trains by synchronous stochastic gradient descent on the workers. On one machine:

              winnow-coordinator train --architecture resnet20 --data cifar-10-batches-bin --epochs 160 \\
                  --learning-rate 0.1 --output resnet20.safetensors

            On many, add --bind and start 'winnow-worker serve' there. After Ctrl-C, the same command with --resume \
            resumes, with the same result as without the interruption.
            """)

    @Option("resnet20, resnet56, …, resnet:WIDTHxDEPTH, or mlp:512-256 (the hidden layers).", value: "NAME")
    var architecture: ArchitectureName
    @OptionGroup var training = TrainingOptions()

    func validate() throws {
        try training.validate()
        _ = try InitialNetwork(architecture.text)
    }

    func run() throws {
        try training.train(from: nil) { try InitialNetwork(architecture.text, for: $0).network(seed: training.seed) }
    }
}

/// The name of an architecture to train, which the images' shape completes.
struct ArchitectureName: ArgumentValue {
    let text: String

    init?(argument: String) { text = argument }

    var argumentText: String { text }
    static var expectation: String { "resnet20, resnet56, …, resnet:WIDTHxDEPTH or mlp:512-256" }
    static var choices: [String] { [20, 32, 44, 56, 110].map { "resnet\($0)" } }
}
