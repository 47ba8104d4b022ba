// Prints a digest of what the kernels give for many random layers, images and losses: the same text for every
// instruction set, since every kernel does the same operations in the same order.
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

static uint64_t layer(const winnow_kernels *kernels, int32_t kind, int32_t size, int32_t stride, int32_t channels,
                      int32_t filters) {
    int32_t lanes = kernels->lanes, output_size = (size - 1) / stride + 1, taps = kind == WINNOW_LINEAR ? 1 : 9;
    size_t input_pixels = kind == WINNOW_LINEAR ? (size_t)size : (size_t)size * size;
    size_t output_pixels = kind == WINNOW_LINEAR ? (size_t)size : (size_t)output_size * output_size;
    float *weights = values((size_t)filters * channels * taps, 1), *norms = values((size_t)filters, 2);
    float *arranged = malloc((size_t)filters * channels * 36 * sizeof(float));
    size_t input = channels * input_pixels, output = filters * output_pixels;
    float *arena = values(input + 2 * output, lanes);
    int32_t numbers[128], residuals[128];
    for (int32_t i = 0; i < 128; i++) numbers[i] = i;
    for (int32_t i = 0; i < 128; i++) residuals[i] = i % 3 == 0 ? -1 : i;
    if (kind == WINNOW_WINOGRAD) {
        winnow_winograd_weights(weights, filters, channels, arranged);
    } else {
        winnow_transposed_weights(weights, filters, channels, taps, arranged);
    }
    winnow_branch branch = {
        .input_rows = numbers, .channels = numbers, .channel_count = channels, .filter_count = filters,
        .filters = numbers, .output_slots = numbers, .residual_slots = residuals, .scale = norms,
        .shift = norms + filters, .output = (input + output) * lanes, .residual = input * lanes,
        .residual_plane = output_pixels * lanes, .residual_size = output_size,
        .residual_stride = kind == WINNOW_LINEAR ? 0 : 1, .relu = 1, .passed_outputs = numbers,
        .passed_residuals = numbers,
    };
    winnow_layer layer = {
        .kind = kind, .size = size, .stride = stride, .channels = channels, .filters = filters,
        .input_count = channels, .branch_count = 1, .input_slots = numbers, .weights = arranged, .branches = &branch,
        .input_plane = input_pixels * lanes, .output_plane = output_pixels * lanes,
    };
    float *scratch = aligned_alloc(64, (winnow_scratch_floats(&layer, lanes) * sizeof(float) + 127) / 64 * 64);
    kernels->layer(&layer, arena, scratch);
    uint64_t digest = digest_of_images(0xcbf29ce484222325, arena + branch.output, output, lanes);
    if (kind != WINNOW_LINEAR) {
        double *sums = malloc((size_t)filters * 2 * lanes * sizeof(double));
        kernels->statistics(&branch, arena, output_pixels * lanes, output_size, sums);
        for (int32_t i = 0; i < 2 * filters; i++) digest = digest_of(digest, sums + i * lanes, IMAGES * sizeof(double));
        float *means = malloc((size_t)filters * lanes * sizeof(float));
        kernels->pool(arena + branch.output, output_pixels * lanes, output_size, numbers, filters, means);
        digest = digest_of_images(digest, means, (size_t)filters, lanes);
        free(sums), free(means);
    }
    free(weights), free(norms), free(arranged), free(arena), free(scratch);
    return digest;
}

static uint64_t losses(const winnow_kernels *kernels) {
    enum { CLASSES = 10 };
    float *logits = values(CLASSES, kernels->lanes);
    for (int32_t i = 0; i < CLASSES * kernels->lanes; i++) logits[i] *= 30;
    uint8_t labels[64];
    for (int32_t i = 0; i < 64; i++) labels[i] = (uint8_t)(i % CLASSES);
    int64_t sums[2] = {0, 0};
    kernels->losses(logits, (size_t)kernels->lanes, CLASSES, labels, IMAGES, 100, &sums[0], &sums[1]);
    free(logits);
    return digest_of(0xcbf29ce484222325, sums, sizeof sums);
}

int main(int count, char **arguments) {
    const winnow_kernels *kernels = count == 2 ? winnow_kernels_named(arguments[1]) : NULL;
    if (kernels == NULL) return 77;
    static const struct { const char *name; int32_t kind, size, stride; } shapes[] = {
        {"winograd 8", WINNOW_WINOGRAD, 8, 1}, {"winograd 16", WINNOW_WINOGRAD, 16, 1},
        {"direct 8", WINNOW_DIRECT, 8, 1}, {"direct 8 by 2", WINNOW_DIRECT, 8, 2},
        {"direct 16 by 2", WINNOW_DIRECT, 16, 2}, {"linear", WINNOW_LINEAR, 1, 1},
    };
    static const int32_t counts[] = {1, 3, 6, 7, 12, 16, 25, 33, 64};
    enum { COUNTS = sizeof counts / sizeof counts[0] };
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        uint64_t digest = 0;
        for (int32_t j = 0; j < COUNTS; j++) {
            state = i * COUNTS + j;
            digest = digest * 31 +
                layer(kernels, shapes[i].kind, shapes[i].size, shapes[i].stride, counts[j], counts[COUNTS - 1 - j]);
        }
        printf("%s %016llx\n", shapes[i].name, (unsigned long long)digest);
    }
    state = 1;
    uint64_t digest = 0;
    for (int i = 0; i < 100; i++) digest = digest * 31 + losses(kernels);
    printf("losses %016llx\n", (unsigned long long)digest);
    return 0;
}
