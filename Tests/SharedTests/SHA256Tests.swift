import Shared
import Testing

/// The examples of FIPS 180-4's test vectors.
@Test(arguments: [
    ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
])
func digestsAreSHA256(text: String, hex: String) {
    #expect(Digest(sha256Of: text.utf8).description == hex)
    #expect(Digest(sha256Of: Array(text.utf8)).description == hex)
}

@Test func aDigestOfPartsIsThatOfTheWhole() {
    let bytes = (0..<1000).map { UInt8(truncatingIfNeeded: $0) }
    var hash = SHA256()
    for start in stride(from: 0, to: 1000, by: 77) {
        Array(bytes[start..<min(start + 77, 1000)]).withUnsafeBytes { hash.update($0) }
    }
    #expect(hash.finished() == Digest(sha256Of: bytes))
}
