import CZeroMQ

/// Waits for several sockets and descriptors at once. It must not outlive what it watches.
public struct Poller {
    private var items: [zmq_pollitem_t] = []

    /// Watches nothing yet.
    public init() {}

    /// Watches a socket for messages and returns its index.
    public mutating func watch(_ socket: borrowing Socket) -> Int {
        items.append(zmq_pollitem_t(socket: socket.handle, fd: 0, events: Int16(ZMQ_POLLIN), revents: 0))
        return items.count - 1
    }

    /// Watches a descriptor for bytes to read and returns its index.
    public mutating func watch(descriptor: Int32) -> Int {
        items.append(zmq_pollitem_t(socket: nil, fd: descriptor, events: Int16(ZMQ_POLLIN), revents: 0))
        return items.count - 1
    }

    /// Waits until something is readable or the time is up; -1 waits for ever. Throws ``TransportError``.
    public mutating func wait(milliseconds: Int) throws {
        try call("wait for messages") { zmq_poll(&items, Int32(items.count), milliseconds) }
    }

    /// Whether the last ``wait(milliseconds:)`` found something to read.
    public func isReadable(_ index: Int) -> Bool { items[index].revents & Int16(ZMQ_POLLIN | ZMQ_POLLERR) != 0 }
}
