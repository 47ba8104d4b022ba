import Foundation

/// A peer that speaks ZMTP 3 by hand over a TCP socket, so it can do what libzmq's own sockets never do.
final class RawPeer {
    private let descriptor: Int32

    /// Connects to a port of this host and shakes hands without keys, as a DEALER.
    init(port: UInt16) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        let connected = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard connected == 0 else { throw CocoaError(.fileReadUnknown) }
        func padded(_ bytes: [UInt8], to count: Int) -> [UInt8] {
            bytes + [UInt8](repeating: 0, count: count - bytes.count)
        }
        let signature: [UInt8] = [0xFF, 0, 0, 0, 0, 0, 0, 0, 0, 0x7F]
        send(padded(signature + [3, 0] + padded(Array("NULL".utf8), to: 20), to: 64))
        let type = [11] + Array("Socket-Type".utf8) + [0, 0, 0, 6] + Array("DEALER".utf8)
        let ready = [5] + Array("READY".utf8) + type
        send([4, UInt8(ready.count)] + ready)
    }

    deinit { close(descriptor) }

    /// Sends bytes; false once the other side has closed.
    @discardableResult
    func send(_ bytes: [UInt8]) -> Bool {
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes {
                Foundation.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return false }
            sent += count
        }
        return true
    }

    /// Sends a frame followed by another of the same message.
    @discardableResult
    func sendMore(_ payload: [UInt8]) -> Bool {
        let size = withUnsafeBytes(of: UInt64(payload.count).bigEndian) { Array($0) }
        return send([3] + size + payload)
    }
}
