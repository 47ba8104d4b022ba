// Winograd's transformations of a tile, with the interpolation points 0, 1, -1, b, -b and infinity for b = 2.

// One dimension of the input transform: six values to six positions.
INLINE void forward(vec d0, vec d1, vec d2, vec d3, vec d4, vec d5, vec *out, int stride) {
    const vec bb = all(4), sum = all(-5), b = all(2);
    vec even1 = fma_(-bb, d2, d4), odd1 = fma_(-bb, d1, d3);
    vec even2 = d4 - d2, odd2 = d3 - d1;
    out[0 * stride] = fma_(bb, d0, fma_(sum, d2, d4));
    out[1 * stride] = even1 + odd1;
    out[2 * stride] = even1 - odd1;
    out[3 * stride] = fma_(b, odd2, even2);
    out[4 * stride] = fma_(-b, odd2, even2);
    out[5 * stride] = fma_(bb, d1, fma_(sum, d3, d5));
}

// One dimension of the output transform: six positions to four values.
INLINE void backward(vec m0, vec m1, vec m2, vec m3, vec m4, vec m5, vec *out, int stride) {
    vec sum1 = m1 + m2, difference1 = m1 - m2;
    vec sum2 = m3 + m4, difference2 = m3 - m4;
    out[0 * stride] = m0 + (sum1 + sum2);
    out[1 * stride] = fma_(all(2), difference2, difference1);
    out[2 * stride] = fma_(all(4), sum2, sum1);
    out[3 * stride] = fma_(all(8), difference2, difference1) + m5;
}

// Zeros beyond the borders: as many lines as a tile's input has columns.
static const float zeros[6 * LANES] __attribute__((aligned(64)));

// Prefetches a tile's own 4x4 pixels, into the first-level cache or the next.
INLINE void prefetch_tile(const float *plane, int32_t width, int32_t row, int32_t column, const int nearest) {
    const float *first = plane + ((size_t)row * TILE * width + (size_t)column * TILE) * LANES;
#pragma unroll
    for (int i = 0; i < TILE; i++) {
#pragma unroll
        for (int j = 0; j < TILE; j++) {
            const float *p = first + ((size_t)i * width + j) * LANES;
            if (nearest) {
                __builtin_prefetch(p);
            } else {
                __builtin_prefetch(p, 0, 2);
            }
        }
    }
}

// Transforms the 6x6 inputs of a tile of a channel to `target[position * stride]`.
INLINE void transform_input(const float *plane, winnow_extent size, int32_t row, int32_t column, float *target,
                            size_t stride) {
    vec columns[36];
    const ptrdiff_t line = (ptrdiff_t)size.width * LANES;
    const float *first = plane + ((ptrdiff_t)row * TILE - 1) * line + ((ptrdiff_t)column * TILE - 1) * LANES;
    const float *rows[6];
#pragma unroll
    for (int i = 0; i < 6; i++) {
        const int32_t y = row * TILE - 1 + i;
        rows[i] = y >= 0 && y < size.height ? first + i * line : zeros;
    }
    const int32_t left = column == 0, right = size.width - (column * TILE - 1);
#pragma unroll
    for (int j = 0; j < 6; j++) {
        if (j < left || j >= right) {
            for (int i = 0; i < 6; i++) columns[i * 6 + j] = all(0);
            continue;
        }
        const size_t x = (size_t)j * LANES;
        forward(load(rows[0] + x), load(rows[1] + x), load(rows[2] + x), load(rows[3] + x), load(rows[4] + x),
                load(rows[5] + x), columns + j, 6);
    }
#pragma unroll
    for (int i = 0; i < 6; i++) {
        vec out[6];
        const vec *c = columns + i * 6;
        forward(c[0], c[1], c[2], c[3], c[4], c[5], out, 1);
#pragma unroll
        for (int j = 0; j < 6; j++) store(target + (size_t)(i * 6 + j) * stride, out[j]);
    }
}

// Transforms `source[position * stride]` back to the 4x4 outputs of a tile, row by row.
INLINE void transform_output(const float *source, size_t stride, vec *out) {
    vec columns[24];
#pragma unroll
    for (int j = 0; j < 6; j++) {
        vec m[6];
#pragma unroll
        for (int i = 0; i < 6; i++) m[i] = load(source + (size_t)(i * 6 + j) * stride);
        backward(m[0], m[1], m[2], m[3], m[4], m[5], columns + j, 6);
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const vec *c = columns + i * 6;
        backward(c[0], c[1], c[2], c[3], c[4], c[5], out + i * 4, 1);
    }
}
