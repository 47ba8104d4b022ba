import Foundation
import Shared

/// `winnow-coordinator images`.
struct ConvertImages: Command {
    static let description = CommandDescription(
        name: "images",
        summary: "show labelled images' statistics, or convert them to NumPy arrays",
        discussion: """
            Reads images in any format that --data takes and prints how many each class has, and the mean and deviation \
            of each channel. --output writes them as one .npz file, which loads faster than many pictures decode. For \
            ImageNet pictures, cropped as most networks expect:

              winnow-coordinator images --data imagenet --resize 256 --crop 224 --output imagenet.npz
              winnow-coordinator run --data imagenet.npz …
            """)

    @Option("Labelled images: a folder or file in a format listed in docs/images.md.", value: "PATH") var data: String
    @OptionGroup var dataFormat = DataFormatOptions()
    @Option("Read the first N images of each split. By default all.", value: "N") var images: Int?
    @OptionGroup var normalisation = NormalisationOptions()
    @Option("Where to write the images: an .npz file.", value: "FILE") var output: String?
    @Flag("Overwrite an existing file.") var force: Bool
    @Flag("Print JSON.") var json: Bool

    func validate() throws {
        try dataFormat.validate()
        try normalisation.validate()
        if let images, images < 1 { throw Failure(.usage, "--images must be at least 1") }
        if let output, !output.hasSuffix(".npz") { throw Failure(.usage, "--output must end in .npz") }
    }

    func run() throws {
        try OutputGuard(reading: [data], isForced: force).check(output)
        let start = ContinuousClock.now
        let source = try dataFormat.source(data).open(needsLabels: false)
        let normalisation = try normalisation.normalisation(for: source)
        if !json { print(source.summary(normalisation)) }
        var sets: [ImageSet] = []
        for split in source.splits {
            let limit = try images.map { min($0, try source.count(split)) }
            sets.append(try source.read(split, limit: limit))
        }
        let count = sets.reduce(0) { $0 + $1.count }
        let seconds = start.duration(to: .now) / .seconds(1)
        Log.shared.line(
            "\(count) \(count == 1 ? "image" : "images") read, \(Int(Double(count) / max(seconds, 0.001))) a second")
        if json {
            print(ImageStatistics.json(of: sets, from: source, normalisation))
        } else {
            for set in sets {
                if source.hasSplits { print("\(set.split.rawValue):") }
                print(ImageStatistics(set).text(of: set.layout, hasLabels: source.hasLabels))
            }
        }
        guard let output else { return }
        let archive = try NumpyArchive(output)
        for set in sets {
            try archive.add(
                set, prefix: source.hasSplits ? "\(set.split.rawValue)_" : "", hasLabels: source.hasLabels)
        }
        try archive.add(
            classes: source.hasLabels ? source.layout.classes : nil, normalisation, mayBeMirrored: source.mayBeMirrored)
        try archive.finish()
        if !json { print(output) }
    }
}
