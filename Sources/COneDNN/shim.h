#pragma once
#include <dnnl.h>

// Debian's oneDNN uses GCC's OpenMP. One declaration saves a dependency on GCC's header folder.
extern void omp_set_num_threads(int threads);
