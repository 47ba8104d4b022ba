#include "training.h"

// A loop over channels would leave vectors half empty if the channels are few or odd in number. So the loops run over
// periods: the fewest whole pixels that fill whole vectors, at least four of them so that sums do not wait for one
// another. Per-channel values are repeated for every pixel of the period.
enum { VECTOR = 16, PERIOD_MIN = 4 * VECTOR };

// Periods to sum in single precision before adding to double precision.
enum { PERIODS_PER_PARTIAL_SUM = 64 };

static size_t period_length(size_t channels) {
    size_t length = channels;
    while (length % VECTOR != 0) length *= 2;
    while (length < PERIOD_MIN) length *= 2;
    return length;
}

static inline uint16_t bfloat16(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint32_t quiet = (bits >> 16) | 0x40u;
    const uint32_t nearest = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    return (uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? quiet : nearest);
}

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

static void repeat(const float *restrict values, size_t channels, size_t period, float *restrict repeated) {
    for (size_t i = 0; i < period; i += channels) memcpy(repeated + i, values, channels * sizeof(float));
}

static void add_to_channels(float *restrict partial, size_t period, size_t channels, double *restrict sums) {
    for (size_t i = 0; i < period; i += channels)
        for (size_t c = 0; c < channels; c++) sums[c] += partial[i + c];
    memset(partial, 0, period * sizeof(float));
}

EVERY_INSTRUCTION_SET
void winnow_channel_statistics(const float *x, size_t pixels, size_t channels, float *mean, float *variance) {
    const size_t total = pixels * channels, period = period_length(channels);
    const size_t stretch = period * PERIODS_PER_PARTIAL_SUM;
    float partial[period], centre[period];
    double sums[channels];
    memset(partial, 0, sizeof partial);
    memset(sums, 0, sizeof sums);
    for (size_t start = 0; start < total; start += stretch) {
        for (size_t base = start; base < smaller(start + stretch, total); base += period) {
            const size_t n = smaller(period, total - base);
            VECTORISED for (size_t i = 0; i < n; i++) partial[i] += x[base + i];
        }
        add_to_channels(partial, period, channels, sums);
    }
    for (size_t c = 0; c < channels; c++) mean[c] = (float)(sums[c] / (double)pixels);
    repeat(mean, channels, period, centre);
    memset(sums, 0, sizeof sums);
    for (size_t start = 0; start < total; start += stretch) {
        for (size_t base = start; base < smaller(start + stretch, total); base += period) {
            const size_t n = smaller(period, total - base);
            VECTORISED for (size_t i = 0; i < n; i++) {
                const float d = x[base + i] - centre[i];
                partial[i] += d * d;
            }
        }
        add_to_channels(partial, period, channels, sums);
    }
    for (size_t c = 0; c < channels; c++) variance[c] = (float)(sums[c] / (double)pixels);
}

EVERY_INSTRUCTION_SET
void winnow_scale_shift(
    const float *x, size_t pixels, size_t channels, const float *scale, const float *shift, const float *residual,
    bool relu, float *y, uint16_t *rounded) {
    const size_t total = pixels * channels, period = period_length(channels);
    float a[period], b[period];
    repeat(scale, channels, period, a);
    repeat(shift, channels, period, b);
    const float floor = relu ? 0.0f : -__builtin_inff();
    for (size_t base = 0; base < total; base += period) {
        const size_t n = smaller(period, total - base);
        if (residual) {
            VECTORISED for (size_t i = 0; i < n; i++) {
                const float v = x[base + i] * a[i] + b[i] + residual[base + i];
                y[base + i] = v < floor ? floor : v;
            }
        } else {
            VECTORISED for (size_t i = 0; i < n; i++) {
                const float v = x[base + i] * a[i] + b[i];
                y[base + i] = v < floor ? floor : v;
            }
        }
        if (rounded) {
            VECTORISED for (size_t i = 0; i < n; i++) rounded[base + i] = bfloat16(y[base + i]);
        }
    }
}

