import Foundation
import Shared

/// Statistics of an image set: how many images each class has, and the mean and deviation of each channel (bytes scaled
/// to 0…1).
struct ImageStatistics {
    /// Images of each class.
    private(set) var counts: [Int]
    /// The mean of each channel.
    private(set) var means: [Double] = []
    /// The standard deviation of each channel, over all pixels of all images.
    private(set) var deviations: [Double] = []

    /// Classes of which each is listed.
    private static let listedMax = 20

    /// Goes through all images.
    init(_ images: ImageSet) {
        let layout = images.layout
        counts = [Int](repeating: 0, count: layout.classes)
        images.withLabels { for label in $0 { counts[Int(label)] += 1 } }
        let shape = layout.shape
        images.withPixels { raw in
            for channel in 0..<shape.channels {
                var (sum, squares) = (0.0, 0.0)
                for image in 0..<images.count {
                    let range =
                        image * shape.count + channel * shape.pixels..<image * shape.count + (channel + 1)
                        * shape.pixels
                    switch layout.pixelType {
                    case .uint8:
                        var (whole, square) = (0, 0)
                        for value in raw[range] {
                            whole += Int(value)
                            square += Int(value) * Int(value)
                        }
                        sum += Double(whole) / 255
                        squares += Double(square) / (255 * 255)
                    case .float32:
                        for value in raw.bindMemory(to: Float.self)[range] {
                            sum += Double(value)
                            squares += Double(value) * Double(value)
                        }
                    }
                }
                let count = Double(max(images.count * shape.pixels, 1))
                let mean = sum / count
                means.append(mean)
                deviations.append(max(0, squares / count - mean * mean).squareRoot())
            }
        }
    }

    /// The same for several sets as JSON, with the images' common properties and how they become inputs.
    static func json(of sets: [ImageSet], from source: DataSet, _ normalisation: Normalisation) -> String {
        var writer = JSONWriter()
        let layout = source.layout
        writer.object { writer in
            writer.member("format", source.format.rawValue)
            writer.array("shape", of: [layout.shape.channels, layout.shape.height, layout.shape.width]) {
                $0.element($1)
            }
            if source.hasLabels { writer.member("classes", layout.classes) }
            writer.member("pixels", layout.pixelType.rawValue)
            writer.array("mean", of: normalisation.mean) { $0.element(Double($1)) }
            writer.array("deviation", of: normalisation.deviation) { $0.element(Double($1)) }
            writer.array("splits", of: sets) { writer, set in
                let statistics = ImageStatistics(set)
                writer.object { writer in
                    if source.hasSplits { writer.member("split", set.split.rawValue) }
                    writer.member("images", set.count)
                    if source.hasLabels { writer.array("counts", of: statistics.counts) { $0.element($1) } }
                    writer.array("channel_means", of: statistics.means) { $0.element($1) }
                    writer.array("channel_deviations", of: statistics.deviations) { $0.element($1) }
                }
            }
        }
        return writer.text
    }

    /// A few lines for a person.
    func text(of layout: ImageLayout, hasLabels: Bool) -> String {
        let total = counts.reduce(0, +)
        let each =
            counts.count <= Self.listedMax
            ? counts.map(String.init).joined(separator: ", ")
            : "\(counts.min() ?? 0) to \(counts.max() ?? 0)"
        // In the format of --mean and --deviation.
        func list(_ values: [Double]) -> String { values.map { String(format: "%.4f", $0) }.joined(separator: ",") }
        let classes = "in \(layout.classes) \(layout.classes == 1 ? "class" : "classes"): \(each)"
        return """
              \(total) \(total == 1 ? "image" : "images") \(hasLabels ? classes : "without labels")
              mean \(list(means)), deviation \(list(deviations))
            """
    }
}
