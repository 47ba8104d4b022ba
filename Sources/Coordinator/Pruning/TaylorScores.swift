import Shared

/// The Taylor scores that a run stores as prior knowledge about its filters.
enum TaylorScores {
    /// Training images for gradients, at most and at least, …
    private static let imagesMax = 1024
    private static let imagesMin = 64
    /// … and the approximate multiply-accumulates of the network for all of them: seconds on one core.
    private static let multiplyAccumulatesMax = 1e11

    /// The mean squared gate gradient of every filter on the first training images, or nil if not available: on a host
    /// without `winnow-worker`, for a network that training does not support, without training images. Says why.
    static func measure(_ network: Network, on data: DataSet, normalisation: Normalisation) -> [Double]? {
        do {
            let affordable = multiplyAccumulatesMax / Double(max(network.graph.cost().multiplyAccumulates, 1))
            let images = try min(Int(min(max(affordable, Double(imagesMin)), Double(imagesMax))), data.count(.train))
            Log.shared.step("computing Taylor scores on \(images) training images, as prior knowledge")
            defer { Log.shared.clearStatus() }
            return try WorkerProcess.find(threads: nil).gateGradients(
                of: network, data: data.source, images: images, normalisation: normalisation)
        } catch {
            Log.shared.line("the ranking starts without Taylor scores: \(error)")
            return nil
        }
    }
}
