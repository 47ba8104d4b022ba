import CLinux
import CSQLite
import Foundation
import Shared

/// A lock on one byte of an open file, which marks who works with it; and detection of file systems that cannot lock.
enum FileLock {
    /// Why a lock was not had.
    enum Refusal: Equatable {
        /// Another process has it.
        case taken
        /// The file system has no locks.
        case unsupported
    }

    /// Takes the lock; nil on success. Closing the descriptor releases it.
    static func take(_ descriptor: Int32, byte: Int64) -> Refusal? {
        winnow_lock_byte(descriptor, byte) == 0 ? nil : refusal(errno)
    }

    static func refusal(_ code: Int32) -> Refusal { code == EAGAIN || code == EACCES ? .taken : .unsupported }

    /// Whether an SQLite error comes from such a file system. On a local disk another reader may be busy as well.
    static func isUnsupported(_ error: DatabaseError) -> Bool {
        switch error.code {
        case SQLITE_IOERR, SQLITE_PROTOCOL, SQLITE_NOLFS: true
        case SQLITE_BUSY: FileSystem.networkKind(of: error.path) != nil
        default: false
        }
    }

    /// The message for a user whose run file is on a file system that SQLite cannot use.
    static func unsupported(_ path: String) -> Failure {
        let kind = FileSystem.networkKind(of: path).map { " (it is \($0))" } ?? ""
        return Failure(
            .unavailable,
            "the file system of \(path)\(kind) lacks locks, shared memory maps or fsync, which a run file "
                + "needs; put the run file on a local disk of this host (--run, or --folder); the rest can stay")
    }
}

/// What is known about a file's location.
enum FileSystem {
    /// The `f_type`s of `statfs(2)` of non-local disks.
    private static let network: [UInt32: String] = [
        0x6969: "NFS", 0x517B: "SMB", 0xFF53_4D42: "CIFS", 0xFE53_4D42: "SMB", 0x0BD0_0BD0: "Lustre",
        0x0102_1997: "9P", 0x6573_5546: "FUSE", 0x0000_6B6B: "AFS", 0x4750_4653: "GPFS", 0x0000_0187: "autofs",
        0x00C3_6400: "Ceph",
    ]

    /// The name of the network file system of a file, or of its future folder; nil for a local one.
    static func networkKind(of path: String) -> String? {
        let folder = (path as NSString).deletingLastPathComponent
        for place in [path, folder.isEmpty ? "." : folder] {
            let type = winnow_file_system_type(place)
            if type >= 0 { return network[UInt32(truncatingIfNeeded: type)] }
        }
        return nil
    }
}
