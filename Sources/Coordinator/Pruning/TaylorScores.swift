import Shared

/// The Taylor scores that a run takes along as prior knowledge of its filters.
enum TaylorScores {
    /// Training images that give gradients, at most and at least, …
    private static let imagesMax = 1024
    private static let imagesMin = 64
    /// … and multiply-accumulates of the network for all of them, about: seconds on one core.
    private static let multiplyAccumulatesMax = 1e11

    /// The mean squared gate gradient of every filter on the first training images, or nil where it cannot be had: on a
    /// host without `winnow-worker`, for a network that training does not know, without training images. Says why.
    /// Throws only where it is interrupted.
    static func measure(_ network: Network, on data: DataSet, by jobs: NetworkJobs?) throws -> [Double]? {
        guard let jobs else {
            Log.shared.line("the ranking begins without Taylor scores: winnow-worker is not on this host")
            return nil
        }
        do {
            let affordable = multiplyAccumulatesMax / Double(max(network.graph.cost().multiplyAccumulates, 1))
            let images = try min(Int(min(max(affordable, Double(imagesMin)), Double(imagesMax))), data.count(.train))
            Log.shared.step("taking Taylor scores on \(images) training images, as prior knowledge")
            return try jobs.gateGradients(of: network, images: images)
        } catch {
            if (error as? Failure)?.kind == .interrupted { throw error }
            Log.shared.line("the ranking begins without Taylor scores: \(error)")
            return nil
        }
    }
}