// One loop per combination of arguments, so that none carries a test.
#define GRADIENT_LOOP(TOTAL_GRADIENT, ACTIVE)                    \
    VECTORISED for (size_t i = 0; i < n; i++) {                  \
        const size_t k = base + i;                               \
        const float v = (ACTIVE) ? (TOTAL_GRADIENT) : 0.0f;      \
        g[k] = v;                                                \
        partial_g[i] += v;                                       \
        partial_gx[i] += v * ((x[k] - m[i]) * r[i]);             \
    }

EVERY_INSTRUCTION_SET
void winnow_normalisation_gradient_sums(
    const float *dy, const float *dy2, const float *y, const float *x, size_t pixels, size_t channels,
    const float *mean, const float *deviation_inverse, float *g, float *sum_g, float *sum_gx) {
    const size_t total = pixels * channels, period = period_length(channels);
    const size_t stretch = period * PERIODS_PER_PARTIAL_SUM;
    float m[period], r[period], partial_g[period], partial_gx[period];
    double sums_g[channels], sums_gx[channels];
    repeat(mean, channels, period, m);
    repeat(deviation_inverse, channels, period, r);
    memset(partial_g, 0, sizeof partial_g);
    memset(partial_gx, 0, sizeof partial_gx);
    memset(sums_g, 0, sizeof sums_g);
    memset(sums_gx, 0, sizeof sums_gx);
    for (size_t start = 0; start < total; start += stretch) {
        for (size_t base = start; base < smaller(start + stretch, total); base += period) {
            const size_t n = smaller(period, total - base);
            if (dy2 && y) {
                GRADIENT_LOOP(dy[k] + dy2[k], y[k] > 0)
            } else if (y) {
                GRADIENT_LOOP(dy[k], y[k] > 0)
            } else if (dy2) {
                GRADIENT_LOOP(dy[k] + dy2[k], true)
            } else {
                GRADIENT_LOOP(dy[k], true)
            }
        }
        add_to_channels(partial_g, period, channels, sums_g);
        add_to_channels(partial_gx, period, channels, sums_gx);
    }
    for (size_t c = 0; c < channels; c++) {
        sum_g[c] = (float)sums_g[c];
        sum_gx[c] = (float)sums_gx[c];
    }
}

EVERY_INSTRUCTION_SET
void winnow_normalisation_gradient(
    const float *g, const float *x, size_t pixels, size_t channels, const float *factor, const float *offset,
    const float *mean, const float *slope, float *dx, uint16_t *rounded) {
    const size_t total = pixels * channels, period = period_length(channels);
    float f[period], o[period], m[period], s[period], d[period];
    repeat(factor, channels, period, f);
    repeat(offset, channels, period, o);
    repeat(mean, channels, period, m);
    repeat(slope, channels, period, s);
    for (size_t base = 0; base < total; base += period) {
        const size_t n = smaller(period, total - base);
        float *to = rounded ? d : dx + base;
        VECTORISED for (size_t i = 0; i < n; i++) {
            const size_t k = base + i;
            to[i] = f[i] * (g[k] - o[i] - (x[k] - m[i]) * s[i]);
        }
        if (rounded) {
            VECTORISED for (size_t i = 0; i < n; i++) rounded[base + i] = bfloat16(d[i]);
        }
    }
}

EVERY_INSTRUCTION_SET
void winnow_round_to_bfloat16(const float *x, size_t count, uint16_t *rounded) {
    VECTORISED for (size_t i = 0; i < count; i++) rounded[i] = bfloat16(x[i]);
}

EVERY_INSTRUCTION_SET
void winnow_gate_gradients(
    const float *g, const float *x, size_t images, size_t image_pixels, size_t channels, const float *scale,
    const float *shift, float *gates) {
    memset(gates, 0, images * channels * sizeof(float));
    for (size_t image = 0; image < images; image++) {
        float *restrict sums = gates + image * channels;
        for (size_t pixel = 0; pixel < image_pixels; pixel++) {
            const size_t base = (image * image_pixels + pixel) * channels;
            if (scale) {
                VECTORISED for (size_t c = 0; c < channels; c++) {
                    sums[c] += g[base + c] * (x[base + c] * scale[c] + shift[c]);
                }
            } else {
                VECTORISED for (size_t c = 0; c < channels; c++) sums[c] += g[base + c] * x[base + c];
            }
        }
    }
}
