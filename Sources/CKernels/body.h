// The kernels, compiled once for every instruction set by a file that defines
//   KERNELS       the name of the table of kernels
//   KERNELS_NAME  what it is called
//   LANES         images in a block, which is the floats in a vector
//   ROWS_MAX      filters of a microkernel
//   COLUMNS       vectors of a microkernel's row
//   AFTER(a, b)   an empty statement that makes the compiler use the integer `a` only after the vector `b` was formed,
//                 so that it does not load more weights ahead than registers can hold
// so that ROWS_MAX * COLUMNS accumulators and a row of operands fit the registers. No include guard: every such file
// includes it once.

#include <string.h>

#include "blocking.h"

// Vectors are only passed to inlined functions, so the calling convention for them does not matter.
#pragma clang diagnostic ignored "-Wpsabi"

#define INLINE static inline __attribute__((always_inline))

typedef float vec __attribute__((ext_vector_type(LANES)));
typedef double wide __attribute__((ext_vector_type(LANES)));
typedef float loose __attribute__((ext_vector_type(LANES), aligned(4)));

INLINE vec load(const float *p) { return *(const loose *)p; }
INLINE void store(float *p, vec v) { *(loose *)p = v; }
INLINE vec fma_(vec a, vec b, vec c) { return __builtin_elementwise_fma(a, b, c); }
INLINE vec all(float x) { return (vec)x; }

#include "activations.h"
#include "epilogue.h"
#include "multiply.h"
#include "winograd.h"
#include "layers.h"
#include "maps.h"
#include "losses.h"

static void prepare(const uint8_t *bytes, size_t image_stride, int32_t images, int32_t count, float scale, float shift,
                    float *target, size_t stride) {
    typedef uint8_t octets __attribute__((ext_vector_type(LANES)));
    for (int32_t i = 0; i < count; i++) {
        octets x = 0;
        for (int32_t lane = 0; lane < LANES; lane++) {
            if (lane < images) x[lane] = bytes[(size_t)lane * image_stride + i];
        }
        store(target + (size_t)i * stride, fma_(__builtin_convertvector(x, vec), all(scale), all(shift)));
    }
}

static void prepare_floats(const float *values, size_t image_stride, int32_t images, int32_t count, float *target,
                           size_t stride) {
    for (int32_t i = 0; i < count; i++) {
        for (int32_t lane = 0; lane < LANES; lane++) {
            target[(size_t)i * stride + lane] = lane < images ? values[(size_t)lane * image_stride + i] : 0;
        }
    }
}

static int64_t multiply_adds(int64_t iterations) {
    enum { CHAINS = 12 };
    volatile float factor = 0.5f, term = 1;
    vec a = all(factor), b = all(term), sums[CHAINS];
    for (int i = 0; i < CHAINS; i++) sums[i] = all((float)i);
    for (int64_t n = 0; n < iterations; n++) {
#pragma unroll
        for (int i = 0; i < CHAINS; i++) sums[i] = fma_(sums[i], a, b);
    }
    for (int i = 1; i < CHAINS; i++) sums[0] += sums[i];
    volatile float sink = sums[0][0];
    (void)sink;
    return CHAINS * LANES;
}

const winnow_kernels KERNELS = {
    .name = KERNELS_NAME,
    .lanes = LANES,
    .layer = layer,
    .map = map,
    .normalise = normalise,
    .statistics = statistics,
    .prepare = prepare,
    .prepare_floats = prepare_floats,
    .losses = losses,
    .answers = answers,
    .divergences = divergences,
    .multiply_adds = multiply_adds,
};
