#if defined(__x86_64__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma,bmi2"))), apply_to = function)
#define KERNELS winnow_kernels_avx512
#define KERNELS_NAME "avx512"
#define LANES 16
#define ROWS_MAX 6
#define COLUMNS 4
#define AFTER(a, b) __asm__("" : "+r"(a), "+v"(b))
#include "body.h"
#pragma clang attribute pop
#endif
