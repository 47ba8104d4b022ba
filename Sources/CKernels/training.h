#pragma once
// Shared by the training kernels.

#include "winnow_training.h"

#include <string.h>

// A clone is chosen while the program is loaded, before ThreadSanitizer's instrumentation of it may run.
#if defined(__x86_64__) && !__has_feature(thread_sanitizer)
#define EVERY_INSTRUCTION_SET __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define EVERY_INSTRUCTION_SET
#endif
#define VECTORISED _Pragma("clang loop vectorize(assume_safety) interleave(enable)")
