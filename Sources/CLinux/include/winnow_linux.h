#pragma once
// What Swift's Glibc module leaves out. No system headers here: two modules must not define the same types differently.
#include <stdint.h>

/// A non-blocking event counter, or -1 with errno.
int winnow_eventfd(void);

/// A descriptor that becomes readable when one of the signals arrives, which must be blocked; or -1 with errno.
int winnow_signalfd(const int *signals, int count);

/// The next signal that arrived at such a descriptor, or 0.
int winnow_next_signal(int descriptor);

/// A pipe whose ends no child inherits; 0, or -1 with errno.
int winnow_pipe(int ends[2]);

/// The `f_type` of the file system that a path is on, or -1 with errno.
int64_t winnow_file_system_type(const char *path);
/// Locks one byte of an open file for this open file description. SQLite's own locks lie at other bytes and belong to
/// the process. Returns 0, or -1 with errno (EAGAIN where another holds it).
int winnow_lock_byte(int descriptor, int64_t byte);

/// Raises the limit of open descriptors to the hard limit and returns it.
uint64_t winnow_raise_descriptor_limit(void);

/// Processors that the scheduler may put this process on; 0 where the system does not say.
int32_t winnow_processors_allowed(void);

/// Gives memory that is free within this process back to the system.
void winnow_trim_memory(void);
