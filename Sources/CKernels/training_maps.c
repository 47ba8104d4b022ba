#include "training.h"

#include <math.h>

// Activations that oneDNN lacks, or lacks with per-channel slopes, and sums and products.

EVERY_INSTRUCTION_SET
void winnow_prelu(const float *x, size_t pixels, size_t channels, const float *slopes, float *y) {
    for (size_t base = 0; base < pixels * channels; base += channels) {
        VECTORISED for (size_t c = 0; c < channels; c++) {
            const float v = x[base + c];
            y[base + c] = v > 0 ? v : slopes[c] * v;
        }
    }
}

EVERY_INSTRUCTION_SET
void winnow_prelu_gradient(
    const float *dy, const float *x, size_t pixels, size_t channels, const float *slopes, float *dx, float *dslopes) {
    double sums[channels];
    memset(sums, 0, sizeof sums);
    for (size_t base = 0; base < pixels * channels; base += channels) {
        VECTORISED for (size_t c = 0; c < channels; c++) {
            const float v = x[base + c], d = dy[base + c];
            sums[c] += v > 0 ? 0.0f : d * v;
            dx[base + c] = v > 0 ? d : slopes[c] * d;
        }
    }
    for (size_t c = 0; c < channels; c++) dslopes[c] = (float)sums[c];
}

static inline float clipped(float x, float lowest, float highest) {
    return x < lowest ? lowest : x > highest ? highest : x;
}

EVERY_INSTRUCTION_SET
void winnow_hard_sigmoid(const float *x, size_t count, float slope, float offset, float *y) {
    VECTORISED for (size_t i = 0; i < count; i++) y[i] = clipped(slope * x[i] + offset, 0, 1);
}

EVERY_INSTRUCTION_SET
void winnow_hard_sigmoid_gradient(
    const float *dy, const float *x, size_t count, float slope, float offset, float *dx) {
    VECTORISED for (size_t i = 0; i < count; i++) {
        const float v = slope * x[i] + offset;
        dx[i] = v > 0 && v < 1 ? slope * dy[i] : 0;
    }
}

EVERY_INSTRUCTION_SET
void winnow_hard_swish(const float *x, size_t count, float *y) {
    VECTORISED for (size_t i = 0; i < count; i++) y[i] = x[i] * clipped(x[i] / 6 + 0.5f, 0, 1);
}

EVERY_INSTRUCTION_SET
void winnow_hard_swish_gradient(const float *dy, const float *x, size_t count, float *dx) {
    VECTORISED for (size_t i = 0; i < count; i++) {
        dx[i] = dy[i] * (x[i] <= -3 ? 0 : x[i] >= 3 ? 1 : x[i] / 3 + 0.5f);
    }
}

EVERY_INSTRUCTION_SET
void winnow_sum(const float *a, const float *b, size_t count, float *y) {
    VECTORISED for (size_t i = 0; i < count; i++) y[i] = a[i] + b[i];
}

EVERY_INSTRUCTION_SET
void winnow_add_to_rows(float *y, size_t rows, size_t columns, const float *bias) {
    for (size_t row = 0; row < rows; row++) {
        VECTORISED for (size_t i = 0; i < columns; i++) y[row * columns + i] += bias[i];
    }
}

EVERY_INSTRUCTION_SET
void winnow_sum_of_rows(const float *x, size_t rows, size_t columns, float *sums) {
    memset(sums, 0, columns * sizeof(float));
    for (size_t row = 0; row < rows; row++) {
        VECTORISED for (size_t i = 0; i < columns; i++) sums[i] += x[row * columns + i];
    }
}

// Where an operand's pixel begins.
static inline const float *pixel_of(const float *x, winnow_operand extents, size_t image, size_t pixel) {
    return x + (image * extents.pixels + (extents.pixels == 1 ? 0 : pixel)) * extents.channels;
}

#define COMBINE(A, B)                                                                                          \
    if (multiplies) {                                                                                          \
        VECTORISED for (size_t c = 0; c < extents.channels; c++) to[c] = (A) * (B);                            \
    } else {                                                                                                   \
        VECTORISED for (size_t c = 0; c < extents.channels; c++) to[c] = (A) + (B);                            \
    }

EVERY_INSTRUCTION_SET
void winnow_combine(
    const float *a, winnow_operand a_extents, const float *b, winnow_operand b_extents, bool multiplies, size_t images,
    winnow_operand extents, float *y) {
    for (size_t image = 0; image < images; image++)
        for (size_t pixel = 0; pixel < extents.pixels; pixel++) {
            const float *pa = pixel_of(a, a_extents, image, pixel), *pb = pixel_of(b, b_extents, image, pixel);
            float *to = y + (image * extents.pixels + pixel) * extents.channels;
            if (a_extents.channels == extents.channels && b_extents.channels == extents.channels) {
                COMBINE(pa[c], pb[c])
            } else if (a_extents.channels == extents.channels) {
                const float only = pb[0];
                COMBINE(pa[c], only)
            } else if (b_extents.channels == extents.channels) {
                const float only = pa[0];
                COMBINE(only, pb[c])
            } else {
                const float first = pa[0], second = pb[0];
                COMBINE(first, second)
            }
        }
}

EVERY_INSTRUCTION_SET
void winnow_combine_gradient(
    const float *dy, winnow_operand y_extents, const float *b, winnow_operand b_extents, size_t images,
    winnow_operand a_extents, float *da) {
    const size_t channels = y_extents.channels;
    memset(da, 0, images * a_extents.pixels * a_extents.channels * sizeof(float));
    for (size_t image = 0; image < images; image++)
        for (size_t pixel = 0; pixel < y_extents.pixels; pixel++) {
            const float *d = dy + (image * y_extents.pixels + pixel) * channels;
            const float *factor = b ? pixel_of(b, b_extents, image, pixel) : NULL;
            const size_t step = b && b_extents.channels == channels ? 1 : 0;
            float *to = (float *)pixel_of(da, a_extents, image, pixel);
            if (a_extents.channels != channels) {
                double sum = 0;
                for (size_t c = 0; c < channels; c++) sum += factor ? d[c] * factor[step * c] : d[c];
                to[0] += (float)sum;
            } else if (!factor) {
                VECTORISED for (size_t c = 0; c < channels; c++) to[c] += d[c];
            } else if (step) {
                VECTORISED for (size_t c = 0; c < channels; c++) to[c] += d[c] * factor[c];
            } else {
                const float only = factor[0];
                VECTORISED for (size_t c = 0; c < channels; c++) to[c] += d[c] * only;
            }
        }
}
