#ifndef WINNOW_LINUX_H
#define WINNOW_LINUX_H
// What Swift's Glibc module leaves out. Compiled apart: _GNU_SOURCE in a header would give types like `rusage` a second
// definition, which Swift refuses.
#include <signal.h>
#include <sys/types.h>

/// A non-blocking event counter, or -1 with errno.
int winnow_eventfd(void);

/// A descriptor that becomes readable when one of the (blocked) signals arrives, or -1 with errno.
int winnow_signalfd(const sigset_t *signals);

/// The next signal that arrived at such a descriptor, or 0.
int winnow_next_signal(int descriptor);

/// A pipe whose ends no child inherits; 0, or -1 with errno.
int winnow_pipe(int ends[2]);

/// Locks one byte of an open file for this open file description. SQLite's own locks lie at other bytes and belong to
/// the process. Returns 0, or -1 with errno (EAGAIN where another holds it).
int winnow_lock_byte(int descriptor, off_t byte);

/// Raises the limit of open descriptors to the hard limit and returns it.
unsigned long winnow_raise_descriptor_limit(void);

#endif
