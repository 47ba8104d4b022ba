#include <stdlib.h>
#include <string.h>

#include "blocking.h"

extern const winnow_kernels winnow_kernels_plain;
#if defined(__x86_64__)
extern const winnow_kernels winnow_kernels_avx512;
extern const winnow_kernels winnow_kernels_avx2;
#elif defined(__aarch64__)
extern const winnow_kernels winnow_kernels_neon;
#endif

const winnow_kernels *winnow_kernels_named(const char *name) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (strcmp(name, "avx512") == 0) {
        int has = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                  __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw");
        return has ? &winnow_kernels_avx512 : NULL;
    }
    if (strcmp(name, "avx2") == 0) {
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? &winnow_kernels_avx2 : NULL;
    }
#elif defined(__aarch64__)
    if (strcmp(name, "neon") == 0) return &winnow_kernels_neon;
#endif
    return strcmp(name, "plain") == 0 ? &winnow_kernels_plain : NULL;
}

size_t winnow_scratch_floats(const winnow_layer *layer, int32_t lanes) {
    size_t inputs = (size_t)layer->input_count;
    size_t lines = 0, terms = inputs;
    switch (layer->kind) {
        case WINNOW_WINOGRAD:
            lines = POSITIONS * (position_lines(inputs * TILES_MAX) + position_lines(FILTERS_MAX * TILES_MAX));
            break;
        case WINNOW_DIRECT:
            lines = direct_piece_of(layer).lines;
            terms = inputs * (size_t)layer->kernel.height * (size_t)layer->kernel.width;
            break;
        default: lines = inputs * (size_t)pointwise_stride(pointwise_pixels(layer), lanes); break;
    }
    // Up to three lists of integers, of the terms' places, follow the lines.
    return lines * (size_t)lanes + 3 * terms;
}

// Winograd F(4x4, 3x3) with the interpolation points 0, 1, -1, b, -b and infinity (Lavin and Gray, 2016, give b = 2).
// Every transformation is unscaled but that of the weights.
void winnow_winograd_weights(const float *weights, int32_t filters, int32_t channels, float *target) {
    const double b = 2;
    const double g[6][3] = {
        {1 / (b * b), 0, 0},
        {1 / (2 * (1 - b * b)), 1 / (2 * (1 - b * b)), 1 / (2 * (1 - b * b))},
        {1 / (2 * (1 - b * b)), -1 / (2 * (1 - b * b)), 1 / (2 * (1 - b * b))},
        {1 / (2 * b * b * (b * b - 1)), b / (2 * b * b * (b * b - 1)), 1 / (2 * (b * b - 1))},
        {1 / (2 * b * b * (b * b - 1)), -b / (2 * b * b * (b * b - 1)), 1 / (2 * (b * b - 1))},
        {0, 0, 1},
    };
    for (int32_t filter = 0; filter < filters; filter++) {
        for (int32_t channel = 0; channel < channels; channel++) {
            const float *w = weights + ((size_t)filter * channels + channel) * 9;
            double rows[6][3];
            for (int i = 0; i < 6; i++) {
                for (int j = 0; j < 3; j++) rows[i][j] = g[i][0] * w[j] + g[i][1] * w[3 + j] + g[i][2] * w[6 + j];
            }
            for (int i = 0; i < 6; i++) {
                for (int j = 0; j < 6; j++) {
                    double u = rows[i][0] * g[j][0] + rows[i][1] * g[j][1] + rows[i][2] * g[j][2];
                    target[((size_t)(i * 6 + j) * channels + channel) * filters + filter] = (float)u;
                }
            }
        }
    }
}

void winnow_transposed_weights(const float *weights, int32_t filters, int32_t channels, int32_t taps, float *target) {
    for (int32_t filter = 0; filter < filters; filter++) {
        for (int32_t channel = 0; channel < channels; channel++) {
            for (int32_t tap = 0; tap < taps; tap++) {
                target[((size_t)tap * channels + channel) * filters + filter] =
                    weights[((size_t)filter * channels + channel) * taps + tap];
            }
        }
    }
}
