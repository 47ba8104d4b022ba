import Foundation
import TestSupport
import Testing

@testable import Shared

@Test(.enabled(if: TestData.isPresent, "no WINNOW_TEST_DATA"), arguments: [("resnet20", 20), ("resnet56", 56)])
func theTrainedNetworksAreRead(name: String, depth: Int) throws {
    let network = try Checkpoint.network(at: TestData.checkpoint(name))
    guard case .residual(let residual) = network.architecture else {
        Issue.record("not residual")
        return
    }
    #expect(residual.depth == depth)
    #expect(residual.stem == 16)
    #expect(residual.blocks.map(\.output) == [16, 32, 64].flatMap { [Int](repeating: $0, count: (depth - 2) / 6) })
    #expect(residual.blocks.filter { $0.stride == 2 }.map(\.name) == ["layer2.0", "layer3.0"])
    #expect(
        residual.blocks[(depth - 2) / 6].shortcut == [Int?](repeating: nil, count: 8) + (0..<16).map { $0 }
            + [Int?](repeating: nil, count: 8))
    let again = try Checkpoint.network(bytes: Checkpoint.safetensors(of: network), name: "again")
    #expect(again == network)
}
