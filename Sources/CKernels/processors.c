#define _GNU_SOURCE
#include <sched.h>

#include "winnow_kernels.h"

int32_t winnow_processors_allowed(void) {
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 0;
}
