/// Consecutive stages that are computed a few rows at a time, each reading what the one before it made, so that what they
/// hand on stays in cache and has memory for these rows only.
struct Chain {
    /// How the rows that a stage makes follow from those that it reads.
    struct Window {
        /// Rows of the input from the first to the last one that an output row reads.
        let reach: Int
        let stride: Int
        let padding: Int
        /// Rows of the input and of the output.
        let input: Int
        let output: Int

        /// The first row that is read for an output row and all after it.
        func start(_ row: Int) -> Int { min(max(row * stride - padding, 0), input) }

        /// The row behind the last one that is read for the output rows before `end`, of which there is one at least.
        func end(_ end: Int) -> Int { min(max((end - 1) * stride - padding + reach, 0), input) }
    }

    /// Some rows of a stage.
    struct Piece {
        /// The stage's place in the chain.
        let stage: Int
        let rows: Range<Int>
        /// The first row that the memory of its input has, and of its output.
        let input: Int
        let output: Int
        /// Rows of its output that are still needed and move to the front of the memory before; it began with row
        /// `first`.
        let kept: (rows: Range<Int>, first: Int)?
    }

    /// When stages form chains. It decides the speed and the memory only, never a bit of the result.
    struct Rule {
        /// Lines of a value from which on it is handed on in rows: what second-level caches do not hold.
        var linesMin = 16_384
        /// Pixels of a channel that the last stage makes at a time, in whole rows: enough to be worth their overhead.
        var pixels = 112
    }

    let pieces: [Piece]
    /// Rows that the memory of each stage's output needs; the last one's is not of this memory.
    let capacities: [Int]
    /// For each stage whether its rows are always as far as the last one's: then whatever it reads for a row of its own
    /// may be overwritten by that row of the last.
    let isAhead: [Bool]

    /// Plans `rows` rows of the last stage at a time.
    init(_ windows: [Window], rows: Int) {
        let last = windows.count - 1
        var done = [Int](repeating: 0, count: windows.count)
        var first = done
        var pieces: [Piece] = []
        var capacities = done
        var isAhead = [Bool](repeating: true, count: windows.count)
        while done[last] < windows[last].output {
            var targets = done
            targets[last] = min(done[last] + rows, windows[last].output)
            for stage in stride(from: last, to: 0, by: -1) {
                targets[stage - 1] = max(done[stage - 1], windows[stage].end(targets[stage]))
            }
            for stage in windows.indices where targets[stage] > done[stage] {
                var kept: (rows: Range<Int>, first: Int)?
                if stage < last {
                    let needed = min(windows[stage + 1].start(done[stage + 1]), done[stage])
                    if needed > first[stage] {
                        if needed < done[stage] { kept = (needed..<done[stage], first[stage]) }
                        first[stage] = needed
                    }
                    capacities[stage] = max(capacities[stage], targets[stage] - first[stage])
                }
                pieces.append(
                    Piece(
                        stage: stage, rows: done[stage]..<targets[stage], input: stage > 0 ? first[stage - 1] : 0,
                        output: first[stage], kept: kept))
                done[stage] = targets[stage]
            }
            for stage in windows.indices where done[stage] < done[last] { isAhead[stage] = false }
        }
        self.pieces = pieces
        self.capacities = capacities
        self.isAhead = isAhead
    }
}
