#if defined(__aarch64__)
#define KERNELS winnow_kernels_neon
#define KERNELS_NAME "neon"
#define LANES 8
#define ROWS_MAX 6
#define COLUMNS 2
#define AFTER(a, b) __asm__("" : "+r"(a))
#include "body.h"
#endif
