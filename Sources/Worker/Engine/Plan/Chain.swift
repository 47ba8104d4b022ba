/// Consecutive stages computed a few rows at a time, each reading the previous one's output, so the values between them
/// stay in cache and have memory for these rows only.
struct Chain {
    /// How a stage's output rows follow from its input rows.
    struct Window {
        /// Rows of the input from the first to the last one that an output row reads.
        let reach: Int
        let stride: Int
        let padding: Int
        /// Rows of the input and of the output.
        let input: Int
        let output: Int

        /// The first row read for an output row and all after it.
        func start(_ row: Int) -> Int { min(max(row * stride - padding, 0), input) }

        /// The end of the rows read for the output rows before `end`, of which there is at least one.
        func end(_ end: Int) -> Int { min(max((end - 1) * stride - padding + reach, 0), input) }
    }

    /// Some rows of a stage.
    struct Piece {
        /// The stage's place in the chain.
        let stage: Int
        let rows: Range<Int>
        /// The first row in the memory of its input, and of its output.
        let input: Int
        let output: Int
        /// Rows of its output that are still needed and first move to the front of the memory; it began with row
        /// `first`.
        let kept: (rows: Range<Int>, first: Int)?
    }

    /// When stages form chains. It affects only the speed and the memory, never a bit of the result.
    struct Rule {
        /// Lines of a value from which on it is passed in rows: more than second-level caches hold.
        var linesMin = 16_384
        /// Pixels of a channel that the last stage makes at a time, in whole rows: enough to be worth the overhead.
        var pixels = 112
    }

    let pieces: [Piece]
    /// Rows that the memory of each stage's output needs; the last one's is elsewhere.
    let capacities: [Int]
    /// For every stage, whether its rows are always in step with the last one's: then that row of the last may
    /// overwrite whatever the stage reads for its own.
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
