// The microkernel: products of a few filters' weights and a few vectors, summed over a list of terms.

// sums[r][c] = sum over k of weights[r][weight_offsets[k]] * line data_lines[k] + c of data, k ascending, to
// result[r * row_stride + c * LANES]. Asks for the weights that lie `ahead` floats further, unless that is 0.
INLINE void multiply_sized(const int rows, const int columns, int32_t terms, const int32_t *weight_offsets,
                           const int32_t *data_lines, const float *const *weights, size_t ahead, const float *data,
                           float *result, size_t row_stride) {
    vec sums[ROWS_MAX][COLUMNS];
    const float *w[ROWS_MAX];
#pragma unroll
    for (int r = 0; r < rows; r++) {
        w[r] = weights[r];
#pragma unroll
        for (int c = 0; c < columns; c++) sums[r][c] = all(0);
    }
    for (int32_t k = 0; k < terms; k++) {
        const float *x = data + (size_t)data_lines[k] * LANES;
        size_t offset = (size_t)weight_offsets[k];
        if (ahead) {
            __builtin_prefetch(w[0] + offset + ahead);
            // The last filter's may lie in another line; a narrow microkernel has no time to ask for both.
            if (COLUMNS > 2) __builtin_prefetch(w[rows - 1] + offset + ahead);
        }
        vec v[COLUMNS];
#pragma unroll
        for (int c = 0; c < columns; c++) v[c] = load(x + (size_t)c * LANES);
#pragma unroll
        for (int r = 0; r < rows; r++) {
            vec factor = all(w[r][offset]);
#pragma unroll
            for (int c = 0; c < columns; c++) {
                sums[r][c] = fma_(factor, v[c], sums[r][c]);
                AFTER(offset, sums[r][c]);
            }
        }
    }
#pragma unroll
    for (int r = 0; r < rows; r++) {
#pragma unroll
        for (int c = 0; c < columns; c++) store(result + (size_t)r * row_stride + (size_t)c * LANES, sums[r][c]);
    }
}

#define ARGUMENTS terms, weight_offsets, data_lines, weights, ahead, data, result, row_stride
#define WITH_ROWS(columns)                                            \
    switch (rows) {                                                   \
        case 1: multiply_sized(1, columns, ARGUMENTS); break;         \
        case 2: multiply_sized(2, columns, ARGUMENTS); break;         \
        case 3: multiply_sized(3, columns, ARGUMENTS); break;         \
        case 4: multiply_sized(4, columns, ARGUMENTS); break;         \
        case 5: multiply_sized(5, columns, ARGUMENTS); break;         \
        default: multiply_sized(ROWS_MAX, columns, ARGUMENTS); break; \
    }

// The same for any number of neighbouring columns up to COLUMNS_MAX, and 1...ROWS_MAX rows.
static void multiply(int rows, int columns, int32_t terms, const int32_t *weight_offsets, const int32_t *data_lines,
                     const float *const *weights, size_t ahead, const float *data, float *result, size_t row_stride) {
    for (; columns >= COLUMNS; columns -= COLUMNS) {
        WITH_ROWS(COLUMNS)
        data += COLUMNS * LANES;
        result += COLUMNS * LANES;
    }
#if COLUMNS > 2
    for (; columns >= 2; columns -= 2) {
        WITH_ROWS(2)
        data += 2 * LANES;
        result += 2 * LANES;
    }
#endif
    if (columns > 0) WITH_ROWS(1)
}

#undef ARGUMENTS
#undef WITH_ROWS

// How many of the `left` filters the next microkernel takes: as even as possible, at most ROWS_MAX.
INLINE int32_t rows_of(int32_t left) {
    int32_t groups = (left + ROWS_MAX - 1) / ROWS_MAX;
    return (left + groups - 1) / groups;
}
