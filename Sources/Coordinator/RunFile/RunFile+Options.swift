import Foundation
import Shared

/// How the coordinator of a run was started last, so that `resume` alone goes on in the same way. Keys are named by their
/// files; the keys themselves are never written down.
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

    /// The command that goes on with a run file, for a person to paste.
    static func resumeCommand(_ path: String) -> String {
        ShellWords.command(["winnow-coordinator", "resume", "--run", path])
    }
}
