#pragma once
// What Swift's Glibc module lacks. No system headers here: two modules must not define the same types differently.
#include <stdint.h>

/// A non-blocking event counter, or -1 with errno.
int winnow_eventfd(void);

/// A descriptor that becomes readable when one of the signals, which must be blocked, arrives; or -1 with errno.
int winnow_signalfd(const int *signals, int count);

/// The next signal that arrived at such a descriptor, or 0.
int winnow_next_signal(int descriptor);

/// A pipe whose ends no child inherits; 0, or -1 with errno.
int winnow_pipe(int ends[2]);

/// The `f_type` of the file system that a path is on, or -1 with errno.
int64_t winnow_file_system_type(const char *path);
/// Locks one byte of an open file for this open file description. SQLite's own locks are at other bytes and belong to
/// the process. Returns 0, or -1 with errno (EAGAIN if another holds it).
int winnow_lock_byte(int descriptor, int64_t byte);

/// Raises the limit of open descriptors to the hard limit and returns it.
uint64_t winnow_raise_descriptor_limit(void);

/// Processors that the scheduler may use for this process; 0 if the system does not say.
int32_t winnow_processors_allowed(void);

/// Returns free memory of this process to the system.
void winnow_trim_memory(void);
