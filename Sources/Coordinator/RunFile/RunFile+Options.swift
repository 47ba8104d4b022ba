import Foundation
import Shared

/// The options of the coordinator's last start, so that `resume` alone reuses them. Keys are named by their files; the
/// keys themselves are never stored.
extension RunFile {
    /// The options of the last coordinator; none in files of earlier releases.
    func rememberedOptions() throws -> GivenOptions? {
        try Self.translated {
            guard let json = try database.text("SELECT value FROM meta WHERE key = 'options'", "read") else {
                return nil
            }
            return try? JSONDecoder().decode(GivenOptions.self, from: Data(json.utf8))
        }
    }

    /// Writes the options down and commits.
    func remember(_ options: GivenOptions) throws {
        let json = String(decoding: try JSONEncoder().encode(options), as: UTF8.self)
        try Self.translated {
            try database.prepare("INSERT OR REPLACE INTO meta VALUES('options', ?)", "write to").run(.text(json))
        }
    }

    /// The command that resumes a run file, for a person to paste.
    static func resumeCommand(_ path: String) -> String {
        ShellWords.command(["winnow-coordinator", "resume", "--run", path])
    }
}
