import CMicroHTTPD
import Foundation
import Shared

/// The response to one request.
struct HTTPResponse: Sendable, Equatable {
    var status: Int = 200
    /// The media type, with its character set.
    var contentType: String
    var body: String

    /// A short text for a failed request.
    static func error(_ status: Int, _ text: String) -> HTTPResponse {
        HTTPResponse(status: status, contentType: "text/plain; charset=utf-8", body: text + "\n")
    }
}

/// An HTTP server for a few readers, on libmicrohttpd, with its own thread. It answers `GET` and `HEAD`.
///
/// The response is computed on the server's thread, which must therefore not wait for the run's.
final class HTTPServer {
    /// Limits that keep a careless or hostile reader from costing the run anything.
    private static let connectionsMax: UInt32 = 256
    /// Idle open connections leave room for others, such as `/health` checks.
    private static let connectionsPerAddressMax: UInt32 = 32
    private static let timeoutSeconds: UInt32 = 5
    private static let requestBytesMax = 16 * 1024

    /// Where it listens, with the actual port.
    let address: HTTPAddress
    private let daemon: OpaquePointer
    private let context: Unmanaged<HTTPHandler>

    /// Starts to listen. Throws an `.unavailable` ``Failure`` if the address is not available.
    init(at address: HTTPAddress, answer: @escaping @Sendable (_ path: String) -> HTTPResponse) throws {
        let handler = HTTPHandler(checksHost: address.isLoopback, answer: answer)
        context = Unmanaged.passRetained(handler)
        errno = 0
        let started = address.withSocketAddress { [context] in
            winnow_http_start(
                $0, { handleRequest($0, $1, $2, $3, $6, $7) }, context.toOpaque(), HTTPServer.connectionsMax,
                HTTPServer.connectionsPerAddressMax,
                HTTPServer.timeoutSeconds, HTTPServer.requestBytesMax)
        }
        guard let started else {
            let reason = errno == 0 ? "cannot bind it" : String(cString: strerror(errno))
            context.release()
            throw Failure(
                .unavailable,
                "cannot show the live page at \(address): \(reason); choose another --http address or port")
        }
        daemon = started
        self.address = HTTPAddress(host: address.host, port: winnow_http_port(started))
    }

    deinit {
        MHD_stop_daemon(daemon)
        context.release()
    }
}

/// What the server's thread needs to respond.
private final class HTTPHandler: Sendable {
    /// Whether to accept only requests to a loopback name: then no page of another site whose name resolves to this
    /// machine (DNS rebinding) reads the run.
    let checksHost: Bool
    let answer: @Sendable (String) -> HTTPResponse

    init(checksHost: Bool, answer: @escaping @Sendable (String) -> HTTPResponse) {
        self.checksHost = checksHost
        self.answer = answer
    }

    func response(method: String, path: String, host: String?) -> HTTPResponse {
        guard method == "GET" || method == "HEAD" else { return .error(405, "only GET and HEAD are supported") }
        if checksHost, let host, !HTTPAddress.isLoopback(hostHeader: host) {
            return .error(421, "this page is only for this machine")
        }
        return answer(path)
    }
}

private func handleRequest(
    _ context: UnsafeMutableRawPointer?, _ connection: OpaquePointer?, _ url: UnsafePointer<CChar>?,
    _ method: UnsafePointer<CChar>?, _ uploadSize: UnsafeMutablePointer<Int>?,
    _ state: UnsafeMutablePointer<UnsafeMutableRawPointer?>?
) -> MHD_Result {
    guard let context, let connection, let url, let method, let state else { return .NO }
    // The first call brings only the header; a body, which nobody should send, is discarded.
    if state.pointee == nil {
        state.pointee = context
        return .YES
    }
    if let uploadSize, uploadSize.pointee > 0 {
        uploadSize.pointee = 0
        return .YES
    }
    let handler = Unmanaged<HTTPHandler>.fromOpaque(context).takeUnretainedValue()
    let host = MHD_lookup_connection_value(connection, .HEADER_KIND, "Host").map { String(cString: $0) }
    let answer = handler.response(method: String(cString: method), path: String(cString: url), host: host)
    var body = Array(answer.body.utf8)
    let response = body.withUnsafeMutableBytes {
        MHD_create_response_from_buffer($0.count, $0.baseAddress, .RESPMEM_MUST_COPY)
    }
    guard let response else { return .NO }
    defer { MHD_destroy_response(response) }
    let headers = [
        ("Content-Type", answer.contentType),
        ("Cache-Control", "no-store"),
        (
            "Content-Security-Policy",
            "default-src 'none'; img-src data:; script-src 'self'; style-src 'self'; connect-src 'self'"
        ),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),
    ]
    for (name, value) in headers { _ = MHD_add_response_header(response, name, value) }
    return MHD_queue_response(connection, UInt32(answer.status), response)
}
