/// The options that say how images are stored.
public struct DataFormatOptions {
    @Option(
        "Format of the images, if the folder holds several: cifar10, cifar100, idx (MNIST and the like), numpy "
            + "or folder (one subfolder of pictures per class).", value: "FORMAT") var dataFormat: ImageFormat?
    @Option("Number of classes, if some do not occur among the labels.", value: "N") var classes: Int?
    @Option("Which CIFAR-100 labels to use: fine or coarse.", value: "LABELS")
    var cifar100Labels: ImageSource.CIFAR100Labels = .fine
    @Option("Scale pictures so that their shorter side is N, like torchvision's Resize.", value: "N")
    var resize: Int?
    @Option("Crop the central N by N pixels of pictures, like torchvision's CenterCrop.", value: "N")
    var crop: Int?
    @Flag("Skip unreadable pictures, if they are at most one per cent.") var skipBroken: Bool

    /// Makes the options with their defaults.
    public init() {}

    /// Complains of numbers that cannot be. Throws a `.usage` ``Failure``.
    public func validate() throws {
        for (name, value, limit) in [
            ("--classes", classes, ImageLayout.classesMax), ("--resize", resize, ImageLayout.extentMax),
            ("--crop", crop, ImageLayout.extentMax),
        ] {
            if let value, !(1...limit).contains(value) { throw Failure(.usage, "\(name) must be from 1 to \(limit)") }
        }
    }

    /// The images of a folder or file. Without options, they are read like `other`.
    public func source(_ path: String, like other: ImageSource? = nil) -> ImageSource {
        ImageSource(
            path, format: dataFormat ?? other?.format, classes: classes ?? other?.classes,
            cifar100Labels: $cifar100Labels.isGiven ? cifar100Labels : other?.cifar100Labels ?? .fine,
            resize: resize ?? other?.resize, crop: crop ?? other?.crop,
            skipsBroken: skipBroken || other?.skipsBroken ?? false)
    }
}

extension ImageSource.CIFAR100Labels: ArgumentValue {}
