/// Networks recognised by the names and shapes of a checkpoint's tensors, since a checkpoint without a graph has no
/// forward pass. A family is one short file; ``NetworkRecognition`` has the list.
protocol ArchitectureFamily {
    /// What it reads, for messages.
    static var summary: String { get }

    /// Whether tensors are named like this family's.
    static func matches(_ state: StateDict) -> Bool

    /// The network's graph, for images of a shape if that is known, with the user's hints. Throws a `.badInput`
    /// ``Failure`` that names the tensor that does not fit. Whether all tensors are there, and no others, is checked
    /// for all families alike.
    static func graph(of state: StateDict, image: Shape?, hints: CheckpointHints) throws -> Graph
}
