/// The filters of a residual stream that can only be removed together.
///
/// A channel of the stream is the sum of what the stem and every block add to it, so it vanishes only when all of them
/// stop adding: the stem's filter and the blocks' `conv2` filters that parameter-free shortcuts connect, across
/// stages. Disabling all filters of a group and removing the channel from every layer is the same thing
/// (``Compaction``), so a group's importance is that of disabling its filters together.
public struct CoupledGroups: Sendable, Equatable {
    /// The groups, by their first filter. Every filter of role `stem` or `stream` is in exactly one; a group's filters
    /// ascend. None where the network has no residual stream.
    public let groups: [[Int]]

    /// Finds the groups of a network. O(channels).
    public init(_ architecture: Architecture) {
        guard case .residual(let residual) = architecture else {
            groups = []
            return
        }
        let space = FilterSpace(architecture)
        // The group of every channel of the stream, numbered in the order of their first filters. A channel that two
        // outputs read merges nothing: both join the group of their source.
        var members: [[Int]] = space.layers[0].filters.map { [$0] }
        var groupOfChannel = Array(members.indices)
        for (index, block) in residual.blocks.enumerated() {
            let first = space.layers[2 + 2 * index].filters.lowerBound
            groupOfChannel = block.shortcut.enumerated().map { channel, source in
                guard let source else {
                    members.append([first + channel])
                    return members.count - 1
                }
                members[groupOfChannel[source]].append(first + channel)
                return groupOfChannel[source]
            }
        }
        groups = members
    }
}
