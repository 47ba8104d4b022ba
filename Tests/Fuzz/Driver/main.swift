// libFuzzer's loop around one target, which WINNOW_FUZZ_TARGET names. Built by Tests/Fuzz/run only.

import Foundation
import FuzzTargets

/// libFuzzer's entry point for programs with a main function of their own.
@_silgen_name("LLVMFuzzerRunDriver")
private func runFuzzer(
    _ count: UnsafeMutablePointer<Int32>,
    _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>,
    _ test: @convention(c) (UnsafePointer<UInt8>?, Int) -> Int32
) -> Int32

private let name = ProcessInfo.processInfo.environment["WINNOW_FUZZ_TARGET"] ?? ""
guard let target = FuzzTarget(rawValue: name) else {
    print("WINNOW_FUZZ_TARGET must be one of \(FuzzTarget.allCases.map(\.rawValue).joined(separator: ", "))")
    exit(64)
}
let chosen = target

private var count = CommandLine.argc
private var arguments = CommandLine.unsafeArgv
exit(
    runFuzzer(&count, &arguments) { start, length in
        chosen.run(Array(UnsafeBufferPointer(start: start, count: length)))
        return 0
    })
