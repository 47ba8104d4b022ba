/// The options that say how images are stored, beside where they are.
public struct DataFormatOptions {
    @Option(
        "The form of the images, where several lie in the folder: cifar10, cifar100, idx (MNIST and its like), numpy or "
            + "folder (one of pictures for each class).", value: "FORMAT") var dataFormat: ImageFormat?
    @Option("Classes, where not every one of them occurs among the labels.", value: "N") var classes: Int?
    @Option("Which of CIFAR-100's labels count: fine or coarse.", value: "LABELS")
    var cifar100Labels: ImageSource.CIFAR100Labels = .fine
    @Option("Scale pictures until their shorter side is N long, as torchvision's Resize does.", value: "N")
    var resize: Int?
    @Option("Cut N by N pixels out of the middle of pictures, as torchvision's CenterCrop does.", value: "N")
    var crop: Int?
    @Flag("Leave out pictures that cannot be read, where they are at most one per cent.") var skipBroken: Bool

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

    /// The images of a folder or file. Where nothing is said here, they are read as `other` was.
    public func source(_ path: String, like other: ImageSource? = nil) -> ImageSource {
        ImageSource(
            path, format: dataFormat ?? other?.format, classes: classes ?? other?.classes,
            cifar100Labels: $cifar100Labels.isGiven ? cifar100Labels : other?.cifar100Labels ?? .fine,
            resize: resize ?? other?.resize, crop: crop ?? other?.crop,
            skipsBroken: skipBroken || other?.skipsBroken ?? false)
    }
}

extension ImageSource.CIFAR100Labels: ArgumentValue {}
