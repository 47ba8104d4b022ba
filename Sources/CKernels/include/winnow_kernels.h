#pragma once
// The mask-aware kernels.
//
// One vector lane is one image: a block of `lanes` images is stored as lines of `lanes` floats, one line for every
// pixel of every channel. A channel is `height * width` lines, row after row; its place is the number of its first line
// in the arena, so a list of places may gather channels from anywhere. Every lane does the same operations in the same
// order for every vector width, and every multiply-add is explicitly fused, so all instruction sets give the same bits
// for an image, whichever images share its block.
//
// Places are relative to the arena, so one description of a step serves every thread. A step may be computed a few rows
// at a time, and a value that only the next step reads may have memory for just these rows.

#include <stddef.h>
#include <stdint.h>

// Functions of one value; `a` and `b` as named here.
enum {
    WINNOW_IDENTITY = 0,
    WINNOW_RELU = 1,
    WINNOW_LEAKY_RELU = 2,    // a: slope
    WINNOW_PRELU = 3,         // slopes[channel]
    WINNOW_CLIP = 4,          // a: lowest, b: highest; may be infinite
    WINNOW_SIGMOID = 5,
    WINNOW_HARD_SIGMOID = 6,  // a: slope, b: offset
    WINNOW_HARD_SWISH = 7,
    WINNOW_SILU = 8,
    WINNOW_TANH = 9,
    WINNOW_ELU = 10,          // a: alpha
    WINNOW_GELU = 11,
    WINNOW_GELU_TANH = 12,
};

typedef struct {
    int32_t kind;
    float a, b;
    const float *slopes;      // by channel, for WINNOW_PRELU
} winnow_activation;

typedef struct {
    int32_t height, width;
} winnow_extent;

// A step's output under one mask: y = activation(scale * x + shift + residual). Lists of channels are ascending.
typedef struct {
    int32_t count;
    const int32_t *channels;         // the channels it computes: numbers in weights, scale, shift and slopes
    const int32_t *lines;            // their places
    const float *scale, *shift;      // by channel's number; NULL for y = activation(x + residual)
    const int32_t *residual_lines;   // the places of their addends, -1 for none; or NULL
    int32_t residual_width;          // columns of the residual's channels
    int32_t residual_stride;         // its pixels per output pixel; 0: its only pixel is added to all
    int32_t passed_count;            // channels that are not computed, through which the residual passes: y = activation(residual)
    const int32_t *passed_channels;  // their numbers
    const int32_t *passed_lines;     // their places
    const int32_t *passed_residual_lines;
    winnow_activation activation;
} winnow_output;

// How a layer is computed.
enum {
    WINNOW_WINOGRAD = 0,   // 3x3, stride 1, padding 1, dilation 1, any height and width: Winograd F(4x4, 3x3)
    WINNOW_DIRECT = 1,     // any kernel, stride, padding and dilation
    WINNOW_POINTWISE = 2,  // 1x1 without padding, any stride; a linear layer is one of a single pixel
};

// A layer's output under one mask.
typedef struct {
    const int32_t *input_rows;  // the channels it reads: positions in the layer's `input_lines`
    const int32_t *channels;    // the same channels' numbers in the weights
    int32_t channel_count;      // may be 0: the sums are then zeros
    winnow_output output;
} winnow_branch;

// A convolution (of one group) or linear layer, for one or more masks that share its input. The last branch may write
// its output over its residual, channel for channel, if no channel moves.
typedef struct {
    int32_t kind;                // WINNOW_WINOGRAD, ...
    int32_t raw;                 // 1: leave the sums alone (no scale, shift, residual, activation)
    winnow_extent input, output; // pixels of a channel
    winnow_extent kernel, stride, dilation;
    int32_t pad_top, pad_left;
    int32_t channels, filters;   // extents of the weights
    int32_t input_count;         // channels of the input that some branch reads
    const int32_t *input_lines;  // their places
    const float *weights;        // [36, taps or 1][channels][filters]
    int32_t branch_count;
    const winnow_branch *branches;
} winnow_layer;

// Operations on each channel alone.
enum {
    WINNOW_ELEMENTWISE = 0,       // x itself
    WINNOW_MULTIPLY = 1,          // x * other
    WINNOW_DEPTHWISE = 2,         // a convolution of one channel: weights [channel][taps]
    WINNOW_MAX_POOL = 3,          // values outside do not count
    WINNOW_AVERAGE_POOL = 4,
    WINNOW_ADAPTIVE_AVERAGE = 5,  // region i of n covers floor(i * size / n) to ceil((i + 1) * size / n)
    WINNOW_COPY = 6,              // pixel (r, c) is the input's (r * stride - pad_top, c * stride - pad_left), 0 outside
};

