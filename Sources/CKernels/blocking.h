#pragma once
// How layers are cut into pieces that stay in cache. The pieces decide the speed only, never a bit of the result.

#include "winnow_kernels.h"

enum {
    POSITIONS = 36,        // of a transformed 6x6 tile
    TILE = 4,              // outputs of a tile in each direction
    TILES_MAX = 4,         // tiles transformed together: columns of a microkernel
    FILTERS_MAX = 16,      // filters whose products are kept before they are transformed back
    COLUMNS_MAX = 4,       // vectors of a microkernel's row in direct convolutions and linear layers
};

// Lines (of one vector) between positions in a transformed piece; odd, so that positions do not share cache sets.
static inline size_t position_lines(size_t lines) { return lines | 1; }

static inline int32_t minimum(int32_t a, int32_t b) { return a < b ? a : b; }
