#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Elementwise and reducing kernels of training. Activations are [image, row, column, channel]; a "pixel" is one
// position of one image, so an activation is `pixels` rows of `channels` floats. Sums are formed in one fixed order,
// so that every instruction set gives the same bits.

/// The most channels that these kernels take; it bounds what they put on the stack (five times 16 floats a channel).
enum { WINNOW_TRAINING_CHANNELS_MAX = 4096 };

/// The mean and the population variance of every channel.
void winnow_channel_statistics(const float *x, size_t pixels, size_t channels, float *mean, float *variance);

/// y = x * scale + shift, plus `residual` where it is not null, then max(·, 0) where `relu`. `y` may be `residual`.
/// `rounded` gets y as bfloat16 where it is not null.
void winnow_scale_shift(
    const float *x, size_t pixels, size_t channels, const float *scale, const float *shift, const float *residual,
    bool relu, float *y, uint16_t *rounded);

/// The gradient before a ReLU, g = (dy + dy2) where y > 0, and what batch normalisation's gradient needs of it: for
/// every channel sum(g) and sum(g * (x - mean) * deviation_inverse). `dy2` may be null (none), and `y` (no ReLU).
/// `g` may be `dy` or `dy2`.
void winnow_normalisation_gradient_sums(
    const float *dy, const float *dy2, const float *y, const float *x, size_t pixels, size_t channels,
    const float *mean, const float *deviation_inverse, float *g, float *sum_g, float *sum_gx);

/// dx = factor * (g - offset - (x - mean) * slope), channel by channel. `dx` may be `x` or `g`. Where `rounded` is not
/// null it gets dx as bfloat16, and nothing is written to `dx`.
void winnow_normalisation_gradient(
    const float *g, const float *x, size_t pixels, size_t channels, const float *factor, const float *offset,
    const float *mean, const float *slope, float *dx, uint16_t *rounded);

/// x as bfloat16, the upper half of a float, rounded to nearest with ties to even; NaN stays NaN.
void winnow_round_to_bfloat16(const float *x, size_t count, uint16_t *rounded);

/// The gradient of each image's loss with respect to a gate on each channel of x * scale + shift:
/// gates[image, channel] = sum over the image's pixels of g * (x * scale + shift).
void winnow_gate_gradients(
    const float *g, const float *x, size_t images, size_t image_pixels, size_t channels, const float *scale,
    const float *shift, float *gates);

/// A parameter-free shortcut: y[image, r, c, o] = x[image, r * stride, c * stride, map[o]], or 0 where map[o] < 0.
/// `size` is the height and width of x.
void winnow_shortcut(
    const float *x, size_t images, size_t size, size_t input, size_t stride, const int32_t *map, size_t output,
    float *y);

/// Adds the gradient of ``winnow_shortcut`` to dx.
void winnow_shortcut_gradient(
    const float *dy, size_t images, size_t size, size_t input, size_t stride, const int32_t *map, size_t output,
    float *dx);

/// The mean over each image's pixels: y[image, channel].
void winnow_average_pool(const float *x, size_t images, size_t image_pixels, size_t channels, float *y);

/// The gradient of ``winnow_average_pool``.
void winnow_average_pool_gradient(const float *dy, size_t images, size_t image_pixels, size_t channels, float *dx);
