import Foundation
import Shared
import Testing

@testable import Coordinator

private func sample(masks: Int = 1000, workers: Int = 3, filters: Int = 336) -> RunSnapshot {
    var snapshot = RunSnapshot()
    snapshot.model = "resnet20.th \"old\" \\ <b>"
    snapshot.data = "cifar10, 1,000 training images"
    snapshot.runFile = "winnow.run"
    snapshot.phase = .running
    snapshot.time = 1_700_000_300
    snapshot.started = 1_700_000_000
    snapshot.masks = masks
    snapshot.masksRecorded = masks / 3
    snapshot.imagesPerMask = 1000
    snapshot.evaluationsReceived = masks / 3
    snapshot.secondsLeft = 12.5
    snapshot.workers = Rows(count: workers) { index in
        RunSnapshot.Worker(
            name: "w\(index)", host: "node\"\(index)\r\n", instructionSet: "avx2", threads: 2, imagesPerSecond: 1234,
            leases: 2, evaluations: 100 + index, lastHeard: 1_700_000_299, isConnected: index != 1)
    }
    snapshot.workersConnected = workers - 1
    snapshot.ranking = Rows(count: filters) { index in
        RunSnapshot.Filter(
            layer: "layer1.0.conv1", filter: index, importance: Double(index) / 100, standardError: 0.02)
    }
    snapshot.settling = [RankingMonitor.Settling(masks: masks / 3, splitHalfCorrelation: 0.5, heldOutRSquared: 0.4)]
    snapshot.log = ["one", "two"]
    return snapshot
}

private func fetch(_ text: String, host: String? = nil, method: String = "GET") async throws -> (Int, String) {
    // A plain socket: what is tested is what the server sends, not a client's view of it.
    let address = try HTTPAddress(parsing: String(text.dropFirst("http://".count).prefix { $0 != "/" }))
    let path = String(text.dropFirst("http://".count).drop { $0 != "/" })
    let socket = socket(address.host.contains(":") ? AF_INET6 : AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(socket) }
    let length = socklen_t(
        address.host.contains(":") ? MemoryLayout<sockaddr_in6>.size : MemoryLayout<sockaddr_in>.size)
    let connected = address.withSocketAddress { connect(socket, $0, length) }
    try #require(connected == 0)
    let request = "\(method) \(path) HTTP/1.1\r\nHost: \(host ?? "\(address)")\r\nConnection: close\r\n\r\n"
    let sent = Array(request.utf8).withUnsafeBytes { send(socket, $0.baseAddress, $0.count, 0) }
    try #require(sent == request.utf8.count)
    var answer: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65536)
    while true {
        let count = recv(socket, &buffer, buffer.count, 0)
        if count <= 0 { break }
        answer += buffer[..<count]
    }
    let reply = String(decoding: answer, as: UTF8.self)
    let status = Int(reply.dropFirst("HTTP/1.1 ".count).prefix(3)) ?? 0
    return (status, reply)
}

@Test func thePageIsServedFromSnapshots() async throws {
    let dashboard = try Dashboard(at: HTTPAddress(parsing: "127.0.0.1:0"), beyondLoopback: false)
    #expect(try await fetch(dashboard.url + "snapshot.json").0 == 503)
    #expect(try await fetch(dashboard.url + "health").0 == 503)
    dashboard.board.post(sample())
    let page = try await fetch(dashboard.url)
    #expect(page.0 == 200)
    #expect(page.1.contains("Content-Security-Policy: default-src 'none'"))
    for path in ["page.css", "page.js", "snapshot.json", "ranking.json", "metrics", "health"] {
        #expect(page.1.contains(path) || path == "page.css" || path == "page.js")
        #expect(try await fetch(dashboard.url + path).0 == 200, "\(path)")
    }
    #expect(try await fetch(dashboard.url + "etc/passwd").0 == 404)
    #expect(try await fetch(dashboard.url, method: "POST").0 == 405)
}

