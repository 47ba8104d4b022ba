// 3x3 convolutions by Winograd's transformation: a few tiles of all channels are transformed, multiplied position by
// position, and transformed back.

// A piece's tiles.
typedef struct {
    int32_t count;
    int32_t rows[TILES_MAX], columns[TILES_MAX];
} tile_list;

INLINE tile_list tiles_from(int32_t start, int32_t tiles, int32_t across) {
    tile_list list = {.count = minimum(TILES_MAX, tiles - start)};
    for (int32_t t = 0; t < list.count; t++) {
        list.rows[t] = (start + t) / across;
        list.columns[t] = (start + t) % across;
    }
    return list;
}

// Finishes the first `rows` x `columns` outputs of a tile; `residual` is that of the first, or NULL.
INLINE void put_tile(const finish *f, const vec *out, float *target, ptrdiff_t line, const int32_t rows,
                     const int32_t columns, const float *residual, ptrdiff_t row_step, const ptrdiff_t column_step) {
#pragma unroll
    for (int32_t y = 0; y < rows; y++) {
#pragma unroll
        for (int32_t x = 0; x < columns; x++) {
            const float *at = residual ? residual + y * row_step + x * column_step : NULL;
            store(target + y * line + x * LANES, finished(f, out[y * TILE + x], at));
        }
    }
    if (f->curve) {
        for (int32_t y = 0; y < rows; y++) settle(f, target + y * line, columns);
    }
}

// The same for a tile of a channel, clipped at the borders; whole tiles are separate for speed.
INLINE void put_tile_at(const finish *f, const vec *out, int32_t row, int32_t column, winnow_extent size) {
    const int32_t rows = minimum(TILE, size.height - row), columns = minimum(TILE, size.width - column);
    const ptrdiff_t line = (ptrdiff_t)size.width * LANES;
    float *target = f->output + row * line + (ptrdiff_t)column * LANES;
    const float *residual = residual_at(f, row, column);
    if (rows == TILE && columns == TILE && !residual) {
        put_tile(f, out, target, line, TILE, TILE, NULL, 0, 0);
    } else if (rows == TILE && columns == TILE && f->column_step == LANES) {
        put_tile(f, out, target, line, TILE, TILE, residual, f->row_step, LANES);
    } else {
        put_tile(f, out, target, line, rows, columns, residual, f->row_step, f->column_step);
    }
}

// Prefetches a share of what is needed soon, which is far away if a layer's channels are large: the tiles of the next
// piece, and the places of a piece's outputs with their residuals.
INLINE void prefetch_inputs(const winnow_layer *layer, const float *input, const tile_list *tiles, int32_t share,
                            int32_t shares) {
    const int32_t all = layer->input_count * tiles->count;
    for (int32_t i = (int32_t)((int64_t)all * share / shares); i < (int64_t)all * (share + 1) / shares; i++) {
        const int32_t k = i / tiles->count, t = i % tiles->count;
        prefetch_tile(input + (size_t)layer->input_lines[k] * LANES, layer->input.width, tiles->rows[t],
                      tiles->columns[t], 0);
    }
}

INLINE void prefetch_outputs(const winnow_output *output, int32_t width, winnow_place place, int32_t first,
                             int32_t count, const tile_list *tiles, int32_t share, int32_t shares) {
    const int32_t all = count * tiles->count;
    for (int32_t i = all * share / shares; i < all * (share + 1) / shares; i++) {
        const int32_t index = first + i / tiles->count, t = i % tiles->count;
        prefetch_tile(place.output + (size_t)output->lines[index] * LANES, width, tiles->rows[t], tiles->columns[t], 0);
        if (output->residual_lines && output->residual_lines[index] >= 0 && output->residual_stride == 1) {
            prefetch_tile(place.arena + (size_t)output->residual_lines[index] * LANES, width, tiles->rows[t],
                          tiles->columns[t], 0);
        }
    }
}

