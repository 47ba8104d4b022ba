import Shared

extension MaskPasses {
    /// A few neighbouring masks: the rounds that contain them, and one value per mask.
    struct Stretch: Sendable {
        /// The masks' indices.
        private(set) var masks = 0..<0
        /// The indices of the evaluated ones, at their positions.
        private(set) var evaluated: ArraySlice<Int> = []
        /// The value of each mask.
        private var values: [Lanes] = []

        private let samplers: [LayerSampler]
        private let places: [Range<Int>]
        /// For each layer, the numbers of the rounds that contain the masks.
        private var numbers: [Range<Int>]
        /// For each layer those rounds, and some for reuse.
        private var rounds: [[LayerSampler.Round]]
        /// For each place of a round's order, the sum of what precedes it.
        private var prefixes: [Lanes] = []
        /// For each place of a round's order, the change of a sum there; zeros between uses.
        private var changes: [Lanes] = []
        /// For each mask, the number of disabled filters of each layer.
        private var counts: [Int] = []

        init(_ samplers: [LayerSampler], _ places: [Range<Int>]) {
            self.samplers = samplers
            self.places = places
            numbers = samplers.map { _ in 0..<0 }
            rounds = samplers.map { _ in [] }
        }

        /// Switches to other masks, with zero values.
        mutating func move(to masks: Range<Int>, evaluated: ArraySlice<Int>) {
            self.masks = masks
            self.evaluated = evaluated
            values.removeAll(keepingCapacity: true)
            values.append(contentsOf: repeatElement(.zero, count: masks.count))
            for (layer, sampler) in samplers.enumerated() {
                let span = sampler.submasks * sampler.repeats
                let wanted = masks.lowerBound / span..<(masks.upperBound - 1) / span + 1
                // The last round may reach into these masks.
                let last = numbers[layer].count - 1
                if last > 0, rounds[layer][last].number == wanted.lowerBound { rounds[layer].swapAt(0, last) }
                while rounds[layer].count < wanted.count { rounds[layer].append(LayerSampler.Round()) }
                for (place, number) in wanted.enumerated() { sampler.draw(number, into: &rounds[layer][place]) }
                numbers[layer] = wanted
            }
        }

        /// Adds to every mask's value the sum of a vector over the filters that it disables, layer by layer.
        mutating func multiply(with vector: [Lanes]) {
            for layer in samplers.indices {
                for round in rounds[layer].prefix(numbers[layer].count) { multiply(layer, round, vector) }
            }
        }

        private mutating func multiply(_ layer: Int, _ round: LayerSampler.Round, _ vector: [Lanes]) {
            let length = max(round.order.count, 1)
            if prefixes.count < length { prefixes = Array(repeating: .zero, count: length) }
            let sum = Self.sumPrefixes(of: vector, from: places[layer].lowerBound, round.order, into: &prefixes)
            for submask in submasks(layer, round) {
                let window = window(layer, round, submask)
                let start = window.lowerBound.quotientAndRemainder(dividingBy: length)
                let end = window.upperBound.quotientAndRemainder(dividingBy: length)
                let value =
                    Double(end.quotient - start.quotient) * sum + (prefixes[end.remainder] - prefixes[start.remainder])
                for slot in slots(layer, submask) { values[slot] += value }
            }
        }

        /// Writes the prefix sums of an order, and returns the whole sum.
        private static func sumPrefixes(
            of vector: [Lanes], from first: Int, _ order: [UInt32], into prefixes: inout [Lanes]
        ) -> Lanes {
            prefixes.withUnsafeMutableBufferPointer { prefixes in
                vector.withUnsafeBufferPointer { vector in
                    var sum = Lanes.zero
                    for (place, filter) in order.enumerated() {
                        prefixes[place] = sum
                        sum += vector[first + Int(filter)]
                    }
                    return sum
                }
            }
        }

        /// Adds to every filter's sum the values of the masks that disable it, layer by layer.
        mutating func addTransposed(to sums: inout [Lanes]) {
            for layer in samplers.indices {
                for round in rounds[layer].prefix(numbers[layer].count) { addTransposed(layer, round, &sums) }
            }
        }

