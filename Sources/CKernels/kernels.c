#include "winnow_kernels.h"

int winnow_kernels_placeholder(void) { return 0; }