@Test func anOpenPageLearnsThatTheRunIsDone() async throws {
    let dashboard = try Dashboard(at: HTTPAddress(parsing: "127.0.0.1:0"), beyondLoopback: false)
    dashboard.report = "/somewhere/report.html"
    dashboard.show(sample())
    // Nobody looks: nothing to wait for.
    let start = ContinuousClock.now
    dashboard.bidFarewell()
    #expect(start.duration(to: .now) < .seconds(1))

    _ = try await fetch(dashboard.url + "snapshot.json")
    dashboard.show(.finished)
    #expect(dashboard.board.hasReader && !dashboard.board.isNewestRead)
    let last = try await fetch(dashboard.url + "snapshot.json").1
    #expect(last.contains(#""phase":"finished""#) && last.contains(#""report":"/somewhere/report.html""#))
    #expect(dashboard.board.isNewestRead)
    dashboard.bidFarewell()
    let metrics = try await fetch(dashboard.url + "metrics").1
    #expect(metrics.contains("winnow_run_finished 1\n"))
    #expect(try await fetch(dashboard.url + "health").0 == 200)
}

@Test func oneTrainingIsOnePage() throws {
    var snapshot = sample()
    snapshot.step = "round 1 of 2: fine-tuning"
    snapshot.training = RunSnapshot.Training(
        epoch: 3, epochs: 40, step: 5, steps: 390, loss: 0.25, accuracyBefore: 0.5,
        history: [.init(epoch: 1, trainingAccuracy: 0.8, validationAccuracy: nil, testAccuracy: 0.9)])
    let page = try #require(
        try JSONSerialization.jsonObject(with: Data(snapshot.forPage.json.utf8)) as? [String: Any])
    let run = try #require(page["run"] as? [String: Any])
    #expect(run["step"] as? String == "round 1 of 2: fine-tuning")
    let training = try #require(run["training"] as? [String: Any])
    #expect(training["epoch"] as? Int == 3 && training["loss"] as? Double == 0.25)
    #expect((training["history"] as? [[String: Any]])?.first?["testAccuracy"] as? Double == 0.9)
}

@Test func anotherSitesNameForThisMachineIsNotAnswered() async throws {
    let dashboard = try Dashboard(at: HTTPAddress(parsing: "127.0.0.1:0"), beyondLoopback: false)
    dashboard.board.post(sample())
    #expect(try await fetch(dashboard.url + "snapshot.json", host: "evil.example:8080").0 == 421)
    #expect(try await fetch(dashboard.url + "snapshot.json", host: "localhost:8080").0 == 200)
    #expect(try await fetch(dashboard.url + "snapshot.json", host: "127.0.0.1").0 == 200)
}

@Test func beyondLoopbackThePageIsServedOnlyWhenAsked() throws {
    let everywhere = try HTTPAddress(parsing: "0.0.0.0:0")
    #expect(throws: Failure.self) { try Dashboard(at: everywhere, beyondLoopback: false) }
    _ = try Dashboard(at: everywhere, beyondLoopback: true)
    for text in ["8080", "127.0.0.1", "example.org:80", "127.0.0.1:99999", ""] {
        #expect(throws: Failure.self, "\(text)") { try HTTPAddress(parsing: text) }
    }
    #expect(try HTTPAddress(parsing: "localhost:1") == HTTPAddress(host: "127.0.0.1", port: 1))
    #expect(try HTTPAddress(parsing: "[::1]:80").description == "[::1]:80")
}

@Test func aPortInUseIsSaid() throws {
    let first = try HTTPServer(at: HTTPAddress(host: "127.0.0.1", port: 0)) { _ in .error(404, "") }
    #expect {
        try HTTPServer(at: first.address) { _ in .error(404, "") }
    } throws: { error in
        (error as? Failure)?.kind == .unavailable && "\(error)".contains("in use")
    }
}

