import Foundation
import Shared

/// `winnow-coordinator resume`.
struct Resume: Command {
    static let description = CommandDescription(
        name: "resume",
        summary: "go on with a run that was interrupted",
        discussion: """
            Evaluates the masks that the run file has no evaluation of, then fits and reports as 'run' does. The ranking is \
            the same as if the run had never been interrupted. What decides it (the network, the images, the masks) is in \
            the run file and cannot be changed; who evaluates may be.

              winnow-coordinator resume --run resnet20.winnow --local-workers 2 --report report
            """)

    @Option("The run file.", name: "run", value: "FILE") var runFile: String
    @Option("The folder of the CIFAR-10 binary batches, where it is not where it was.", value: "DIR") var data: String?
    @Option("The folder to write the ranking and the report to.", value: "DIR") var report: String?
    @OptionGroup var cluster = ClusterOptions()
    @OptionGroup var livePage = LivePageOptions()

    func validate() throws {
        try cluster.validate()
        try livePage.validate()
    }

    func run() throws {
        signal(SIGPIPE, SIG_IGN)
        signal(SIGXFSZ, SIG_IGN)
        let signals = try SignalQueue(SignalQueue.endings)
        let file = try RunFile.resume(at: runFile)
        let description = file.description
        let network = try Checkpoint.network(bytes: file.checkpoint(), name: "the network in \(runFile)")
        try description.check(against: FilterSpace(network.architecture))
        let folder = data ?? description.data.path
        let (images, calibration) = try RunSession.readImages(description.settings, from: folder)
        guard images.digest == description.data.images, calibration?.digest == description.data.calibrationImages
        else {
            throw Failure(
                .badInput, "the images in \(folder) are not those of the run; name the right folder with --data")
        }
        let listener = try cluster.listen()
        let dashboard = try livePage.open()
        let session = RunSession(
            file: file, images: images, calibrationImages: calibration, cluster: cluster, dashboard: dashboard,
            reportFolder: report)
        try session.run(at: listener, signals: signals)
    }
}
