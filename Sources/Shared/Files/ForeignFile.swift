/// Recognises a file given by mistake by its first bytes, so the error can name the likely mistake.
public enum ForeignFile {
    /// Bytes that are looked at.
    private static let looked = 512

    private static let signatures: [(start: [UInt8], words: String)] = [
        (Array("version https://git-lfs".utf8), "it is a git-lfs pointer; fetch the file with 'git lfs pull'"),
        ([0x1F, 0x8B], "it is compressed with gzip; unpack it first (gunzip, or tar -xzf)"),
        ([0xFD, 0x37, 0x7A, 0x58, 0x5A], "it is compressed with xz; unpack it first (unxz, or tar -xJf)"),
        ([0x42, 0x5A, 0x68], "it is compressed with bzip2; unpack it first (bunzip2, or tar -xjf)"),
        ([0x28, 0xB5, 0x2F, 0xFD], "it is compressed with zstd; unpack it first (unzstd)"),
        (
            [0x89, 0x48, 0x44, 0x46],
            "it is an HDF5 file, as written by Keras; save the network from PyTorch, or as safetensors"
        ),
        (Array("SQLite format 3".utf8), "it is an SQLite database; give a run file as --run"),
        (Array("%PDF".utf8), "it is a PDF"),
    ]

    /// What a file is and what to do with it; nil if its bytes do not show it.
    public static func words(of bytes: some Collection<UInt8>) -> String? {
        for (start, words) in signatures where bytes.starts(with: start) { return words }
        // A tar archive's magic comes after the first file's name.
        if bytes.dropFirst(257).starts(with: Array("ustar".utf8)) {
            return "it is a tar archive; unpack it first (tar -xf)"
        }
        let text = String(decoding: bytes.prefix(looked), as: UTF8.self)
        let start = text.drop { $0.isWhitespace || $0 == "\u{FEFF}" }
        if start.first == "<" { return "it looks like a web page; was the download complete?" }
        if start.first == "{" || start.first == "[" { return "it looks like JSON" }
        return nil
    }
}
