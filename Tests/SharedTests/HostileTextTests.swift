import Foundation
import Shared
import TestSupport
import Testing

/// Texts that would become code, another line or another order if written unescaped.
private let hostileTexts = [
    "", "conv1", #"x", 1, 1), *[__import__("os").system("touch /tmp/owned")], ("y"#, "'''", #"""""#, "\\", #"\""#,
    "a\nb", "a\r\nb", "tab\tend", "\u{0}zero", "\u{7F}", "ä", "\u{202E}reversed", "\u{2028}", "😀", "#{x} \\(y) {z} %s",
    "</script><script>", "\u{FEFF}", #"\N{BULLET}"#, #"\x41"#,
]

@Test(.enabled(if: Python.canImport("ast"), "Python is not installed"))
func pythonReadsEveryTextAsTheTextItIs() throws {
    let random = (0..<200).map { seed in
        var generator = SeededGenerator(seed: UInt64(seed))
        return String(
            String.UnicodeScalarView(
                (0..<12).compactMap { _ in Unicode.Scalar(UInt32.random(in: 0...0x2FFFF, using: &generator)) }))
    }
    let texts = hostileTexts + random
    let literals = "[" + texts.map { PythonText.quoted($0) }.joined(separator: ",\n") + "]"
    let program = "import ast, json, sys; print(json.dumps(ast.literal_eval(sys.argv[1])))"
    let (status, output) = try Python.run(program, [literals])
    try #require(status == 0)
    let read = try JSONDecoder().decode([String].self, from: output)
    #expect(read.map { Array($0.unicodeScalars) } == texts.map { Array($0.unicodeScalars) })
}

@Test func aPythonLiteralIsOneLineOfPrintableASCII() {
    for text in hostileTexts {
        let literal = PythonText.quoted(text)
        #expect(literal.utf8.allSatisfy { (0x20...0x7E).contains($0) })
        #expect(literal.hasPrefix("\"") && literal.hasSuffix("\""))
    }
}

@Test func theLogShowsNoTextThatControlsATerminalOrReordersItsLine() {
    let shown = Log.printable("a\u{1B}[2Jb\u{202E}c\u{2066}d\u{200F}e\nf\u{2028}g\u{9B}h\u{61C}iä")
    #expect(shown == "a [2Jb c d e f g h iä")
}
