#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target("avx2,fma,bmi2"))), apply_to = function)
#define KERNELS winnow_kernels_avx2
#define KERNELS_NAME "avx2"
#define LANES 8
#define ROWS_MAX 6
#define COLUMNS 2
#define AFTER(a, b) __asm__("" : "+r"(a), "+x"(b))
#include "body.h"
#pragma clang attribute pop
#endif
