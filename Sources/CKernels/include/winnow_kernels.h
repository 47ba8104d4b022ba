#pragma once
// The mask-aware kernels.
//
// One vector lane is one image: a block of `lanes` images is stored [channel][row][column][lane]. Every lane does the
// same operations in the same order whatever the width of a vector, and every multiply-add is an explicit fused one, so
// all instruction sets give the same bits for an image, whichever images share its block.
//
// Buffers are offsets, in floats, into an arena, so that one description of a layer serves every thread.

#include <stddef.h>
#include <stdint.h>

// How a layer is computed.
enum {
    WINNOW_WINOGRAD = 0,  // 3x3, stride 1, padding 1, height and width multiples of 4: Winograd F(4x4, 3x3)
    WINNOW_DIRECT = 1,    // 3x3, padding 1, stride 1 or 2
    WINNOW_LINEAR = 2,    // a matrix product; a channel is a row of `size` groups of lanes
};

// What a layer gives under one mask. Lists of channels and filters are ascending.
typedef struct {
    const int32_t *input_rows;      // the channels it reads: positions in the layer's `input_slots`
    const int32_t *channels;        // the same channels' numbers in the weights
    int32_t channel_count;
    int32_t filter_count;
    const int32_t *filters;         // the filters it computes: numbers in the weights, `scale` and `shift`
    const int32_t *output_slots;    // for every computed filter its channel in `output`
    const int32_t *residual_slots;  // for every computed filter the channel of `residual` added to it, or -1
    const float *scale, *shift;     // y = relu(scale * convolution + shift + residual)
    size_t output;                  // arena offset of the result
    size_t residual;                // arena offset of the shortcut's source
    size_t residual_plane;          // floats between channels of the shortcut's source
    int32_t residual_size;          // its width
    int32_t residual_stride;        // 1 or 2; 0: there is no shortcut
    int32_t passed_count;           // disabled filters through which the shortcut passes: y = relu(residual)
    int32_t relu;                   // whether negative results become 0
    const int32_t *passed_outputs;  // their channels in `output`
    const int32_t *passed_residuals;// their channels in `residual`
} winnow_branch;

// A convolution or linear layer, for one or more masks that share its input. The output of the last branch may be the
// shortcut's source itself, where every channel keeps its place and what is there is not negative.
typedef struct {
    int32_t kind;                   // WINNOW_WINOGRAD, ...
    int32_t size;                   // height and width of the input; for a linear layer its groups of lanes
    int32_t stride;
    int32_t raw;                    // 1: leave the convolution alone (no scale, shift, residual, ReLU)
    int32_t channels, filters;      // extents of the weights
    int32_t input_count;            // channels of the input that some branch reads
    int32_t branch_count;
    const int32_t *input_slots;     // their channels in `input`
    const float *weights;           // [36, 9 or 1][channels][filters]
    const winnow_branch *branches;
    size_t input;                   // arena offset
    size_t input_plane;             // floats between channels of the input
    size_t output_plane;            // floats between channels of every output
} winnow_layer;

// The kernels of one instruction set.
typedef struct {
    const char *name;
    int32_t lanes;
    // Computes a layer. `scratch` holds winnow_scratch_floats(layer, lanes) floats.
    void (*layer)(const winnow_layer *layer, float *arena, float *scratch);
    // Applies scale, shift, residual and ReLU to what a raw layer left in a branch's output of `size` x `size`.
    void (*normalise)(const winnow_branch *branch, float *arena, size_t plane, int32_t size);
    // Sums of the values and of their squares of every computed filter, for every image:
    // sums[filter][2][lanes], each in double, pixels in ascending order.
    void (*statistics)(const winnow_branch *branch, const float *arena, size_t plane, int32_t size, double *sums);
    // Bytes of `images` images, `image_stride` apart, to floats: target[value * stride + lane] = fma(byte, scale, shift).
    // Lanes without an image get zero bytes.
    void (*prepare)(const uint8_t *bytes, size_t image_stride, int32_t images, int32_t count, float scale, float shift,
                    float *target, size_t stride);
    // The same for floats, which stay as they are; lanes without an image get zeros.
    void (*prepare_floats)(const float *values, size_t image_stride, int32_t images, int32_t count, float *target,
                           size_t stride);
    // Means of `size` x `size` planes: target[channel][lane].
    void (*pool)(const float *source, size_t plane, int32_t size, const int32_t *slots, int32_t count, float *target);
    // Cross-entropies of `count` images, summed in 2^-32 nats, and how many have their label's output largest (the
    // first of equal ones counts). Outputs are logits[class * stride + lane]. A loss that is not a number, or larger
    // than `loss_max` nats, counts as `loss_max`, and an image with such outputs is not correct.
    void (*losses)(const float *logits, size_t stride, int32_t classes, const int32_t *labels, int32_t count,
                   double loss_max, int64_t *sum, int64_t *correct);
    // `iterations` x the returned number of fused multiply-adds on registers, to measure the machine's peak.
    int64_t (*multiply_adds)(int64_t iterations);
} winnow_kernels;

// The kernels of an instruction set ("avx512", "avx2", "neon", "plain"), or NULL where this machine lacks it.
const winnow_kernels *winnow_kernels_named(const char *name);
// The best kernels of this machine.
const winnow_kernels *winnow_kernels_best(void);

// Floats of scratch space that a layer needs.
size_t winnow_scratch_floats(const winnow_layer *layer, int32_t lanes);

// 3x3 weights [filters][channels][3][3] to Winograd's [36][channels][filters].
void winnow_winograd_weights(const float *weights, int32_t filters, int32_t channels, float *target);
// Weights [filters][channels][taps] to [taps][channels][filters].
void winnow_transposed_weights(const float *weights, int32_t filters, int32_t channels, int32_t taps, float *target);
