// Depthwise convolutions and pools: a window slides over a channel. Values outside do not count, so a sum is over the
// window's taps inside, row by row.

// The window of a row of outputs, and its part inside the channel.
typedef struct {
    int32_t y, from, to;  // its first row; the kernel's rows inside
} window_rows;

// How many of a window's `taps`, `step` apart from `first` on, are before `end`.
INLINE int32_t taps_before(int32_t end, int32_t first, int32_t step, int32_t taps) {
    if (first >= end) return 0;
    return minimum(taps, (end - first - 1) / step + 1);
}

INLINE window_rows rows_of_window(const winnow_map *map, int32_t row) {
    const int32_t y = row * map->stride.height - map->pad_top;
    return (window_rows){.y = y, .from = taps_before(0, y, map->dilation.height, map->kernel.height),
                         .to = taps_before(map->input.height, y, map->dilation.height, map->kernel.height)};
}

INLINE vec larger(vec x, vec y) { return choose((y > x) | (y != y), y, x); }

INLINE vec start_of(const int kind) { return kind == WINNOW_MAX_POOL ? all(-__builtin_inff()) : all(0); }

INLINE vec with_tap(const int kind, vec sum, vec value, const float *weights, int32_t tap) {
    switch (kind) {
        case WINNOW_DEPTHWISE: return fma_(all(weights[tap]), value, sum);
        case WINNOW_MAX_POOL: return larger(sum, value);
        default: return sum + value;
    }
}

// A mean's divisor, for a window whose first pixel is (y, x) and that holds `inside` pixels of the channel.
INLINE float divisor(const winnow_map *map, int32_t y, int32_t x, int32_t inside) {
    if (!map->counts_padding) return (float)maximum(inside, 1);
    const int32_t height = map->input.height + map->pad_bottom, width = map->input.width + map->pad_right;
    return (float)maximum(1, taps_before(height, y, map->dilation.height, map->kernel.height) *
                             taps_before(width, x, map->dilation.width, map->kernel.width));
}

// One output, wherever its window is.
INLINE vec window_value(const int kind, const winnow_map *map, const float *input, const float *weights,
                        window_rows rows, int32_t column) {
    const int32_t x = column * map->stride.width - map->pad_left, step = map->dilation.width;
    const int32_t from = taps_before(0, x, step, map->kernel.width);
    const int32_t to = taps_before(map->input.width, x, step, map->kernel.width);
    vec sum = start_of(kind);
    for (int32_t i = rows.from; i < rows.to; i++) {
        const float *line = input + (ptrdiff_t)(rows.y + i * map->dilation.height) * map->input.width * LANES;
        for (int32_t j = from; j < to; j++) {
            const vec value = load(line + (ptrdiff_t)(x + j * step) * LANES);
            sum = with_tap(kind, sum, value, weights, i * map->kernel.width + j);
        }
    }
    if (kind != WINNOW_AVERAGE_POOL) return sum;
    return sum * all(1 / divisor(map, rows.y, x, maximum(rows.to - rows.from, 0) * maximum(to - from, 0)));
}

enum { STRIP_MAX = 8 };

// Neighbouring outputs whose windows of `kernel` columns are inside: each value is loaded once for all of them.
INLINE void put_strip(const int kind, const int kernel, const int stride, const int count, const winnow_map *map,
                      const finish *f, const float *input, const float *weights, window_rows rows, int32_t row,
                      int32_t column) {
    vec sums[STRIP_MAX];
#pragma unroll
    for (int c = 0; c < count; c++) sums[c] = start_of(kind);
    const int32_t x = column * stride - map->pad_left;
    for (int32_t i = rows.from; i < rows.to; i++) {
        const float *p = input + ((ptrdiff_t)(rows.y + i) * map->input.width + x) * LANES;
#pragma unroll
        for (int j = 0; j < (count - 1) * stride + kernel; j++) {
            const vec value = load(p + (size_t)j * LANES);
#pragma unroll
            for (int c = 0; c < count; c++) {
                const int tap = j - c * stride;
                if (tap >= 0 && tap < kernel) sums[c] = with_tap(kind, sums[c], value, weights, i * kernel + tap);
            }
        }
    }
    float *target = f->output + ((size_t)row * map->output.width + column) * LANES;
    const float *residual = residual_at(f, row, column);
#pragma unroll
    for (int c = 0; c < count; c++) {
        store(target + (size_t)c * LANES, finished(f, sums[c], residual));
        if (residual) residual += f->column_step;
    }
}

// A channel's rows. `kernel` and `stride` are those of both directions without dilation; 0 for any other shape.
INLINE void slide(const int kind, const int kernel, const int stride, const winnow_map *map, winnow_place place,
                  const finish *f, const float *input, const float *weights) {
    const int32_t width = map->output.width;
    // Columns whose windows are inside.
    int32_t inside = width, outside = width;
    if (kernel > 0) {
        inside = minimum((maximum(map->pad_left, 0) + stride - 1) / stride, width);
        const int32_t last = map->input.width - kernel + map->pad_left;
        outside = maximum(inside, minimum(last < 0 ? 0 : last / stride + 1, width));
    }
    for (int32_t row = place.from; row < place.to; row++) {
        const window_rows rows = rows_of_window(map, row);
        float *target = f->output + (size_t)row * width * LANES;
        for (int32_t column = 0; column < width;) {
            if (kernel == 0 || column < inside || column >= outside) {
                const vec value = window_value(kind, map, input, weights, rows, column);
                store(target + (size_t)column * LANES, finished(f, value, residual_at(f, row, column)));
                column++;
                continue;
            }
#define STRIP(count)                                                                                      \
    if (outside - column >= count) {                                                                      \
        put_strip(kind, kernel, stride, count, map, f, input, weights, rows, row, column);                \
        column += count;                                                                                  \
        continue;                                                                                         \
    }
            STRIP(STRIP_MAX)
            STRIP(4)
            STRIP(1)
#undef STRIP
        }
        settle(f, target, width);
    }
}

INLINE int is_square(const winnow_map *map, int32_t kernel, int32_t stride) {
    return map->kernel.height == kernel && map->kernel.width == kernel && map->stride.height == stride &&
        map->stride.width == stride && map->dilation.height == 1 && map->dilation.width == 1;
}

static void depthwise(const winnow_map *map, winnow_place place, const finish *f, const float *input,
                      const float *weights) {
    if (is_square(map, 3, 1)) return slide(WINNOW_DEPTHWISE, 3, 1, map, place, f, input, weights);
    if (is_square(map, 3, 2)) return slide(WINNOW_DEPTHWISE, 3, 2, map, place, f, input, weights);
    if (is_square(map, 5, 1)) return slide(WINNOW_DEPTHWISE, 5, 1, map, place, f, input, weights);
    if (is_square(map, 5, 2)) return slide(WINNOW_DEPTHWISE, 5, 2, map, place, f, input, weights);
    slide(WINNOW_DEPTHWISE, 0, 0, map, place, f, input, weights);
}

static void max_pool(const winnow_map *map, winnow_place place, const finish *f, const float *input) {
    if (is_square(map, 2, 2)) return slide(WINNOW_MAX_POOL, 2, 2, map, place, f, input, NULL);
    if (is_square(map, 3, 2)) return slide(WINNOW_MAX_POOL, 3, 2, map, place, f, input, NULL);
    slide(WINNOW_MAX_POOL, 0, 0, map, place, f, input, NULL);
}

static void average_pool(const winnow_map *map, winnow_place place, const finish *f, const float *input) {
    slide(WINNOW_AVERAGE_POOL, 0, 0, map, place, f, input, NULL);
}
