// The microkernels: products of a few filters' weights and a few vectors, summed over a list of terms.

// sums[r][c] = sum over k of weights[r][weight_offsets[k]] * line data_lines[k] + c of data, k ascending. Prefetches
// the weights `ahead` floats further, unless that is 0, and lines later_lines[k] of `later`, unless it is NULL.
INLINE void sum_terms(const int rows, const int columns, int32_t terms, const int32_t *weight_offsets,
                      const int32_t *data_lines, const float *const *weights, size_t ahead, const float *data,
                      const float *later, const int32_t *later_lines, vec sums[ROWS_MAX][COLUMNS]) {
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
            // The last filter's may be in another line; a narrow microkernel has no time to prefetch both.
            if (COLUMNS > 2) __builtin_prefetch(w[rows - 1] + offset + ahead);
        }
        if (later) __builtin_prefetch(later + (size_t)later_lines[k] * LANES, 0, 2);
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
}

// The sums, to result[r * row_stride + c * LANES].
INLINE void multiply_sized(const int rows, const int columns, int32_t terms, const int32_t *weight_offsets,
                           const int32_t *data_lines, const float *const *weights, size_t ahead, const float *data,
                           float *result, size_t row_stride) {
    vec sums[ROWS_MAX][COLUMNS];
    sum_terms(rows, columns, terms, weight_offsets, data_lines, weights, ahead, data, NULL, NULL, sums);
#pragma unroll
    for (int r = 0; r < rows; r++) {
#pragma unroll
        for (int c = 0; c < columns; c++) store(result + (size_t)r * row_stride + (size_t)c * LANES, sums[r][c]);
    }
}

// The sums, each row's finished as pixels of a channel from `pixel` on, but not settled; residuals must be flat.
INLINE void finish_sized(const int rows, const int columns, int32_t terms, const int32_t *weight_offsets,
                         const int32_t *data_lines, const float *const *weights, const float *data, const float *later,
                         const int32_t *later_lines, const finish *f, int32_t pixel) {
    // Pieces of channels are too short for the hardware to predict the next one.
#pragma unroll
    for (int r = 0; r < rows; r++) {
        const float *target = f[r].output + (size_t)pixel * LANES;
#pragma unroll
        for (int c = 0; c < columns; c++) __builtin_prefetch(target + (size_t)c * LANES, 1);
        if (f[r].residual) __builtin_prefetch(f[r].residual + pixel * f[r].column_step);
    }
    vec sums[ROWS_MAX][COLUMNS];
    sum_terms(rows, columns, terms, weight_offsets, data_lines, weights, 0, data, later, later_lines, sums);
#pragma unroll
    for (int r = 0; r < rows; r++) {
        float *target = f[r].output + (size_t)pixel * LANES;
        if (f[r].residual) {
            const float *residual = f[r].residual + pixel * f[r].column_step;
#pragma unroll
            for (int c = 0; c < columns; c++) {
                store(target + (size_t)c * LANES, finished(&f[r], sums[r][c], residual + c * f[r].column_step));
            }
        } else {
#pragma unroll
            for (int c = 0; c < columns; c++) store(target + (size_t)c * LANES, finished(&f[r], sums[r][c], NULL));
        }
    }
}

#define WITH_ROWS(sized, columns, ...)                         \
    switch (rows) {                                            \
        case 1: sized(1, columns, __VA_ARGS__); break;         \
        case 2: sized(2, columns, __VA_ARGS__); break;         \
        case 3: sized(3, columns, __VA_ARGS__); break;         \
        case 4: sized(4, columns, __VA_ARGS__); break;         \
        case 5: sized(5, columns, __VA_ARGS__); break;         \
        default: sized(ROWS_MAX, columns, __VA_ARGS__); break; \
    }
// Columns in groups of COLUMNS, 2 and 1, with `next` between two groups.
#define WITH_COLUMNS(next, sized, ...)                  \
    for (; columns >= COLUMNS; columns -= COLUMNS) {    \
        WITH_ROWS(sized, COLUMNS, __VA_ARGS__)          \
        next(COLUMNS);                                  \
    }                                                   \
    for (; COLUMNS > 2 && columns >= 2; columns -= 2) { \
        WITH_ROWS(sized, 2, __VA_ARGS__)                \
        next(2);                                        \
    }                                                   \
    if (columns > 0) WITH_ROWS(sized, 1, __VA_ARGS__)

// The products of 1...ROWS_MAX rows and any number of neighbouring columns.
static void multiply(int rows, int columns, int32_t terms, const int32_t *weight_offsets, const int32_t *data_lines,
                     const float *const *weights, size_t ahead, const float *data, float *result, size_t row_stride) {
#define NEXT(count) (data += (count) * LANES, result += (count) * LANES)
    WITH_COLUMNS(NEXT, multiply_sized, terms, weight_offsets, data_lines, weights, ahead, data, result, row_stride)
#undef NEXT
}

// Data needed soon: the next of `left` pixels of all terms.
typedef struct {
    const float *next;
    const int32_t *lines;
    int32_t left;
} preload;

// The same, finished. Every group of columns prefetches a pixel of what is needed soon.
static void multiply_and_finish(int rows, int columns, int32_t terms, const int32_t *weight_offsets,
                                const int32_t *data_lines, const float *const *weights, const float *data,
                                preload *soon, const finish *f, int32_t pixel) {
#define NEXT(count) (data += (count) * LANES, pixel += (count))
    for (; columns >= COLUMNS && soon->left > 0; columns -= COLUMNS) {
        WITH_ROWS(finish_sized, COLUMNS, terms, weight_offsets, data_lines, weights, data, soon->next, soon->lines, f,
                  pixel)
        NEXT(COLUMNS);
        soon->next += LANES;
        soon->left--;
    }
    WITH_COLUMNS(NEXT, finish_sized, terms, weight_offsets, data_lines, weights, data, NULL, NULL, f, pixel)
#undef NEXT
}

#undef WITH_ROWS
#undef WITH_COLUMNS

// How many of the `left` filters the next microkernel takes: as evenly as possible, at most ROWS_MAX.
INLINE int32_t rows_of(int32_t left) {
    int32_t groups = (left + ROWS_MAX - 1) / ROWS_MAX;
    return (left + groups - 1) / groups;
}