// Such an operation under one mask.
typedef struct {
    int32_t kind;                // WINNOW_ELEMENTWISE, ...
    int32_t raw;                 // as in winnow_layer
    winnow_extent input, output; // pixels of a channel; an input of 1x1 is broadcast by ELEMENTWISE and MULTIPLY
    winnow_extent other;         // pixels of the other factor's channels, likewise
    winnow_extent kernel, stride, dilation;
    int32_t pad_top, pad_left;   // pad_top, pad_left may be negative for WINNOW_COPY
    int32_t pad_bottom, pad_right; // for the divisor of an average that counts the padding
    int32_t counts_padding;      // whether the padding's zeros count in a mean's divisor
    const int32_t *input_lines;  // the input place of every computed channel; -1 for zeros (WINNOW_COPY)
    const int32_t *other_lines;  // the place of every computed channel's other factor
    const float *weights;        // WINNOW_DEPTHWISE: [channel][taps]
    winnow_output output_channels;
} winnow_map;

// Where a step finds and leaves values, and the rows of its output to compute. Lines count from `arena`; those of the
// input and of the output may count from elsewhere: a channel with memory for only some of its rows begins before that
// memory, by the rows missing above.
typedef struct {
    const float *input;   // of `input_lines`
    const float *arena;   // of all other inputs
    float *output;
    int32_t from, to;
} winnow_place;

// All rows of a step with everything in one arena.
static inline winnow_place winnow_everything(float *arena, winnow_extent output) {
    winnow_place place = {arena, arena, arena, 0, output.height};
    return place;
}

// The kernels of one instruction set.
typedef struct {
    const char *name;
    int32_t lanes;
    // Computes rows of a layer; with Winograd they begin at a tile. `scratch` holds winnow_scratch_floats(layer, lanes)
    // floats.
    void (*layer)(const winnow_layer *layer, winnow_place place, float *scratch);
    // Computes rows of a channel-wise operation; all of them for an adaptive average.
    void (*map)(const winnow_map *map, winnow_place place);
    // Applies scale, shift, residual and activation to the output of a raw step, for channels of `size`.
    void (*normalise)(const winnow_output *output, float *arena, winnow_extent size);
    // Sums of the values and of their squares of every computed channel of `pixels` pixels, for every image:
    // sums[channel][2][lanes], each in double, in an order that is the same for every instruction set.
    void (*statistics)(const winnow_output *output, const float *arena, int32_t pixels, double *sums);
    // Bytes of `images` images, `image_stride` apart, to floats: target[value * stride + lane] = fma(byte, scale, shift).
    // Lanes without an image get zero bytes.
    void (*prepare)(const uint8_t *bytes, size_t image_stride, int32_t images, int32_t count, float scale, float shift,
                    float *target, size_t stride);
    // The same for floats, unchanged; lanes without an image get zeros.
    void (*prepare_floats)(const float *values, size_t image_stride, int32_t images, int32_t count, float *target,
                           size_t stride);
    // Cross-entropies of `count` images, summed in 2^-32 nats, and how many have their label's output largest (the
    // first of equal ones counts). Outputs are logits[class * stride + lane]. A loss that is NaN, or larger than
    // `loss_max` nats, counts as `loss_max`, and an image with such outputs is not correct.
    void (*losses)(const float *logits, size_t stride, int32_t classes, const int32_t *labels, int32_t count,
                   double loss_max, int64_t *sum, int64_t *correct);
    // A network's outputs, for `divergences`: for each of `count` images, the logarithm of every class's probability
    // and the probability, answers[image][class][2]. NaN if the outputs are.
    void (*answers)(const float *logits, size_t stride, int32_t classes, int32_t count, double *answers);
    // Kullback-Leibler divergences of such outputs from answers, sum over classes of p (ln p - ln q), in place of
    // cross-entropies; an image is correct if its largest output is the answers' largest.
    void (*divergences)(const float *logits, size_t stride, int32_t classes, const double *answers, int32_t count,
                        double loss_max, int64_t *sum, int64_t *correct);
    // `iterations` x the returned number of fused multiply-adds on registers, to measure the machine's peak.
    int64_t (*multiply_adds)(int64_t iterations);
} winnow_kernels;

// The kernels of an instruction set ("avx512", "avx2", "neon", "plain"), or NULL if this machine lacks it.
const winnow_kernels *winnow_kernels_named(const char *name);

// Floats of scratch space that a layer needs.
size_t winnow_scratch_floats(const winnow_layer *layer, int32_t lanes);

// 3x3 weights [filters][channels][3][3] to Winograd's [36][channels][filters].
void winnow_winograd_weights(const float *weights, int32_t filters, int32_t channels, float *target);
// Weights [filters][channels][taps] to [taps][channels][filters].
void winnow_transposed_weights(const float *weights, int32_t filters, int32_t channels, int32_t taps, float *target);
