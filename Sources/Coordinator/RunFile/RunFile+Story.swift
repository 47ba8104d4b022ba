import Foundation
import Shared

extension RunFile {
    /// One line of a run's history.
    public struct StoryEntry: Sendable, Equatable {
        /// When it happened.
        public var at: Date
        /// Its lease, if any.
        public var lease: LeaseID?
        /// Its worker's number.
        public var worker: Int?
        /// Its masks.
        public var masks: MaskRuns?
        /// What happened.
        public var what: String
    }

    /// What a story is about.
    public enum StorySubject: Sendable, Equatable {
        case everything
        case lease(LeaseID)
        case mask(Int)
        /// A worker, by its number in this file.
        case worker(Int)
    }

    /// Calls `body` with the recorded history of a subject, oldest first. SQLite sorts, so it takes little memory
    /// however long the run was. Throws a ``Failure``.
    public func forEachStoryEntry(of subject: StorySubject, _ body: (StoryEntry) throws -> Void) throws {
        try Self.translated {
            var parts = [
                "SELECT granted_ms AS at, 1 AS place, life, number, worker, masks, 'granted' AS what FROM lease",
                "SELECT ended_ms, 3, life, number, worker, masks, outcome FROM lease WHERE ended_ms IS NOT NULL",
                "SELECT started_ms, 0, NULL, NULL, NULL, NULL, 'life ' || number || ' of the coordinator began' FROM life",
                """
                SELECT ended_ms, 4, NULL, NULL, NULL, NULL, 'life ' || number || ' of the coordinator ended: ' || ending
                FROM life WHERE ended_ms IS NOT NULL
                """,
            ]
            // Files of the first version have none.
            if try database.number("SELECT count(*) FROM sqlite_schema WHERE name = 'occurrence'", "read") == 1 {
                parts.append("SELECT at_ms, 2, lease_life, lease_number, worker, masks, what FROM occurrence")
            }
            if case .mask(let mask) = subject {
                parts.append(
                    """
                    SELECT recorded_ms, 2, NULL, NULL, worker, mask, 'recorded: loss ' || printf('%.6f', loss_sum /
                    \(Evaluation.unitsPerNat) / images) || ', ' || correct || ' correct' FROM evaluation WHERE mask = \(mask)
                    """)
            }
            let statement = try database.prepare(
                parts.joined(separator: " UNION ALL ") + " ORDER BY at, place, life, number", "read")
            while try statement.step() {
                let entry = try storyEntry(statement)
                if Self.isTold(entry, of: subject) { try body(entry) }
            }
        }
    }

    private func storyEntry(_ row: borrowing Statement) throws -> StoryEntry {
        var masks: MaskRuns?
        let text = row.text(5)
        if !text.isEmpty {
            guard let runs = MaskRuns(stored: text) else {
                throw Failure(
                    .badInput, "the run file \(path) is damaged: '\(Log.printable(text))' does not list masks")
            }
            masks = runs
        }
        var lease: LeaseID?
        if !row.isNull(3) {
            lease = LeaseID(
                life: UInt32(truncatingIfNeeded: row.integer(2)), number: UInt32(truncatingIfNeeded: row.integer(3)))
        }
        return StoryEntry(
            at: Date(milliseconds: row.integer(0)), lease: lease, worker: row.isNull(4) ? nil : Int(row.integer(4)),
            masks: masks, what: row.text(6))
    }

    private static func isTold(_ entry: StoryEntry, of subject: StorySubject) -> Bool {
        // The coordinator's lives explain every story.
        if entry.lease == nil, entry.worker == nil, entry.masks == nil { return true }
        switch subject {
        case .everything: return true
        case .lease(let lease): return entry.lease == lease
        case .mask(let mask): return entry.masks?.ranges.contains { $0.contains(mask) } ?? false
        case .worker(let worker): return entry.worker == worker
        }
    }
}
