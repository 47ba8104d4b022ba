import Foundation

/// Python as an independent judge of our output, if the machine has it.
public enum Python {
    /// Whether `python3` and these modules are installed; they are not loaded, which would take seconds.
    public static func canImport(_ modules: String...) -> Bool {
        let program = "import importlib.util, sys; sys.exit(None in map(importlib.util.find_spec, sys.argv[1:]))"
        return (try? run(program, modules))?.status == 0
    }

    /// Runs a program; its arguments are `sys.argv[1…]`. Returns its exit status and standard output.
    public static func run(_ program: String, _ arguments: [String] = []) throws -> (status: Int32, output: Data) {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["python3", "-c", program] + arguments
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardError = FileHandle.nullDevice
        try process.run()
        let output = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return (process.terminationStatus, output)
    }
}
