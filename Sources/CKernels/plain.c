// Without vector instructions; every fused multiply-add is a call of fmaf. For machines without the others, and to
// check them.
#define KERNELS winnow_kernels_plain
#define KERNELS_NAME "plain"
#define LANES 8
#define ROWS_MAX 6
#define COLUMNS 2
#define AFTER(a, b) (void)(a)
#include "body.h"
