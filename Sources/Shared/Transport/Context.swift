import CZeroMQ
import Glibc

/// ZeroMQ's context: its I/O threads and the name space of `inproc` endpoints.
///
/// Sockets, which belong to one thread each, keep their context alive, so it ends after the last of them.
public final class Context: Sendable {
    nonisolated(unsafe) let handle: UnsafeMutableRawPointer

    /// Makes a context for at most `socketsMax` sockets. Throws ``TransportError``.
    ///
    /// A router names its peers by numbers that count up from the first `rand()`, and libzmq aborts the program if a
    /// peer claims a name about to be given. So that number must be unpredictable: the generator, which libzmq does not
    /// seed, is first seeded from the system.
    public init(ioThreads: Int = 1, socketsMax: Int = 64) throws {
        srand(.random(in: .min ... .max))
        guard let handle = zmq_ctx_new() else {
            throw TransportError(operation: "make a ZeroMQ context", code: zmq_errno())
        }
        self.handle = handle
        do {
            try call("set the number of I/O threads") { zmq_ctx_set(handle, ZMQ_IO_THREADS, Int32(ioThreads)) }
            try call("set the number of sockets") { zmq_ctx_set(handle, ZMQ_MAX_SOCKETS, Int32(socketsMax)) }
        } catch {
            zmq_ctx_term(handle)
            throw error
        }
    }

    deinit { while zmq_ctx_term(handle) == -1 && zmq_errno() == EINTR {} }
}
