/// Which of a checkpoint's dictionaries of tensors is the network.
struct WeightsChoice {
    /// The keys under which training scripts save the trained weights, the most usual first.
    private static let usualKeys = ["state_dict", "model_state_dict", "model", "net", "network", "weights", "params"]

    private let stored: [StoredWeights]
    private let recognition: NetworkRecognition
    /// The key that the user chose.
    private let wanted: String?

    init(_ stored: [StoredWeights], _ recognition: NetworkRecognition, _ wanted: String?) {
        self.stored = stored
        self.recognition = recognition
        self.wanted = wanted
    }

    private typealias Candidate = (key: String, network: NetworkRecognition.Recognised)

    /// The network: the only dictionary that is one, or the chosen one of several. Its notes say which it is and what
    /// else there is. Throws a `.badInput` ``Failure`` if there is none, or if the choice is unclear.
    func network() throws -> NetworkRecognition.Recognised {
        let candidates = try self.candidates()
        if let wanted {
            let meant = candidates.filter { $0.key == wanted || $0.key.hasSuffix(".\(wanted)") }
            guard let only = meant.first, meant.count == 1 else {
                throw Failure(
                    .badInput,
                    "--weights \(wanted) names \(meant.isEmpty ? "no network" : "several networks") in it; there are "
                        + list(candidates))
            }
            return only.network
        }
        guard candidates.count > 1 else { return candidates[0].network }
        func rank(_ candidate: Candidate) -> Int {
            if candidate.key.isEmpty { return -1 }
            let name = candidate.key.split(separator: ".").last.map(String.init) ?? ""
            return Self.usualKeys.firstIndex(of: name) ?? Self.usualKeys.count
        }
        // The first of the most usual ones.
        guard let best = candidates.min(by: { rank($0) < rank($1) }), rank(best) < Self.usualKeys.count else {
            throw Failure(.badInput, "holds several networks: \(list(candidates)); choose one with --weights KEY")
        }
        var chosen = best.network
        let others = candidates.filter { $0.key != best.key }
        chosen.notes.insert(
            "using the weights\(best.key.isEmpty ? " at the top" : " under '\(best.key)'"); there are also "
                + "\(list(others)): choose others with --weights KEY", at: 0)
        return chosen
    }

    /// All dictionaries that are networks, at least one. If there is none, throws the complaint about the largest.
    private func candidates() throws -> [Candidate] {
        var candidates: [Candidate] = []
        var complaint: (failure: Failure, tensors: Int)?
        func complain(_ failure: Failure, _ tensors: Int) {
            if tensors > complaint?.tensors ?? -1 { complaint = (failure, tensors) }
        }
        for weights in stored {
            do {
                let state = try weights.state.get()
                do {
                    candidates.append((weights.key, try recognition.network(of: state)))
                } catch let failure as Failure {
                    let parts = parts(of: state, under: weights.key)
                    if parts.isEmpty { complain(failure, state.names.count) }
                    candidates += parts
                }
            } catch let failure as Failure {
                complain(failure, 0)
            }
        }
        guard candidates.isEmpty else { return candidates }
        throw complaint?.failure ?? Failure(.badInput, "holds no tensors")
    }

    /// Networks side by side in one dictionary.
    private func parts(of state: StateDict, under key: String) -> [Candidate] {
        ((try? state.sideBySide()) ?? []).compactMap { prefix, part in
            guard let network = try? recognition.network(of: part) else { return nil }
            return (key.isEmpty ? prefix : "\(key).\(prefix)", network)
        }
    }

    private func list(_ candidates: [Candidate]) -> String {
        candidates.map { "'\($0.key)'" }.joined(separator: ", ")
    }
}
