// Prints a digest of what the kernels give for many random layers, operations on channels, images and losses: the same
// text for every instruction set, since every kernel does the same operations in the same order.
//
//   digests NAME    for the kernels of that instruction set (avx512, avx2, neon, plain); exit status 77 where this
//                   machine lacks it
//
// Tests/scripts/kernels.sh compares machines with it.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "winnow_kernels.h"

static uint64_t state = 1;

// SplitMix64 (Steele, Lea and Flood, 2014).
static uint64_t random_bits(void) {
    uint64_t z = state += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

// A number in -1...1.
static float random_float(void) { return (float)((int32_t)(random_bits() >> 40) - (1 << 23)) / (1 << 23); }

static uint64_t digest_of(uint64_t digest, const void *bytes, size_t count) {
    // FNV-1a.
    for (size_t i = 0; i < count; i++) digest = (digest ^ ((const uint8_t *)bytes)[i]) * 0x100000001b3;
    return digest;
}

enum { DIGEST_START = 1, CHANNELS_MAX = 80 };

// Memory aligned to vectors, filled with random numbers. The lanes of a value are the images of a block, which an
// instruction set may have more or fewer of: only the first `images` differ, so that they are what is compared.
enum { IMAGES = 8 };

static float *values(size_t count, int32_t lanes) {
    float *memory = aligned_alloc(64, (count * lanes * sizeof(float) + 63) / 64 * 64);
    if (memory == NULL) exit(1);
    for (size_t i = 0; i < count; i++) {
        for (int32_t lane = 0; lane < lanes; lane++) memory[i * lanes + lane] = lane < IMAGES ? random_float() : 0;
    }
    return memory;
}

static uint64_t digest_of_images(uint64_t digest, const float *memory, size_t count, int32_t lanes) {
    for (size_t i = 0; i < count; i++) digest = digest_of(digest, memory + i * lanes, IMAGES * sizeof(float));
    return digest;
}

// Consecutive channels from a line on.
static void place(int32_t *lines, int32_t first, int32_t pixels) {
    for (int32_t i = 0; i < CHANNELS_MAX; i++) lines[i] = first + i * pixels;
}

static int32_t pixels_of(winnow_extent size) { return size.height * size.width; }

// An output of `count` channels that lie from a line on, followed by their residual; every third one has none.
static winnow_output output_of(int32_t count, winnow_extent size, int32_t first, int32_t activation,
                               const float *norms) {
    static int32_t numbers[CHANNELS_MAX], lines[CHANNELS_MAX], residuals[CHANNELS_MAX];
    place(numbers, 0, 1);
    place(lines, first, pixels_of(size));
    place(residuals, first + count * pixels_of(size), pixels_of(size));
    for (int32_t i = 0; i < CHANNELS_MAX; i += 3) residuals[i] = -1;
    return (winnow_output){
        .count = count, .channels = numbers, .lines = lines, .scale = norms, .shift = norms + count,
        .residual_lines = residuals, .residual_width = size.width, .residual_stride = 1,
        .activation = {.kind = activation, .a = 0.25f, .b = 0.5f, .slopes = norms},
    };
}

static uint64_t layer(const winnow_kernels *kernels, winnow_layer layer, int32_t activation) {
    const int32_t lanes = kernels->lanes, channels = layer.channels, filters = layer.filters;
    const int32_t taps = pixels_of(layer.kernel), positions = layer.kind == WINNOW_WINOGRAD ? 36 : taps;
    const int32_t input = channels * pixels_of(layer.input), result = filters * pixels_of(layer.output);
    float *weights = values((size_t)filters * channels * taps, 1), *norms = values((size_t)filters, 2);
    float *arranged = malloc((size_t)filters * channels * positions * sizeof(float));
    float *arena = values((size_t)input + 2 * (size_t)result, lanes);
    if (layer.kind == WINNOW_WINOGRAD) {
        winnow_winograd_weights(weights, filters, channels, arranged);
    } else {
        winnow_transposed_weights(weights, filters, channels, taps, arranged);
    }
    int32_t numbers[CHANNELS_MAX], lines[CHANNELS_MAX];
    place(numbers, 0, 1);
    place(lines, 0, pixels_of(layer.input));
    const winnow_branch branch = {
        .input_rows = numbers, .channels = numbers, .channel_count = channels,
        .output = output_of(filters, layer.output, input, activation, norms),
    };
    layer.input_count = channels;
    layer.input_lines = lines;
    layer.weights = arranged;
    layer.branch_count = 1;
    layer.branches = &branch;
    float *scratch = aligned_alloc(64, (winnow_scratch_floats(&layer, lanes) * sizeof(float) + 127) / 64 * 64);
    kernels->layer(&layer, winnow_everything(arena, layer.output), scratch);
    uint64_t digest = digest_of_images(DIGEST_START, arena + (size_t)input * lanes, (size_t)result, lanes);
    double *sums = malloc((size_t)filters * 2 * lanes * sizeof(double));
    kernels->statistics(&branch.output, arena, pixels_of(layer.output), sums);
    for (int32_t i = 0; i < 2 * filters; i++) digest = digest_of(digest, sums + i * lanes, IMAGES * sizeof(double));
    free(weights), free(norms), free(arranged), free(arena), free(scratch), free(sums);
    return digest;
}

static uint64_t map(const winnow_kernels *kernels, winnow_map map, int32_t channels, int32_t activation) {
    const int32_t lanes = kernels->lanes, taps = pixels_of(map.kernel);
    const int32_t input = channels * pixels_of(map.input), result = channels * pixels_of(map.output);
    const int32_t other = channels * pixels_of(map.other);
    float *weights = values((size_t)channels * taps, 1), *norms = values((size_t)channels, 2);
    float *arena = values((size_t)input + (size_t)other + 2 * (size_t)result, lanes);
    int32_t lines[CHANNELS_MAX], other_lines[CHANNELS_MAX];
    place(lines, 0, pixels_of(map.input));
    place(other_lines, input, pixels_of(map.other));
    map.input_lines = lines;
    map.other_lines = other_lines;
    map.weights = weights;
    map.output_channels = output_of(channels, map.output, input + other, activation, norms);
    kernels->map(&map, winnow_everything(arena, map.output));
    const uint64_t digest =
        digest_of_images(DIGEST_START, arena + (size_t)(input + other) * lanes, (size_t)result, lanes);
    free(weights), free(norms), free(arena);
    return digest;
}

static uint64_t losses(const winnow_kernels *kernels) {
    enum { CLASSES = 10 };
    float *logits = values(CLASSES, kernels->lanes);
    for (int32_t i = 0; i < CLASSES * kernels->lanes; i++) logits[i] *= 30;
    int32_t labels[64];
    for (int32_t i = 0; i < 64; i++) labels[i] = (uint8_t)(i % CLASSES);
    int64_t sums[2] = {0, 0};
    kernels->losses(logits, (size_t)kernels->lanes, CLASSES, labels, IMAGES, 100, &sums[0], &sums[1]);
    uint64_t digest = digest_of(DIGEST_START, sums, sizeof sums);
    // The same outputs in another order, as answers.
    double answers[2 * CLASSES * IMAGES];
    float *others = malloc((size_t)CLASSES * (size_t)kernels->lanes * sizeof(float));
    for (int32_t i = 0; i < CLASSES * kernels->lanes; i++) others[i] = logits[(i + kernels->lanes) % (CLASSES * kernels->lanes)];
    kernels->answers(others, (size_t)kernels->lanes, CLASSES, IMAGES, answers);
    digest = digest_of(digest, answers, sizeof answers);
    kernels->divergences(logits, (size_t)kernels->lanes, CLASSES, answers, IMAGES, 100, &sums[0], &sums[1]);
    free(logits), free(others);
    return digest_of(digest, sums, sizeof sums);
}

#define SQUARE(n) {n, n}

int main(int count, char **arguments) {
    const winnow_kernels *kernels = count == 2 ? winnow_kernels_named(arguments[1]) : NULL;
    if (kernels == NULL) return 77;
    static const struct {
        const char *name;
        winnow_layer layer;
    } layers[] = {
#define LAYER(kind_, input_, output_, kernel_, stride_, dilation_, padding)                                     \
    {.kind = kind_, .input = input_, .output = output_, .kernel = SQUARE(kernel_), .stride = SQUARE(stride_), \
     .dilation = SQUARE(dilation_), .pad_top = padding, .pad_left = padding}
        {"winograd 8", LAYER(WINNOW_WINOGRAD, SQUARE(8), SQUARE(8), 3, 1, 1, 1)},
        {"winograd 16", LAYER(WINNOW_WINOGRAD, SQUARE(16), SQUARE(16), 3, 1, 1, 1)},
        {"winograd 7", LAYER(WINNOW_WINOGRAD, SQUARE(7), SQUARE(7), 3, 1, 1, 1)},
        {"direct 8", LAYER(WINNOW_DIRECT, SQUARE(8), SQUARE(8), 3, 1, 1, 1)},
        {"direct 8 by 2", LAYER(WINNOW_DIRECT, SQUARE(8), SQUARE(4), 3, 2, 1, 1)},
        {"direct 16 by 2", LAYER(WINNOW_DIRECT, SQUARE(16), SQUARE(8), 3, 2, 1, 1)},
        {"direct, dilated", LAYER(WINNOW_DIRECT, SQUARE(9), SQUARE(5), 5, 3, 2, 6)},
        {"pointwise 9", LAYER(WINNOW_POINTWISE, SQUARE(9), SQUARE(9), 1, 1, 1, 0)},
        {"pointwise 9 by 2", LAYER(WINNOW_POINTWISE, SQUARE(9), SQUARE(5), 1, 2, 1, 0)},
        {"linear", LAYER(WINNOW_POINTWISE, SQUARE(1), SQUARE(1), 1, 1, 1, 0)},
#undef LAYER
    };
    static const int32_t counts[] = {1, 3, 6, 7, 12, 16, 25, 33, 64};
    enum { COUNTS = sizeof counts / sizeof counts[0] };
    for (size_t i = 0; i < sizeof layers / sizeof layers[0]; i++) {
        uint64_t digest = 0;
        for (int32_t j = 0; j < COUNTS; j++) {
            state = i * COUNTS + j;
            winnow_layer problem = layers[i].layer;
            problem.channels = counts[j];
            problem.filters = counts[COUNTS - 1 - j];
            digest = digest * 31 + layer(kernels, problem, WINNOW_RELU);
        }
        printf("%s %016llx\n", layers[i].name, (unsigned long long)digest);
    }
    static const struct {
        const char *name;
        winnow_map map;
    } maps[] = {
#define MAP(kind_, input_, other_, output_, kernel_, stride_, padding)                                             \
    {.kind = kind_, .input = SQUARE(input_), .other = SQUARE(other_), .output = SQUARE(output_),                  \
     .kernel = SQUARE(kernel_), .stride = SQUARE(stride_), .dilation = SQUARE(1), .pad_top = padding, \
     .pad_left = padding, .pad_bottom = padding, .pad_right = padding}
        {"elementwise", MAP(WINNOW_ELEMENTWISE, 9, 1, 9, 1, 1, 0)},
        {"multiply", MAP(WINNOW_MULTIPLY, 9, 1, 9, 1, 1, 0)},
        {"depthwise 3", MAP(WINNOW_DEPTHWISE, 14, 1, 14, 3, 1, 1)},
        {"depthwise 3 by 2", MAP(WINNOW_DEPTHWISE, 15, 1, 8, 3, 2, 1)},
        {"depthwise 5", MAP(WINNOW_DEPTHWISE, 14, 1, 14, 5, 1, 2)},
        {"depthwise 5 by 2", MAP(WINNOW_DEPTHWISE, 14, 1, 7, 5, 2, 2)},
        {"depthwise 7", MAP(WINNOW_DEPTHWISE, 9, 1, 9, 7, 1, 3)},
        {"maximum", MAP(WINNOW_MAX_POOL, 15, 1, 8, 3, 2, 1)},
        {"average", MAP(WINNOW_AVERAGE_POOL, 15, 1, 8, 3, 2, 1)},
        {"mean", MAP(WINNOW_ADAPTIVE_AVERAGE, 7, 1, 1, 1, 1, 0)},
        {"means", MAP(WINNOW_ADAPTIVE_AVERAGE, 7, 1, 3, 1, 1, 0)},
        {"copy", MAP(WINNOW_COPY, 9, 1, 5, 1, 2, 0)},
#undef MAP
    };
    for (size_t i = 0; i < sizeof maps / sizeof maps[0]; i++) {
        uint64_t digest = 0;
        for (int32_t activation = WINNOW_IDENTITY; activation <= WINNOW_GELU_TANH; activation++) {
            state = i * 100 + (size_t)activation;
            digest = digest * 31 + map(kernels, maps[i].map, 5, activation);
        }
        printf("%s %016llx\n", maps[i].name, (unsigned long long)digest);
    }
    state = 1;
    uint64_t digest = 0;
    for (int i = 0; i < 100; i++) digest = digest * 31 + losses(kernels);
    printf("losses %016llx\n", (unsigned long long)digest);
    return 0;
}
