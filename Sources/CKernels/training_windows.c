#include "training.h"

#include <math.h>

// Pools, and operations that only move values.

EVERY_INSTRUCTION_SET
static void pool_largest(
    const float *x, size_t width, size_t channels, winnow_window row, winnow_window column, float *restrict y,
    int32_t *restrict chosen) {
    for (size_t c = 0; c < channels; c++) y[c] = -INFINITY;
    if (chosen) memset(chosen, 0, channels * sizeof *chosen);
    for (int32_t r = row.begin; r < row.end; r += row.step)
        for (int32_t k = column.begin; k < column.end; k += column.step) {
            const int32_t pixel = r * (int32_t)width + k;
            const float *from = x + (size_t)pixel * channels;
            if (chosen) {
                VECTORISED for (size_t c = 0; c < channels; c++) {
                    const bool larger = from[c] > y[c];
                    chosen[c] = larger ? pixel : chosen[c];
                    y[c] = larger ? from[c] : y[c];
                }
            } else {
                VECTORISED for (size_t c = 0; c < channels; c++) y[c] = from[c] > y[c] ? from[c] : y[c];
            }
        }
}

EVERY_INSTRUCTION_SET
static void pool_mean(
    const float *x, size_t width, size_t channels, winnow_window row, winnow_window column, float *restrict y) {
    memset(y, 0, channels * sizeof *y);
    for (int32_t r = row.begin; r < row.end; r += row.step)
        for (int32_t k = column.begin; k < column.end; k += column.step) {
            const float *from = x + ((size_t)r * width + (size_t)k) * channels;
            VECTORISED for (size_t c = 0; c < channels; c++) y[c] += from[c];
        }
    const float share = 1.0f / (float)(row.counted * column.counted);
    VECTORISED for (size_t c = 0; c < channels; c++) y[c] *= share;
}

void winnow_pool(
    const float *x, size_t images, size_t height, size_t width, size_t channels, const winnow_window *rows,
    size_t row_count, const winnow_window *columns, size_t column_count, bool largest, float *y, int32_t *chosen) {
    for (size_t image = 0; image < images; image++, x += height * width * channels)
        for (size_t r = 0; r < row_count; r++)
            for (size_t k = 0; k < column_count; k++, y += channels) {
                if (largest) {
                    pool_largest(x, width, channels, rows[r], columns[k], y, chosen);
                    if (chosen) chosen += channels;
                } else {
                    pool_mean(x, width, channels, rows[r], columns[k], y);
                }
            }
}

EVERY_INSTRUCTION_SET
static void pool_mean_gradient(
    const float *restrict dy, size_t width, size_t channels, winnow_window row, winnow_window column,
    float *restrict dx) {
    const float share = 1.0f / (float)(row.counted * column.counted);
    for (int32_t r = row.begin; r < row.end; r += row.step)
        for (int32_t k = column.begin; k < column.end; k += column.step) {
            float *to = dx + ((size_t)r * width + (size_t)k) * channels;
            VECTORISED for (size_t c = 0; c < channels; c++) to[c] += dy[c] * share;
        }
}

void winnow_pool_gradient(
    const float *dy, size_t images, size_t height, size_t width, size_t channels, const winnow_window *rows,
    size_t row_count, const winnow_window *columns, size_t column_count, const int32_t *chosen, float *dx) {
    memset(dx, 0, images * height * width * channels * sizeof *dx);
    for (size_t image = 0; image < images; image++, dx += height * width * channels)
        for (size_t r = 0; r < row_count; r++)
            for (size_t k = 0; k < column_count; k++, dy += channels) {
                if (chosen) {
                    for (size_t c = 0; c < channels; c++) dx[(size_t)chosen[c] * channels + c] += dy[c];
                    chosen += channels;
                } else {
                    pool_mean_gradient(dy, width, channels, rows[r], columns[k], dx);
                }
            }
}

// The pixel of x that becomes a pixel of y, or null outside of it.
static inline const float *source_pixel(
    const winnow_rearrangement *r, const float *x, size_t image, size_t row, size_t column) {
    const ptrdiff_t y = r->top + (ptrdiff_t)(row * r->row_step), k = r->left + (ptrdiff_t)(column * r->column_step);
    if (y < 0 || k < 0 || y >= (ptrdiff_t)r->height || k >= (ptrdiff_t)r->width) return NULL;
    return x + ((image * r->height + (size_t)y) * r->width + (size_t)k) * r->channels;
}

void winnow_rearrange(const winnow_rearrangement *r, const float *x, float *y) {
    for (size_t image = 0; image < r->images; image++)
        for (size_t row = 0; row < r->output_height; row++)
            for (size_t column = 0; column < r->output_width; column++, y += r->output_channels) {
                const float *from = source_pixel(r, x, image, row, column);
                if (!from) {
                    memset(y, 0, r->output_channels * sizeof *y);
                } else if (r->map) {
                    for (size_t o = 0; o < r->output_channels; o++) y[o] = r->map[o] < 0 ? 0 : from[r->map[o]];
                } else {
                    memcpy(y, from, r->output_channels * sizeof *y);
                }
            }
}

void winnow_rearrange_gradient(const winnow_rearrangement *r, const float *dy, float *dx) {
    memset(dx, 0, r->images * r->height * r->width * r->channels * sizeof *dx);
    for (size_t image = 0; image < r->images; image++)
        for (size_t row = 0; row < r->output_height; row++)
            for (size_t column = 0; column < r->output_width; column++, dy += r->output_channels) {
                float *to = (float *)source_pixel(r, dx, image, row, column);
                if (!to) continue;
                if (r->map) {
                    for (size_t o = 0; o < r->output_channels; o++)
                        if (r->map[o] >= 0) to[r->map[o]] += dy[o];
                } else {
                    memcpy(to, dy, r->output_channels * sizeof *dy);
                }
            }
}

void winnow_transpose(const float *x, size_t matrices, size_t rows, size_t columns, float *y) {
    for (size_t matrix = 0; matrix < matrices; matrix++, x += rows * columns, y += rows * columns)
        for (size_t row = 0; row < rows; row++)
            for (size_t column = 0; column < columns; column++) y[column * rows + row] = x[row * columns + column];
}

void winnow_copy_columns(
    const float *from, size_t from_stride, float *to, size_t to_stride, size_t rows, size_t columns) {
    for (size_t row = 0; row < rows; row++) {
        memcpy(to + row * to_stride, from + row * from_stride, columns * sizeof *to);
    }
}
