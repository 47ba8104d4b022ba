#pragma once
#include <dnnl.h>

// Debian's oneDNN runs on GCC's OpenMP. One declaration saves a dependency on GCC's own header folder.
extern void omp_set_num_threads(int threads);
