import Foundation
import Shared

/// `winnow-coordinator story`.
struct Story: Command {
    static let description = CommandDescription(
        name: "story",
        summary: "print what happened to a run's leases, masks and workers",
        discussion: """
            Reads a run file, even while a coordinator works on it, and prints its history, oldest first: which worker got \
            each lease and how it ended, which workers joined, left or were dismissed and why, which masks failed or were \
            disputed. Leases are named LIFE.NUMBER; 'status' prints the workers' numbers.

              winnow-coordinator story --run resnet20.winnow --mask 17
            """)

    @Option("The run file.", name: "run", value: "FILE") var runFile: String
    @Option("Only this lease.", value: "LIFE.NUMBER") var lease: String?
    @Option("Only the mask with this index.", value: "N") var mask: Int?
    @Option("Only the worker with this number.", value: "N") var worker: Int?

    func validate() throws { _ = try subject() }

    private func subject() throws -> RunFile.StorySubject {
        guard [lease != nil, mask != nil, worker != nil].count(where: { $0 }) <= 1 else {
            throw Failure(.usage, "give only one of --lease, --mask and --worker")
        }
        if let mask { return .mask(mask) }
        if let worker { return .worker(worker) }
        guard let lease else { return .everything }
        let parts = lease.split(separator: ".", omittingEmptySubsequences: false).map { UInt32($0) }
        guard parts.count == 2, let life = parts[0], let number = parts[1] else {
            throw Failure(.usage, "--lease must be LIFE.NUMBER, such as 1.17, not '\(lease)'")
        }
        return .lease(LeaseID(life: life, number: number))
    }

    func run() throws {
        let file = try RunFile.read(at: runFile)
        let masks = file.description.ensemble.count
        if let mask, !(0..<masks).contains(mask) {
            throw Failure(.usage, "--mask must be the index of one of the run's masks, from 0 to \(masks - 1)")
        }
        let hosts = Dictionary(try file.workers().map { ($0.number, $0.host) }) { first, _ in first }
        let formatter = DateFormatter()
        formatter.locale = Locale(identifier: "en_US_POSIX")
        formatter.dateFormat = "yyyy-MM-dd HH:mm:ss.SSS"
        try file.forEachStoryEntry(of: subject()) { entry in
            var parts: [String] = []
            if let lease = entry.lease { parts.append("lease \(lease)") }
            if let worker = entry.worker {
                parts.append("worker \(worker)" + (hosts[worker].map { " on \(Log.printable($0))" } ?? ""))
            }
            if let masks = entry.masks { parts.append((masks.count == 1 ? "mask " : "masks ") + masks.stored) }
            let names = parts.joined(separator: ", ")
            let what = Log.printable(entry.what)
            print("\(formatter.string(from: entry.at))  \(names.isEmpty ? what : "\(names): \(what)")")
        }
    }
}
