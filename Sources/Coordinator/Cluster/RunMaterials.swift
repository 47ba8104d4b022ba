import Shared

/// The files that workers of a run download: the network's checkpoint and the images.
struct RunMaterials {
    let network: CoordinatorMessage.Blob
    let images: CoordinatorMessage.Blob
    let calibrationImages: CoordinatorMessage.Blob?
    /// What is announced.
    let store: BlobStore

    /// The materials of a run.
    init(checkpoint: [UInt8], images: ImageSet, calibrationImages: ImageSet?) {
        var store = BlobStore()
        network = store.add(checkpoint)
        self.images = store.add(images.blob)
        self.calibrationImages = calibrationImages.map { store.add($0.blob) }
        self.store = store
    }
}
