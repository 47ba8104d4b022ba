#pragma once
// How layers are cut into pieces that stay in cache. The pieces affect only the speed, never a bit of the result.

#include "winnow_kernels.h"

enum {
    POSITIONS = 36,        // of a transformed 6x6 tile
    TILE = 4,              // outputs of a tile in each direction
    TILES_MAX = 4,         // tiles transformed together: columns of a microkernel
    FILTERS_MAX = 16,      // filters whose products are kept before they are transformed back
    COLUMNS_MAX = 4,       // vectors of a microkernel's row in other layers
    PIECE_LINES = 4096,    // lines of input that other layers copy together: half of a usual second-level cache
    LARGE_LINES = 16384,   // lines that a second-level cache does not hold
    PIECE_PIXELS_MAX = 64, // pixels of such a piece of a pointwise layer
};

// Lines (of one vector) between positions in a transformed piece; odd, so positions do not share cache sets.
static inline size_t position_lines(size_t lines) { return lines | 1; }

static inline int32_t minimum(int32_t a, int32_t b) { return a < b ? a : b; }
static inline int32_t maximum(int32_t a, int32_t b) { return a > b ? a : b; }

// How a direct layer's input is copied for a piece of a row of the output, [channel][kernel row][phase][column]. A
// phase holds the columns that are a multiple of the stride apart, so a tap's inputs for neighbouring outputs are
// neighbours too.
typedef struct {
    int32_t pixels;   // of the output
    int32_t phases;
    int32_t columns;  // of a phase
    size_t lines;     // of all channels
} direct_piece;

static inline direct_piece direct_piece_of(const winnow_layer *layer) {
    direct_piece piece;
    const int32_t stride = layer->stride.width, reach = (layer->kernel.width - 1) * layer->dilation.width;
    piece.phases = layer->dilation.width == 1 ? minimum(stride, layer->kernel.width) : stride;
    const size_t rows = (size_t)layer->input_count * (size_t)layer->kernel.height * (size_t)piece.phases;
    piece.pixels = layer->output.width;
    while (piece.pixels > COLUMNS_MAX && rows * (size_t)(piece.pixels + reach / stride) > PIECE_LINES) {
        piece.pixels = (piece.pixels / 2 + COLUMNS_MAX - 1) / COLUMNS_MAX * COLUMNS_MAX;
    }
    piece.columns = piece.pixels + reach / stride;
    piece.lines = rows * (size_t)piece.columns;
    return piece;
}

// Pixels of a pointwise layer to copy together; 0 to read its input in place.
static inline int32_t pointwise_pixels(const winnow_layer *layer) {
    const int32_t pixels = layer->output.height * layer->output.width;
    if (layer->stride.height == 1 && layer->stride.width == 1 && pixels <= COLUMNS_MAX) return 0;
    const int32_t most = PIECE_LINES / maximum(layer->input_count, 1) / COLUMNS_MAX * COLUMNS_MAX;
    return maximum(minimum(most, PIECE_PIXELS_MAX), COLUMNS_MAX);
}

// Lines from one channel of such a piece to the next: an odd number of cache lines, so channels do not share cache
// sets.
static inline int32_t pointwise_stride(int32_t pixels, int32_t lanes) {
    const int32_t lines = maximum(64 / (lanes * (int32_t)sizeof(float)), 1);  // of a vector in a line of the cache
    return ((pixels + lines - 1) / lines | 1) * lines;
}
