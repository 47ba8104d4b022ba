/// CIFAR-100: 32 × 32 colour images in 100 classes, or the 20 superclasses.
enum CIFAR100 {
    /// The files in a folder, or in the official archive's folder below it; nil if there are none.
    static func reader(at path: String, _ labels: ImageSource.CIFAR100Labels) throws -> (any ImageReader)? {
        let layout = ImageLayout(shape: CIFAR10.layout.shape, classes: labels == .fine ? 100 : 20)
        func names(_ ending: String) -> [EvaluationSettings.Split: [String]] {
            [.test: ["test\(ending)"], .train: ["train\(ending)"]]
        }
        if let files = CIFARFiles(in: [path, "\(path)/cifar-100-binary"], names: names(".bin")) {
            let records = CIFARRecords(layout: layout, labelBytes: 2, labelAt: labels == .fine ? 1 : 0)
            return CIFARBinary(files: files, records: records, of: .cifar100)
        }
        if let files = CIFARFiles(in: [path, "\(path)/cifar-100-python"], names: names("")) {
            return CIFARPython(files: files, layout: layout, labels: "\(labels.rawValue)_labels", of: .cifar100)
        }
        return nil
    }
}
