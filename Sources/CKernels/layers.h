// Whole layers for a block of images.

#include "winograd_layer.h"

// Computes all of a branch's filters for `count` neighbouring pixels; the data of the terms are consecutive at `data`.
// Prefetches what is needed soon.
static void multiply_filters(const winnow_layer *layer, const winnow_branch *branch, int32_t terms,
                             const int32_t *weight_offsets, const int32_t *data_lines, const float *data, preload soon,
                             int32_t count, int32_t pixel, winnow_place place) {
    const winnow_output *output = &branch->output;
    const int32_t width = layer->output.width;
    for (int32_t first = 0, rows; first < output->count; first += rows) {
        rows = rows_of(output->count - first);
        const float *weights[ROWS_MAX];
        finish f[ROWS_MAX];
        int flat = 1;
        for (int32_t r = 0; r < rows; r++) {
            weights[r] = layer->weights + output->channels[first + r];
            f[r] = finish_of(output, first + r, place, layer->raw);
            flat &= is_flat(&f[r], width);
        }
        if (flat) {
            multiply_and_finish(rows, count, terms, weight_offsets, data_lines, weights, data, &soon, f, pixel);
            for (int32_t r = 0; r < rows; r++) settle(&f[r], f[r].output + (size_t)pixel * LANES, count);
            continue;
        }
        for (int32_t x = 0; x < count; x += COLUMNS_MAX) {
            const int32_t columns = minimum(COLUMNS_MAX, count - x);
            float sums[ROWS_MAX * COLUMNS_MAX * LANES] __attribute__((aligned(64)));
            multiply(rows, columns, terms, weight_offsets, data_lines, weights, 0, data + (size_t)x * LANES, sums,
                     COLUMNS_MAX * LANES);
            for (int32_t r = 0; r < rows; r++) {
                put_pixels(&f[r], sums + (size_t)r * COLUMNS_MAX * LANES, columns, pixel + x, width);
            }
        }
    }
}

#include "direct_layer.h"
#include "pointwise_layer.h"

static void layer(const winnow_layer *layer, winnow_place place, float *scratch) {
    // The last branch may write its output over the residual, which the others also read: so they pass it on before it
    // is computed, and it passes on what nobody reads any more.
    const int32_t passing = layer->raw ? 0 : layer->branch_count;
    for (int32_t b = 0; b + 1 < passing; b++) pass_channels(&layer->branches[b].output, place, layer->output);
    switch (layer->kind) {
        case WINNOW_WINOGRAD: winograd_layer(layer, place, scratch); break;
        case WINNOW_DIRECT: direct_layer(layer, place, scratch); break;
        default: pointwise_layer(layer, place, scratch); break;
    }
    if (passing > 0) pass_channels(&layer->branches[passing - 1].output, place, layer->output);
}
