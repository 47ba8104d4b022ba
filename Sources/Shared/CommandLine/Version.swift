import CVersion

/// The version of both programs.
public enum Version {
    /// The release.
    public static let number = "0.1.0"
    /// The day of the release, for the manual pages.
    static let date = "2026-11-23"
    /// The commit that `deploy/install` built; nil in a plain `swift build`, which would otherwise recompile everything
    /// after each commit.
    public static var commit: String? {
        let commit = String(cString: winnow_commit())
        return commit.isEmpty ? nil : commit
    }
}
