/// `; did you mean '…'?` with the name closest to a misspelt word, or nothing if none is close.
public func suggestion(for word: String, among names: some Sequence<String>) -> String {
    var best: (name: String, distance: Int)?
    for name in names {
        let distance = editDistance(name, word)
        if distance < best?.distance ?? .max { best = (name, distance) }
    }
    guard let best, best.distance <= max(2, word.count / 3) else { return "" }
    return "; did you mean '\(best.name)'?"
}

/// The edit distance of two texts. O(|a|·|b|).
func editDistance(_ a: String, _ b: String) -> Int {
    let b = Array(b)
    var row = Array(0...b.count)
    for (i, x) in a.enumerated() {
        var diagonal = row[0]
        row[0] = i + 1
        for j in b.indices {
            let above = row[j + 1]
            row[j + 1] = min(above + 1, row[j] + 1, diagonal + (x == b[j] ? 0 : 1))
            diagonal = above
        }
    }
    return row[b.count]
}
