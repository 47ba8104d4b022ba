import Foundation
import Shared

/// `winnow-coordinator resume`.
struct Resume: Command {
    static let description = CommandDescription(
        name: "resume",
        summary: "resume an interrupted run, or extend one",
        discussion: """
            Evaluates the masks that the run file lacks, then fits and reports like 'run'. The ranking is the same as if \
            the run had never been interrupted:

              winnow-coordinator resume --run resnet20.winnow

            The run file remembers the options of the last start (where it listened, its key files, its workers, the \
            report's folder, the live page), and resume reuses them. Options you give replace the remembered ones. What \
            decides the ranking (the network, the images, how masks are drawn) is fixed, but you can add masks:

              winnow-coordinator resume --run resnet20.winnow --masks 4000
              winnow-coordinator resume --run resnet20.winnow --until-reliability 0.9
            """)

    @Option("The run file.", name: "run", value: "FILE") var runFile: String
    @Option("Where the images are now, if they have moved.", value: "PATH") var data: String?
    @OptionGroup var dataFormat = DataFormatOptions()
    @Option("Folder for the ranking and the report.", value: "DIR") var report: String?
    @Option("Extend the run to this many masks in all; no fewer than it has evaluated.", value: "N") var masks: Int?
    @OptionGroup var settling = SettlingOptions()
    @OptionGroup var cluster = ClusterOptions()
    @OptionGroup var livePage = LivePageOptions()

    func validate() throws {
        try cluster.validate()
        try livePage.validate()
        try dataFormat.validate()
        try settling.validate()
    }

    /// The options remembered in the run file that this command also has, with the actual ports, since workers on other
    /// hosts know them.
    static func options(
        of command: some Command, listeningAt endpoint: String, pageAt address: String?
    ) -> GivenOptions {
        var options = GivenOptions(in: command).understood(by: Resume(), except: "run", "masks", "until-reliability")
        options.replace("bind", by: endpoint)
        if let address { options.replace("http", by: address) }
        return options
    }

    func run() throws {
        signal(SIGPIPE, SIG_IGN)
        signal(SIGXFSZ, SIG_IGN)
        let signals = try SignalQueue(SignalQueue.endings)
        let file = try RunFile.resume(at: runFile)
        if let remembered = try file.rememberedOptions() {
            remembered.restore(into: self)
            Log.shared.line("resuming with: \(ShellWords.command(GivenOptions(in: self).words))")
            try validate()
        }
        try extend(file)
        try RunSession.prepareReport(report)
        let description = file.description
        let network = try Checkpoint.network(
            bytes: file.checkpoint(), name: "the network in \(runFile)", note: { _ in })
        try description.check(against: FilterSpace(network.graph))
        let source = dataFormat.source(data ?? description.data.path, like: description.data.source)
        let (images, calibration) = try readImages(of: description, from: source)
        let listener = try cluster.listen()
        let dashboard = try livePage.open()
        try file.remember(Self.options(of: self, listeningAt: listener.endpoint, pageAt: dashboard?.address))
        let session = RunSession(
            file: file, images: images, calibrationImages: calibration, source: source, cluster: cluster,
            dashboard: dashboard,
            reportFolder: report)
        try session.run(at: listener, signals: signals)
    }

    /// Sets the run's number of masks to what it may need now. A number of masks alone also ends the run there.
    private func extend(_ file: RunFile) throws {
        let ensemble = file.description.ensemble
        let aim = settling.untilReliability
        if let masks {
            let evaluated = try file.lastEvaluatedMask().map { $0 + 1 } ?? 0
            guard masks >= evaluated else {
                throw Failure(.usage, "--masks \(masks) is fewer than the \(evaluated) that the run has evaluated")
            }
            try file.change(masks: masks, untilReliability: aim)
        } else if let aim {
            let most = SamplingOptions.mostMasks(filters: ensemble.participating.count)
            try file.change(masks: max(ensemble.count, most), untilReliability: aim)
        }
    }

    private func readImages(
        of description: RunDescription, from source: ImageSource
    ) throws -> (images: ImageSet, calibration: ImageSet?) {
        do {
            let (images, calibration) = try RunSession.readImages(
                description.settings, from: source.open(needsLabels: description.settings.labels == .given))
            if images.digest == description.data.images, calibration?.digest == description.data.calibrationImages {
                return (images, calibration)
            }
        } catch let failure as Failure where !FileManager.default.fileExists(atPath: source.path) {
            throw Failure(
                failure.kind,
                "the run's images were in \(source.path), which is gone; give their path with --data")
        }
        throw Failure(
            .badInput, "the images in \(source.path) are not the run's; give the right path with --data")
    }
}
