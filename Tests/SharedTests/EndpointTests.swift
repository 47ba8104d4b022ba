import Shared
import Testing

@Test(arguments: [
    "tcp://host:99999", "tcp://host:80a", "tcp://host:", "tcp://host", "host:80", "tcp://host:80/", "tcp://host/:80",
    "tcp://:80", "tcp://a b:80", "tcp://::1:80", "tcp://[host]:80", "tcp://*x:80", "tcp://1.2.3.4;5.6.7.8:80",
    "udp://host:80", "tcp://host:+80", "tcp://host:٣", "",
])
func anEndpointThatNobodyCanMeanIsAUsageError(text: String) {
    for make in [Endpoint.init(connectingTo:option:), Endpoint.init(listeningAt:option:)] {
        #expect { try make(text, "--x") } throws: { error in
            (error as? Failure)?.kind == .usage && "\(error)".contains("--x")
        }
    }
}

@Test(arguments: ["tcp://*:5998", "tcp://host:0", "tcp://host:*"]) func nobodyConnectsToEverywhereOrAnyPort(
    text: String
) {
    #expect { try Endpoint(connectingTo: text, option: "--connect") } throws: { ($0 as? Failure)?.kind == .usage }
    #expect(throws: Never.self) { try Endpoint(listeningAt: text, option: "--bind") }
}

@Test func anEndpointComesBackAsZeroMQWritesIt() throws {
    for text in ["tcp://host.example:1", "tcp://10.0.0.1:65535", "tcp://[fe80::1%eth0]:80", "tcp://*:0"] {
        #expect(try Endpoint(listeningAt: text, option: "--bind").description == text)
    }
}

@Test func localhostIsResolvedToListenAt() throws {
    let endpoint = try Endpoint(listeningAt: "tcp://localhost:0", option: "--bind").resolved(option: "--bind")
    #expect(endpoint.isNumeric && endpoint.isLoopback)
    let context = try Context()
    var options = SocketOptions()
    options.usesIPv6 = endpoint.ipv4 == nil
    try Socket(.router, in: context, options: options).bind(to: endpoint.description)
    #expect {
        try Endpoint(listeningAt: "tcp://no.such.invalid:0", option: "--bind").resolved(option: "--bind")
    } throws: { ($0 as? Failure)?.kind == .usage }
}
