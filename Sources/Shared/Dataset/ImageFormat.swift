/// The supported formats of images.
public enum ImageFormat: String, Sendable, Hashable, Codable, CaseIterable {
    /// CIFAR-10: binary batches, or the Python version that torchvision downloads.
    case cifar10
    /// CIFAR-100: likewise.
    case cifar100
    /// MNIST's files, which Fashion-MNIST, KMNIST and EMNIST share.
    case idx
    /// NumPy's `.npz`, or a folder of `.npy`.
    case numpy
    /// One folder of pictures per class.
    case folder
}

extension ImageFormat: ArgumentValue {}
