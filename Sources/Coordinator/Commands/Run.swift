import Foundation
import Shared

/// `winnow-coordinator run`.
struct Run: Command {
    static let description = CommandDescription(
        name: "run",
        summary: "rank the filters of a network",
        discussion: """
            Draws an ensemble of masks, has them evaluated by workers, fits the additive model and writes the ranking. On \
            one machine:

              winnow-coordinator run --model resnet20.th --data cifar-10-batches-bin --masks 2000 \\
                  --local-workers 2 --run resnet20.winnow --report report

            On many, with a worker on each: 'winnow-worker serve --connect tcp://THIS-HOST:5555', and here:

              winnow-coordinator run … --bind tcp://0.0.0.0:5555 --key-file coordinator.key --admit worker.pub

            Without --masks the run ends when the ranking is sure enough to choose single filters, or as sure as \
            --until-reliability says.

            Ctrl-C stops it. 'winnow-coordinator resume --run FILE' goes on as it was started: the run file remembers \
            the options.
            """)

    @Option("The network's checkpoint: PyTorch or safetensors.", value: "FILE") var model: String
    @OptionGroup var checkpoint = CheckpointOptions()
    @OptionGroup var evaluation = EvaluationOptions()
    @Option("Which images the masks are evaluated on; the ranking should not see the test images.", value: "SPLIT")
    var split: EvaluationSettings.Split = .train
    @OptionGroup var sampling = SamplingOptions()
    @OptionGroup var settling = SettlingOptions()
    @Option("The run file to make; everything about the run is in it.", name: "run", value: "FILE") var runFile: String
    @Option("The folder to write the ranking and the report to.", value: "DIR") var report: String?
    @Option(
        "The share of the masks that two workers evaluate, on different hosts or with different keys where there are "
            + "any, to find wrong answers; 0 for none. Where it is given, the run waits for as long as it takes.",
        value: "SHARE")
    var verifyShare: Double = RunDescription.defaultVerifiedShare
    @OptionGroup var cluster = ClusterOptions()
    @OptionGroup var livePage = LivePageOptions()

    func validate() throws {
        try cluster.validate()
        try livePage.validate()
        try checkpoint.validate()
        try evaluation.validate()
        try settling.validate()
        if sampling.design.comparesAllMasks, settling.untilReliability != nil {
            throw Failure(
                .usage, "--design \(sampling.design.name) evaluates every filter once; it has nothing to settle")
        }
        guard (0...1).contains(verifyShare) else { throw Failure(.usage, "--verify-share must be from 0 to 1") }
    }

    func run() throws {
        signal(SIGPIPE, SIG_IGN)
        signal(SIGXFSZ, SIG_IGN)
        let signals = try SignalQueue(SignalQueue.endings)
        try RunSession.prepareReport(report)
        let opened = try evaluation.dataSet()
        var network = try Checkpoint.network(at: model, image: opened.layout.shape, hints: checkpoint.hints)
        let data = try opened.fitting(network.graph)
        let space = FilterSpace(network.graph)
        let aim = settling.aim(masks: sampling.masks, design: sampling.design)
        let ensemble = try sampling.ensembleToFit(of: space, endsWhenSettled: aim != nil || sampling.masks == nil)
        let settings = try evaluation.settings(split: split, of: data, for: network, masks: ensemble)
        network.facts.normalisation = settings.normalisation
        let checkpoint = try Checkpoint.portable(network, from: model)
        let (images, calibration) = try RunSession.readImages(settings, from: data)
        try images.check(fits: network.graph)
        try images.check(settings.normalisation)
        var jobs = try? NetworkJobs(
            on: data, normalisation: settings.normalisation, cluster: cluster.onThisHost, isInterruptible: true)
        try RecognitionCheck(network: network, data: data, settings: settings, jobs: jobs).check(evaluation.recognition)
        let description = RunDescription(
            of: network, checkpoint: checkpoint, from: model, images: images, calibration: calibration,
            in: data.source, settings: settings, ensemble: ensemble, untilReliability: aim, verifiedShare: verifyShare,
            verificationWaits: $verifyShare.isGiven)
        let dashboard = try livePage.open()
        // A port that is taken must not leave a run file behind.
        let listener = try cluster.listen()
        let taylor =
            data.hasLabels ? try TaylorScores.measure(network, on: data, by: jobs) : nil
        jobs = nil
        let file = try RunFile.create(at: runFile, description, checkpoint: checkpoint, taylor: taylor)
        try file.remember(
            Resume.options(of: self, listeningAt: listener.endpoint, pageAt: dashboard?.address))
        Log.shared.line(
            "ranking \(ensemble.participating.count) of \(space.count) filters of a \(network.graph.summary) with "
                + (aim.map { "masks until the reliability is \(Text.fixed($0, 2)), at most \(ensemble.count)," }
                    ?? "\(ensemble.count) masks")
                + " on \(settings.imagesInWords), seed \(ensemble.seed)"
        )
        Log.shared.line(data.summary(settings.normalisation))
        let session = RunSession(
            file: file, images: images, calibrationImages: calibration, source: data.source, cluster: cluster,
            dashboard: dashboard,
            reportFolder: report)
        try session.run(at: listener, signals: signals)
    }
}
