#pragma once
// What Swift's Glibc module leaves out.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

/// A non-blocking event counter, or -1 with errno.
static inline int winnow_eventfd(void) { return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC); }

/// A descriptor that becomes readable when one of the (blocked) signals arrives, or -1 with errno.
static inline int winnow_signalfd(const sigset_t *signals) { return signalfd(-1, signals, SFD_NONBLOCK | SFD_CLOEXEC); }

/// The next signal that arrived at such a descriptor, or 0.
static inline int winnow_next_signal(int descriptor) {
    struct signalfd_siginfo info;
    return read(descriptor, &info, sizeof info) == (ssize_t)sizeof info ? (int)info.ssi_signo : 0;
}

/// A pipe whose ends no child inherits; 0, or -1 with errno.
static inline int winnow_pipe(int ends[2]) { return pipe2(ends, O_CLOEXEC); }

/// Locks one byte of an open file for this open file description. SQLite's own locks lie at other bytes and belong to
/// the process. Returns 0, or -1 with errno (EAGAIN where another holds it).
static inline int winnow_lock_byte(int descriptor, off_t byte) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1, .l_pid = 0};
    return fcntl(descriptor, F_OFD_SETLK, &lock);
}

/// Raises the limit of open descriptors to the hard limit and returns it.
static inline unsigned long winnow_raise_descriptor_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 0;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    getrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur;
}
