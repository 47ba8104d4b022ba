import Foundation

/// How much memory this process may take.
public enum MemoryAllowance {
    /// Bytes that can be taken without others' being written to disk, as the kernel estimates it; all of the machine's
    /// where it does not say.
    public static var available: Int {
        let text = try? String(contentsOfFile: "/proc/meminfo", encoding: .utf8)
        return text.flatMap(available(meminfo:)) ?? Int(clamping: ProcessInfo.processInfo.physicalMemory)
    }

    /// The bytes that `/proc/meminfo` calls available; nil where it does not say.
    static func available(meminfo: String) -> Int? {
        let line = meminfo.split(separator: "\n").first { $0.hasPrefix("MemAvailable:") }
        guard let words = line?.split(separator: " "), words.count == 3, let kilobytes = Int(words[1]) else {
            return nil
        }
        return kilobytes * 1024
    }
}
