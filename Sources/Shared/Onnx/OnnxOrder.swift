extension Onnx {
    /// The nodes that some tensors need, each after its inputs.
    struct Order {
        /// Their places among all nodes: in the file's order if possible, as the standard demands.
        private(set) var nodes: [Int] = []

        /// Finds the order. `isGiven` says whether a tensor needs no node. Throws if nodes form a cycle or a tensor is
        /// missing.
        init(
            _ all: [Node], for outputs: [String], in part: String, isGiven: (String) -> Bool
        ) throws {
            var makers: [String: Int] = [:]
            for (index, node) in all.enumerated() {
                for output in node.outputs where !output.isEmpty {
                    guard makers.updateValue(index, forKey: output) == nil, !isGiven(output) else {
                        throw Failure(.badInput, "node \(node.label): \(output) is the name of another tensor, too")
                    }
                }
            }
            func maker(of tensor: String, for reader: String) throws -> Int? {
                if tensor.isEmpty || isGiven(tensor) { return nil }
                guard let maker = makers[tensor] else {
                    throw Failure(.badInput, "\(reader) reads \(tensor), which nothing in the model makes")
                }
                return maker
            }

            // Depth first, without recursion: a node is begun, then done after all its inputs.
            enum State { case new, begun, done }
            var states = [State](repeating: .new, count: all.count)
            var stack: [(node: Int, next: Int)] = []
            func visit(_ node: Int) throws {
                switch states[node] {
                case .new:
                    states[node] = .begun
                    stack.append((node, 0))
                case .begun: throw Failure(.badInput, "node \(all[node].label) is part of a cycle")
                case .done: break
                }
            }
            for output in outputs {
                if let node = try maker(of: output, for: "the output of \(part)") { try visit(node) }
                while let (node, next) = stack.last {
                    let inputs = all[node].inputs
                    if next == inputs.count {
                        states[node] = .done
                        nodes.append(node)
                        stack.removeLast()
                    } else {
                        stack[stack.count - 1].next += 1
                        if let maker = try maker(of: inputs[next], for: "node \(all[node].label)") { try visit(maker) }
                    }
                }
            }

            let ascending = nodes.sorted()
            var made: Set<Int> = []
            let isSorted = try ascending.allSatisfy { node in
                defer { made.insert(node) }
                return try all[node].inputs.allSatisfy { input in
                    try maker(of: input, for: "node \(all[node].label)").map(made.contains) ?? true
                }
            }
            if isSorted { nodes = ascending }
        }
    }
}
