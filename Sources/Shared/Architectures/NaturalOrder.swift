/// The order of names in which numbers count as numbers: `fc2` before `fc10`.
enum NaturalOrder {
    /// Whether `a` comes before `b`.
    static func precedes(_ a: String, _ b: String) -> Bool {
        var a = Substring(a)
        var b = Substring(b)
        while let first = a.first, let second = b.first {
            if first.isWholeNumber && second.isWholeNumber {
                let (left, right) = (number(&a), number(&b))
                if left != right { return left.count != right.count ? left.count < right.count : left < right }
            } else if first != second {
                return first < second
            } else {
                a.removeFirst()
                b.removeFirst()
            }
        }
        return a.count < b.count
    }

    /// Takes the digits at the start, without leading zeros.
    private static func number(_ text: inout Substring) -> Substring {
        let digits = text.prefix { $0.isWholeNumber }
        text = text.dropFirst(digits.count)
        return digits.drop { $0 == "0" }
    }
}
