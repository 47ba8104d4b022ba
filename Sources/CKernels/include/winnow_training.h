#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Elementwise and reducing kernels of training. Activations are [image, row, column, channel]; a "pixel" is one
// position of one image, so an activation is `pixels` rows of `channels` floats. Sums are formed in one fixed order, so
// every instruction set gives the same bits.

/// The most channels of these kernels; it bounds their stack (five times 16 floats per channel).
enum { WINNOW_TRAINING_CHANNELS_MAX = 4096 };

/// The mean and the population variance of every channel.
void winnow_channel_statistics(const float *x, size_t pixels, size_t channels, float *mean, float *variance);

/// y = x * scale + shift, plus `residual` if it is not null, then max(·, 0) if `relu`. `y` may be `residual`. `rounded`
/// gets y as bfloat16 if it is not null.
void winnow_scale_shift(
    const float *x, size_t pixels, size_t channels, const float *scale, const float *shift, const float *residual,
    bool relu, float *y, uint16_t *rounded);

/// The gradient before a ReLU, g = (dy + dy2) where y > 0, and the sums that batch normalisation's gradient needs: for
/// every channel sum(g) and sum(g * (x - mean) * deviation_inverse). `dy2` may be null (none), and `y` (no ReLU). `g`
/// may be `dy` or `dy2`.
void winnow_normalisation_gradient_sums(
    const float *dy, const float *dy2, const float *y, const float *x, size_t pixels, size_t channels,
    const float *mean, const float *deviation_inverse, float *g, float *sum_g, float *sum_gx);

/// dx = factor * (g - offset - (x - mean) * slope), channel by channel. `dx` may be `x` or `g`. If `rounded` is not
/// null, it gets dx as bfloat16, and nothing is written to `dx`.
void winnow_normalisation_gradient(
    const float *g, const float *x, size_t pixels, size_t channels, const float *factor, const float *offset,
    const float *mean, const float *slope, float *dx, uint16_t *rounded);

/// x as bfloat16, the upper half of a float, rounded to nearest with ties to even; NaN stays NaN.
void winnow_round_to_bfloat16(const float *x, size_t count, uint16_t *rounded);

/// The gradient of each image's loss with respect to a gate on each channel of x * scale + shift, or of x if they are
/// null: gates[image, channel] = sum over the image's pixels of g * (x * scale + shift).
void winnow_gate_gradients(
    const float *g, const float *x, size_t images, size_t image_pixels, size_t channels, const float *scale,
    const float *shift, float *gates);

// Functions of each value.

/// x where positive, otherwise slopes[channel] * x.
void winnow_prelu(const float *x, size_t pixels, size_t channels, const float *slopes, float *y);

/// The gradients of ``winnow_prelu``. `dx` may be `dy`.
void winnow_prelu_gradient(
    const float *dy, const float *x, size_t pixels, size_t channels, const float *slopes, float *dx, float *dslopes);

/// min(max(slope * x + offset, 0), 1)
void winnow_hard_sigmoid(const float *x, size_t count, float slope, float offset, float *y);

/// The gradient of ``winnow_hard_sigmoid``. `dx` may be `dy`.
void winnow_hard_sigmoid_gradient(
    const float *dy, const float *x, size_t count, float slope, float offset, float *dx);

/// x * min(max(x / 6 + 1/2, 0), 1)
void winnow_hard_swish(const float *x, size_t count, float *y);

/// The gradient of ``winnow_hard_swish``. `dx` may be `dy`.
void winnow_hard_swish_gradient(const float *dy, const float *x, size_t count, float *dx);

// Sums and products.

/// y = a + b. `y` may be `a` or `b`.
void winnow_sum(const float *a, const float *b, size_t count, float *y);

/// Adds `bias` to each row.
void winnow_add_to_rows(float *y, size_t rows, size_t columns, const float *bias);

/// The sum of the rows.
void winnow_sum_of_rows(const float *x, size_t rows, size_t columns, float *sums);

/// An operand of a sum or product, [image, pixel, channel]; a single pixel or channel is broadcast.
typedef struct {
    size_t pixels, channels;
} winnow_operand;

/// y = a * b if `multiplies`, otherwise a + b, for `images` images of y's extents. `y` may be an operand of the same
/// extents.
void winnow_combine(
    const float *a, winnow_operand a_extents, const float *b, winnow_operand b_extents, bool multiplies, size_t images,
    winnow_operand y_extents, float *y);

/// The gradient of ``winnow_combine`` with respect to a: `b` is the other factor, or null for a sum.
void winnow_combine_gradient(
    const float *dy, winnow_operand y_extents, const float *b, winnow_operand b_extents, size_t images,
    winnow_operand a_extents, float *da);

// Windows and rearrangements.

/// The rows, or columns, that one row or column of a pool's output covers: begin, begin + step, … below end.
typedef struct {
    int32_t begin, end, step;
    int32_t counted; // divisor of a mean in this direction
} winnow_window;

/// The largest value or the mean of each window. For the largest, `chosen` gets its pixel (the first of several) if it
/// is not null.
void winnow_pool(
    const float *x, size_t images, size_t height, size_t width, size_t channels, const winnow_window *rows,
    size_t row_count, const winnow_window *columns, size_t column_count, bool largest, float *y, int32_t *chosen);

/// The gradient of ``winnow_pool``: of the largest if `chosen` is not null, otherwise of the mean.
void winnow_pool_gradient(
    const float *dy, size_t images, size_t height, size_t width, size_t channels, const winnow_window *rows,
    size_t row_count, const winnow_window *columns, size_t column_count, const int32_t *chosen, float *dx);

/// y[image, r, c, o] = x[image, top + r * row_step, left + c * column_step, map[o]], or 0 if that is outside or map[o]
/// is negative. Without `map` the channels are x's.
typedef struct {
    size_t images, height, width, channels; // of x
    ptrdiff_t top, left;
    size_t row_step, column_step;
    size_t output_height, output_width, output_channels;
    const int32_t *map;
} winnow_rearrangement;

void winnow_rearrange(const winnow_rearrangement *r, const float *x, float *y);

/// The gradient of ``winnow_rearrange``.
void winnow_rearrange_gradient(const winnow_rearrangement *r, const float *dy, float *dx);

/// Writes `rows` x `columns` matrices with rows and columns exchanged.
void winnow_transpose(const float *x, size_t matrices, size_t rows, size_t columns, float *y);

/// Copies `columns` values of each row between matrices whose rows are `from_stride` and `to_stride` apart.
void winnow_copy_columns(
    const float *from, size_t from_stride, float *to, size_t to_stride, size_t rows, size_t columns);