        private mutating func addTransposed(_ layer: Int, _ round: LayerSampler.Round, _ sums: inout [Lanes]) {
            let length = max(round.order.count, 1)
            if changes.count < length { changes = Array(repeating: .zero, count: length) }
            // Marks where windows begin and end. Windows across the circle's start are active there from the beginning.
            var sum = Lanes.zero
            for submask in submasks(layer, round) {
                let window = window(layer, round, submask)
                var value = Lanes.zero
                for slot in slots(layer, submask) { value += values[slot] }
                let start = window.lowerBound.quotientAndRemainder(dividingBy: length)
                let end = window.upperBound.quotientAndRemainder(dividingBy: length)
                sum += Double(end.quotient - start.quotient) * value
                changes[start.remainder] += value
                changes[end.remainder] -= value
            }
            Self.sumChanges(&changes, from: sum, to: &sums, at: places[layer].lowerBound, round.order)
            changes[0] = .zero
        }

        /// Adds the accumulated changes to the sums of an order's filters, and clears the changes.
        private static func sumChanges(
            _ changes: inout [Lanes], from initial: Lanes, to sums: inout [Lanes], at first: Int, _ order: [UInt32]
        ) {
            changes.withUnsafeMutableBufferPointer { changes in
                sums.withUnsafeMutableBufferPointer { sums in
                    var sum = initial
                    for (place, filter) in order.enumerated() {
                        sum += changes[place]
                        changes[place] = .zero
                        sums[first + Int(filter)] += sum
                    }
                }
            }
        }

        /// Replaces the values of the evaluated masks by `value` of their positions and values, and the others by zero.
        mutating func mapValues(_ value: (Int, Lanes) -> Lanes) {
            var next = evaluated.startIndex
            for slot in values.indices {
                if next < evaluated.endIndex, evaluated[next] == masks.lowerBound + slot {
                    values[slot] = value(next, values[slot])
                    next += 1
                } else {
                    values[slot] = .zero
                }
            }
        }

        /// Replaces the values of the evaluated masks by `value` of their positions, their values and the numbers of
        /// disabled filters of each layer, and the others by zero.
        mutating func mapValues(_ value: (Int, Lanes, UnsafeBufferPointer<Int>) -> Lanes) {
            let layers = samplers.count
            counts.removeAll(keepingCapacity: true)
            counts.append(contentsOf: repeatElement(0, count: masks.count * layers))
            for layer in samplers.indices {
                for round in rounds[layer].prefix(numbers[layer].count) {
                    for submask in submasks(layer, round) {
                        let count = window(layer, round, submask).count
                        for slot in slots(layer, submask) { counts[slot * layers + layer] = count }
                    }
                }
            }
            let first = masks.lowerBound
            counts.withUnsafeBufferPointer { [evaluated] counts in
                func ofMask(_ position: Int) -> UnsafeBufferPointer<Int> {
                    let start = (evaluated[position] - first) * layers
                    return UnsafeBufferPointer(rebasing: counts[start..<start + layers])
                }
                mapValues { position, product in value(position, product, ofMask(position)) }
            }
        }

        /// The sub-masks of a round that belong to these masks, by their numbers in all rounds.
        private func submasks(_ layer: Int, _ round: LayerSampler.Round) -> Range<Int> {
            let submasks = samplers[layer].submasks
            let repeats = samplers[layer].repeats
            let first = round.number * submasks
            let start = max(masks.lowerBound / repeats, first)
            return start..<min((masks.upperBound - 1) / repeats + 1, first + submasks)
        }

        /// The window of a sub-mask on its round's circle.
        private func window(_ layer: Int, _ round: LayerSampler.Round, _ submask: Int) -> Range<Int> {
            let place = submask - round.number * samplers[layer].submasks
            return round.bounds[place]..<round.bounds[place + 1]
        }

        /// The places in `values` of the masks that have a sub-mask.
        private func slots(_ layer: Int, _ submask: Int) -> Range<Int> {
            let repeats = samplers[layer].repeats
            let start = max(submask * repeats, masks.lowerBound)
            return start - masks.lowerBound..<min((submask + 1) * repeats, masks.upperBound) - masks.lowerBound
        }
    }
}
