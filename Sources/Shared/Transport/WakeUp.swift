import CLinux
import Foundation

/// Wakes the thread that polls, from any other thread.
public final class WakeUp: Sendable {
    /// The descriptor to poll.
    public let descriptor: Int32

    /// Makes a wake-up. Throws ``TransportError`` if descriptors have run out.
    public init() throws { descriptor = try call("make an event descriptor") { winnow_eventfd() } }

    deinit { close(descriptor) }

    /// Makes the descriptor readable. Never blocks.
    public func signal() {
        var one: UInt64 = 1
        while write(descriptor, &one, 8) < 0 && errno == EINTR {}
    }

    /// Makes the descriptor unreadable until the next ``signal()``.
    public func clear() {
        var count: UInt64 = 0
        while read(descriptor, &count, 8) < 0 && errno == EINTR {}
    }
}

/// Turns signals of the operating system into something to poll.
///
/// Create it on the main thread before any other thread starts, since threads inherit the blocked signals.
public struct SignalQueue: ~Copyable {
    /// The signals that ask a program to stop cleanly: Ctrl-C, a service manager's request, a closed terminal (unless
    /// `nohup` ignores it), and a batch system's time limit.
    public static var endings: [Int32] {
        var action = sigaction()
        sigaction(SIGHUP, nil, &action)
        let isIgnored = unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self) == 1
        return [SIGINT, SIGTERM, SIGXCPU] + (isIgnored ? [] : [SIGHUP])
    }

    /// The descriptor to poll.
    public let descriptor: Int32
    private let signals: [Int32]

    /// Takes over the given signals of this process. Throws ``TransportError``.
    public init(_ signals: [Int32]) throws {
        var set = Self.set(of: signals)
        pthread_sigmask(SIG_BLOCK, &set, nil)
        descriptor = try call("watch for signals") { winnow_signalfd(signals, Int32(signals.count)) }
        self.signals = signals
    }

    deinit { close(descriptor) }

    /// Gives the signals back: from now on they have their default effect.
    public func release() {
        for signal in signals {
            // Ignoring a signal first discards one that is still pending.
            Foundation.signal(signal, SIG_IGN)
            Foundation.signal(signal, SIG_DFL)
        }
        var set = Self.set(of: signals)
        pthread_sigmask(SIG_UNBLOCK, &set, nil)
    }

    private static func set(of signals: [Int32]) -> sigset_t {
        var set = sigset_t()
        sigemptyset(&set)
        for signal in signals { sigaddset(&set, signal) }
        return set
    }

    /// The next signal that has arrived, or nil.
    public func next() -> Int32? {
        let signal = winnow_next_signal(descriptor)
        return signal == 0 ? nil : signal
    }
}
