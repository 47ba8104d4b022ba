/// The version of both programs.
public enum Version {
    /// The release.
    public static let number = "0.1.0"
}
