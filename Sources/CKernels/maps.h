// Operations on each channel alone.

#include "windows.h"

// The place of a channel's value for a pixel; a single pixel is the same for all.
typedef struct {
    const float *first;
    ptrdiff_t row_step, column_step;
} plane;

INLINE plane plane_at(const float *arena, int32_t line, winnow_extent size) {
    const int is_one = size.height == 1 && size.width == 1;
    return (plane){.first = arena + (size_t)line * LANES, .row_step = is_one ? 0 : (ptrdiff_t)size.width * LANES,
                   .column_step = is_one ? 0 : LANES};
}

INLINE vec value_at(const plane *plane, int32_t row, int32_t column) {
    return load(plane->first + row * plane->row_step + column * plane->column_step);
}

static void multiply_planes(const finish *f, winnow_place place, plane input, plane other, winnow_extent size) {
    for (int32_t row = place.from; row < place.to; row++) {
        float *target = f->output + (size_t)row * size.width * LANES;
        for (int32_t column = 0; column < size.width; column++) {
            const vec value = value_at(&input, row, column) * value_at(&other, row, column);
            store(target + (size_t)column * LANES, finished(f, value, residual_at(f, row, column)));
        }
        settle(f, target, size.width);
    }
}

static void copy_plane(const finish *f, winnow_place place, plane input, winnow_extent size) {
    for (int32_t row = place.from; row < place.to; row++) {
        float *target = f->output + (size_t)row * size.width * LANES;
        for (int32_t column = 0; column < size.width; column++) {
            const vec value = value_at(&input, row, column);
            store(target + (size_t)column * LANES, finished(f, value, residual_at(f, row, column)));
        }
        settle(f, target, size.width);
    }
}

static void copy_window(const winnow_map *map, winnow_place place, const finish *f, const float *input) {
    for (int32_t row = place.from; row < place.to; row++) {
        const int32_t y = row * map->stride.height - map->pad_top;
        const int has_row = input && y >= 0 && y < map->input.height;
        const float *line = has_row ? input + (size_t)y * map->input.width * LANES : NULL;
        float *target = f->output + (size_t)row * map->output.width * LANES;
        for (int32_t column = 0; column < map->output.width; column++) {
            const int32_t x = column * map->stride.width - map->pad_left;
            const vec value = has_row && x >= 0 && x < map->input.width ? load(line + (size_t)x * LANES) : all(0);
            store(target + (size_t)column * LANES, finished(f, value, residual_at(f, row, column)));
        }
        settle(f, target, map->output.width);
    }
}

// Adds a run of pixels to a mean's sums.
INLINE void add_run(const float *p, int32_t count, vec *sums) {
    for (int32_t pixel = 0; pixel < count; pixel += CHAINS) {
        for (int c = 0; c < minimum(CHAINS, count - pixel); c++) sums[c] += load(p + (size_t)(pixel + c) * LANES);
    }
}

static void adaptive_average(const winnow_map *map, const finish *f, const float *input) {
    const winnow_extent from = map->input, to = map->output;
    for (int32_t row = 0; row < to.height; row++) {
        const int32_t top = (int32_t)((int64_t)row * from.height / to.height);
        const int32_t bottom = (int32_t)(((int64_t)(row + 1) * from.height + to.height - 1) / to.height);
        float *target = f->output + (size_t)row * to.width * LANES;
        for (int32_t column = 0; column < to.width; column++) {
            const int32_t left = (int32_t)((int64_t)column * from.width / to.width);
            const int32_t right = (int32_t)(((int64_t)(column + 1) * from.width + to.width - 1) / to.width);
            vec sums[CHAINS] = {all(0), all(0), all(0), all(0)};
            if (right - left == from.width) {
                add_run(input + (size_t)top * from.width * LANES, (bottom - top) * from.width, sums);
            } else {
                for (int32_t y = top; y < bottom; y++) {
                    add_run(input + ((size_t)y * from.width + left) * LANES, right - left, sums);
                }
            }
            const vec share = all(1.0f / (float)((bottom - top) * (right - left)));
            const vec mean = ((sums[0] + sums[1]) + (sums[2] + sums[3])) * share;
            store(target + (size_t)column * LANES, finished(f, mean, residual_at(f, row, column)));
        }
        settle(f, target, to.width);
    }
}

static void map(const winnow_map *map, winnow_place place) {
    const winnow_output *output = &map->output_channels;
    const int32_t taps = map->kernel.height * map->kernel.width;
    for (int32_t i = 0; i < output->count; i++) {
        const finish f = finish_of(output, i, place, map->raw);
        const int32_t line = map->input_lines[i];
        const float *input = line < 0 ? NULL : place.input + (size_t)line * LANES;
        switch (map->kind) {
            case WINNOW_ELEMENTWISE: copy_plane(&f, place, plane_at(place.input, line, map->input), map->output); break;
            case WINNOW_MULTIPLY:
                multiply_planes(&f, place, plane_at(place.input, line, map->input),
                                plane_at(place.arena, map->other_lines[i], map->other), map->output);
                break;
            case WINNOW_DEPTHWISE:
                depthwise(map, place, &f, input, map->weights + (size_t)output->channels[i] * taps);
                break;
            case WINNOW_MAX_POOL: max_pool(map, place, &f, input); break;
            case WINNOW_AVERAGE_POOL: average_pool(map, place, &f, input); break;
            case WINNOW_ADAPTIVE_AVERAGE: adaptive_average(map, &f, input); break;
            default: copy_window(map, place, &f, input); break;
        }
    }
    if (!map->raw) pass_channels(output, place, map->output);
}