static void winograd_layer(const winnow_layer *layer, winnow_place place, float *scratch) {
    const winnow_extent size = layer->output;
    const int32_t across = (size.width + TILE - 1) / TILE, tiles = across * ((place.to + TILE - 1) / TILE);
    const size_t weights_stride = (size_t)layer->channels * layer->filters;
    const size_t data_stride = position_lines((size_t)layer->input_count * TILES_MAX) * LANES;
    const size_t product_stride = position_lines(FILTERS_MAX * TILES_MAX) * LANES;
    const int has_large_input = (int64_t)layer->input_count * size.height * size.width > LARGE_LINES;
    float *data = scratch, *products = data + POSITIONS * data_stride;
    int32_t *data_lines = (int32_t *)(products + POSITIONS * product_stride);
    int32_t *weight_offsets = data_lines + layer->input_count;

    for (int32_t start = across * (place.from / TILE); start < tiles; start += TILES_MAX) {
        const tile_list now = tiles_from(start, tiles, across);
        const tile_list later = tiles_from(minimum(start + TILES_MAX, tiles), tiles, across);
        for (int32_t k = 0; k < layer->input_count; k++) {
            const float *plane = place.input + (size_t)layer->input_lines[k] * LANES;
            // The pieces of a channel are too short for the hardware to predict the next one.
            const int32_t next = k + 1 < layer->input_count ? k + 1 : 0;
            const tile_list *ahead = next > 0 ? &now : &later;
            const float *next_plane = place.input + (size_t)layer->input_lines[next] * LANES;
            for (int32_t t = 0; t < now.count; t++) {
                if (t < ahead->count) prefetch_tile(next_plane, size.width, ahead->rows[t], ahead->columns[t], 1);
                transform_input(plane, size, now.rows[t], now.columns[t], data + ((size_t)k * TILES_MAX + t) * LANES,
                                data_stride);
            }
        }
        for (int32_t b = 0; b < layer->branch_count; b++) {
            const winnow_branch *branch = layer->branches + b;
            const winnow_output *output = &branch->output;
            const int has_large_output = (int64_t)output->count * size.height * size.width > LARGE_LINES;
            for (int32_t k = 0; k < branch->channel_count; k++) {
                data_lines[k] = branch->input_rows[k] * TILES_MAX;
                weight_offsets[k] = branch->channels[k] * layer->filters;
            }
            for (int32_t first = 0; first < output->count; first += FILTERS_MAX) {
                const int32_t chunk = minimum(FILTERS_MAX, output->count - first);
                for (int32_t position = 0; position < POSITIONS; position++) {
                    if (b == 0 && has_large_input) {
                        prefetch_inputs(layer, place.input, &later, first / FILTERS_MAX * POSITIONS + position,
                                        (output->count + FILTERS_MAX - 1) / FILTERS_MAX * POSITIONS);
                    }
                    if (has_large_output) {
                        prefetch_outputs(output, size.width, place, first, chunk, &now, position, POSITIONS);
                    }
                    for (int32_t row = 0, rows; row < chunk; row += rows) {
                        rows = rows_of(chunk - row);
                        const float *weights[ROWS_MAX];
                        for (int32_t r = 0; r < rows; r++) {
                            weights[r] = layer->weights + position * weights_stride + output->channels[first + row + r];
                        }
                        // Of the next position, since a large layer's weights are far from the processor.
                        multiply(rows, now.count, branch->channel_count, weight_offsets, data_lines, weights,
                                 weights_stride, data + position * data_stride,
                                 products + position * product_stride + (size_t)row * TILES_MAX * LANES,
                                 TILES_MAX * LANES);
                    }
                }
                for (int32_t i = 0; i < chunk; i++) {
                    const finish f = finish_of(output, first + i, place, layer->raw);
                    for (int32_t t = 0; t < now.count; t++) {
                        vec out[TILE * TILE];
                        transform_output(products + ((size_t)i * TILES_MAX + t) * LANES, product_stride, out);
                        put_tile_at(&f, out, now.rows[t] * TILE, now.columns[t] * TILE, size);
                    }
                }
            }
        }
    }
}
