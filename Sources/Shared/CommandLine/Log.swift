import Foundation
import Synchronization

/// A program's messages to its user: lines on standard error, and on a terminal one changing line below them. Any
/// thread may use it.
public final class Log: Sendable {
    /// The log of this process.
    public static let shared = Log(descriptor: STDERR_FILENO)

    /// Longest changing line, in characters, if the terminal does not report its width.
    private static let defaultWidth = 80

    /// Whether the lines go to a terminal.
    public let isTerminal: Bool
    private let descriptor: Int32
    private let status = Locked("")
    /// The last lines, for the live page.
    private let kept = Locked<[String]>([])
    private static let keptMax = 200
    private let showsTime = Atomic(true)

    init(descriptor: Int32) {
        self.descriptor = descriptor
        isTerminal = isatty(descriptor) == 1
    }

    /// Writes a line, with the time if not to a terminal. Characters that could control a terminal are replaced: some
    /// texts come from other hosts.
    public func line(_ text: String) {
        let clean = Self.printable(text)
        kept.withLock { lines in
            if lines.count == Self.keptMax { lines.removeFirst() }
            lines.append("\(Self.time()) \(clean)")
        }
        status.withLock { status in
            if isTerminal {
                write("\r\u{1B}[K\(clean)\n\(status)")
            } else {
                write(showsTime.load(ordering: .relaxed) ? "\(Self.time()) \(clean)\n" : "\(clean)\n")
            }
        }
    }

    /// Omits the time from lines, because the reader adds it.
    public func omitTime() { showsTime.store(false, ordering: .relaxed) }

    /// The last lines with their times, oldest first, at most `count`.
    public func recent(_ count: Int) -> [String] { kept.withLock { Array($0.suffix(count)) } }

    /// Sets the changing line; without a terminal it is not shown.
    public func setStatus(_ text: String) {
        guard isTerminal else { return }
        status.withLock { status in
            status = String(Self.printable(text).prefix(width - 1))
            write("\r\u{1B}[K\(status)")
        }
    }

    /// Announces a step: as the changing line on a terminal, as a line elsewhere.
    public func step(_ text: String) {
        if isTerminal { setStatus("\(text) …") } else { line(text) }
    }

    /// Removes the line that changes.
    public func clearStatus() {
        guard isTerminal else { return }
        status.withLock { status in
            status = ""
            write("\r\u{1B}[K")
        }
    }

    private var width: Int {
        var size = winsize()
        guard ioctl(descriptor, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return Self.defaultWidth }
        return Int(size.ws_col)
    }

    /// A text without characters that could control a terminal, break its line, or reorder it (the invisible ones of
    /// Unicode's bidirectional algorithm).
    public static func printable(_ text: String) -> String {
        String(String.UnicodeScalarView(text.unicodeScalars.map { isHarmless($0) ? $0 : " " }))
    }

    private static func isHarmless(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .control, .lineSeparator, .paragraphSeparator: false
        case .format: !scalar.properties.isBidiControl
        default: true
        }
    }

    private static func time() -> String {
        var now = Foundation.time(nil)
        var parts = tm()
        localtime_r(&now, &parts)
        return [parts.tm_hour, parts.tm_min, parts.tm_sec].map { ($0 < 10 ? "0" : "") + String($0) }
            .joined(separator: ":")
    }

    /// A log that cannot be written is no reason to stop.
    private func write(_ text: String) {
        let bytes = Array(text.utf8)
        var done = 0
        while done < bytes.count {
            let count = bytes[done...].withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { return }
            done += count
        }
    }
}