@Test func healthSaysWhyNothingProgresses() {
    let board = SnapshotBoard()
    var snapshot = sample()
    snapshot.stall = "no workers connected since 12:00; start one with …"
    board.post(snapshot)
    let answer = Dashboard.answer(path: "/health", from: board)
    #expect(answer.status == 200)
    #expect(answer.body.contains("no workers connected"))
}

@Test func theRankingKeepsItsOrderAndItsRanks() throws {
    let board = SnapshotBoard()
    board.post(sample(filters: 40))
    let body = Dashboard.answer(path: "/ranking.json", from: board).body
    let object = try #require(try JSONSerialization.jsonObject(with: Data(body.utf8)) as? [String: Any])
    let rows = try #require(object["ranking"] as? [[String: Any]])
    #expect(rows.map { $0["rank"] as? Int } == Array(1...40))
    #expect(rows.map { $0["filter"] as? Int } == Array(0..<40))
    #expect(object["complete"] as? Bool == false)
}

@Test func thePageShowsEachFilterAtOneEndOnly() throws {
    let few = sample(filters: 20).forPage
    #expect(few.least.count == 15 && few.most.count == 5)
    let many = sample(workers: 5000, filters: 30000).forPage
    #expect(many.least.count == 15 && many.most.count == 15 && many.filters == 30000)
    #expect(many.run.workers.count == 200 && many.workers == 5000 && many.run.workersConnected == 4999)
    #expect(many.json.utf8.count < 100_000)
}

@Test func thePageReadsWhatTheSnapshotHolds() throws {
    let snapshot = sample(workers: 2, filters: 4)
    let body = snapshot.forPage.json
    let page = try #require(try JSONSerialization.jsonObject(with: Data(body.utf8)) as? [String: Any])
    let run = try #require(page["run"] as? [String: Any])
    #expect(run["model"] as? String == snapshot.model && run["log"] as? [String] == ["one", "two"])
    #expect(run["masksRecorded"] as? Int == 333 && run["secondsLeft"] as? Double == 12.5 && run["stall"] == nil)
    let workers = try #require(run["workers"] as? [[String: Any]])
    #expect(workers.map { $0["host"] as? String } == ["node\"0\r\n", "node\"1\r\n"])
    #expect(workers.map { $0["isConnected"] as? Bool } == [true, false])
    let settling = try #require(run["settling"] as? [[String: Any]])
    #expect(settling.map { $0["heldOutRSquared"] as? Double } == [0.4])
    #expect((page["least"] as? [[String: Any]])?.map { $0["filter"] as? Int } == [0, 1, 2, 3])
    #expect((page["most"] as? [Any])?.isEmpty == true)
}

@Test func numbersThatJSONCannotSayAreNull() throws {
    var writer = JSONWriter()
    writer.array(of: [1.5, .nan, -.infinity, 1e300]) { $0.element($1) }
    let values = try #require(try JSONSerialization.jsonObject(with: Data(writer.text.utf8)) as? [Any])
    #expect(values.map { $0 as? Double } == [1.5, nil, nil, 1e300])
}

private let promtool = "/usr/bin/promtool"

@Test(.enabled(if: FileManager.default.isExecutableFile(atPath: promtool))) func prometheusAcceptsTheMetrics() throws {
    let process = Process()
    process.executableURL = URL(filePath: promtool)
    process.arguments = ["check", "metrics"]
    let input = Pipe()
    let output = Pipe()
    process.standardInput = input
    process.standardOutput = output
    process.standardError = output
    try process.run()
    input.fileHandleForWriting.write(Data(sample().prometheusText.utf8))
    try input.fileHandleForWriting.close()
    let said = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    #expect(process.terminationStatus == 0 && said.isEmpty, "\(said)")
}

@Test func metricsEscapeWhatWorkersSay() {
    let text = sample().prometheusText
    // A carriage return and a line feed are one character, of which the second must be escaped all the same.
    #expect(text.contains(#"host="node\"0"# + "\r" + #"\n""#))
    #expect(text.contains("winnow_evaluations_total 333\n"))
    #expect(text.contains("winnow_images_total 333000\n"))
}
