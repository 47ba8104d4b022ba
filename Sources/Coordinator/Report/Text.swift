import Foundation

/// Numbers and names as a report writes them.
enum Text {
    /// Text escaped for HTML and SVG, including attributes.
    static func escaped(_ text: String) -> String {
        var result = ""
        for character in text.unicodeScalars {
            switch character {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            case "'": result += "&#39;"
            default: result.unicodeScalars.append(character)
            }
        }
        return result
    }

    /// A number with this many digits after the point, and a true minus sign.
    static func fixed(_ value: Double, _ digits: Int) -> String {
        guard value.isFinite else { return "–" }
        let text = String(format: "%.\(digits)f", value)
        let isZero = !text.contains { ("1"..."9").contains($0) }
        if isZero, text.hasPrefix("-") { return String(text.dropFirst()) }
        return text.hasPrefix("-") ? "−" + text.dropFirst() : text
    }

    /// A share in hundredths, as markup has it.
    static func plain(_ share: Double) -> String { String(format: "%.2f", share) }

    /// A correlation or a share of variance; a dash if there is none.
    static func coefficient(_ value: Double?) -> String { value.map { fixed($0, 2) } ?? "–" }

    /// A share as a percentage.
    static func percent(_ share: Double, _ digits: Int = 0) -> String { fixed(share * 100, digits) + " %" }

    /// A whole number with thin spaces between groups of three digits.
    static func grouped(_ value: Int) -> String {
        let digits = String(abs(value))
        var result = ""
        for (index, digit) in digits.enumerated() {
            if index > 0, (digits.count - index) % 3 == 0 { result += "\u{202F}" }
            result.append(digit)
        }
        return value < 0 ? "−" + result : result
    }

    /// A count of parameters or multiply-accumulates.
    static func amount(_ value: Int) -> String {
        switch abs(value) {
        case 1_000_000...: fixed(Double(value) / 1e6, 2) + " M"
        case 10_000...: fixed(Double(value) / 1e3, 1) + " k"
        default: grouped(value)
        }
    }

    /// A time span in words.
    static func duration(_ seconds: Double) -> String {
        switch seconds {
        case ..<60: fixed(seconds, 1) + " s"
        case ..<3600: fixed(seconds / 60, 1) + " min"
        default: fixed(seconds / 3600, 1) + " h"
        }
    }

    /// The first digits of a digest, enough to compare by eye.
    static func short(_ digest: String) -> String { String(digest.prefix(16)) + "…" }
}
