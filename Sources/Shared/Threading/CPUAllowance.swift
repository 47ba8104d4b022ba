import CLinux
import Foundation

/// How many processors this process may use.
public enum CPUAllowance {
    /// The processors in its affinity mask, limited by the quotas of its control groups, rounded down; at least 1.
    public static var processors: Int {
        let quota = quota(cgroups: contents("/proc/self/cgroup") ?? "", read: contents)
        return max(1, min(affinity, quota.map { Int($0) } ?? .max))
    }

    /// The processors that the scheduler may put it on.
    private static var affinity: Int {
        let allowed = Int(winnow_processors_allowed())
        return allowed > 0 ? allowed : ProcessInfo.processInfo.activeProcessorCount
    }

    /// The smallest quota, in processors, of a process's control groups and their parents, version 1 or 2; nil if there
    /// is none. `cgroups` is `/proc/self/cgroup`; `read` gives a file's text.
    static func quota(cgroups: String, read: (_ path: String) -> String?) -> Double? {
        var quotas: [Double] = []
        for line in cgroups.split(separator: "\n") {
            let fields = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard fields.count == 3 else { continue }
            let controllers = fields[1].split(separator: ",")
            guard controllers.isEmpty || controllers.contains("cpu") else { continue }
            var path = String(fields[2])
            while true {
                if controllers.isEmpty {
                    quotas += quotaOfVersion2(path, read)
                } else {
                    quotas += quotaOfVersion1(path, read)
                }
                guard let slash = path.lastIndex(of: "/"), path != "/" else { break }
                path = slash == path.startIndex ? "/" : String(path[..<slash])
            }
        }
        return quotas.min()
    }

    private static func quotaOfVersion2(_ path: String, _ read: (String) -> String?) -> [Double] {
        let words = read("/sys/fs/cgroup\(path)/cpu.max")?.split(whereSeparator: \.isWhitespace) ?? []
        guard words.count == 2, let quota = Double(words[0]), let period = Double(words[1]), period > 0 else {
            return []
        }
        return [quota / period]
    }

    private static func quotaOfVersion1(_ path: String, _ read: (String) -> String?) -> [Double] {
        for mount in ["/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct"] {
            let quota = read("\(mount)\(path)/cpu.cfs_quota_us").flatMap { Double($0.trimmed) }
            let period = read("\(mount)\(path)/cpu.cfs_period_us").flatMap { Double($0.trimmed) }
            if let quota, let period, quota > 0, period > 0 { return [quota / period] }
        }
        return []
    }

    private static func contents(_ path: String) -> String? { try? String(contentsOfFile: path, encoding: .utf8) }
}

extension String {
    fileprivate var trimmed: String { trimmingCharacters(in: .whitespacesAndNewlines) }
}
