import Shared

/// `winnow-coordinator finetune`.
struct Finetune: Command {
    static let description = CommandDescription(
        name: "finetune",
        summary: "recover the accuracy of a pruned network",
        discussion: """
            Trains a network further, by synchronous stochastic gradient descent on the workers. On one machine:

              winnow-coordinator finetune --model pruned.safetensors --distill-from resnet56.th \\
                  --data cifar-10-batches-bin --epochs 40 --output recovered.safetensors

            On many, add --bind and start 'winnow-worker serve' there. After Ctrl-C, the same command with --resume \
            resumes, with the same result as without the interruption.
            """)

    @Option("Network to train further (ONNX, PyTorch or safetensors).", value: "FILE") var model: String
    @OptionGroup var checkpoint = CheckpointOptions()
    @OptionGroup var training = TrainingOptions()

    func validate() throws {
        try checkpoint.validate()
        try training.validate()
    }

    func run() throws {
        var hints = checkpoint.hints
        // Only one of network and teacher may lack a graph.
        hints.mustBeNeeded = training.distillFrom == nil
        try training.train(from: model, teacherHints: hints) {
            try Checkpoint.network(at: model, image: $0.shape, hints: hints)
        }
    }
}
