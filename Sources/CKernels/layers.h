// Whole layers for a block of images.

static void winograd_layer(const winnow_layer *layer, float *arena, float *scratch) {
    const int32_t size = layer->size, across = size / TILE, tiles = across * across;
    const size_t weights_stride = (size_t)layer->channels * layer->filters;
    const size_t data_stride = position_lines((size_t)layer->input_count * TILES_MAX) * LANES;
    const size_t product_stride = position_lines(FILTERS_MAX * TILES_MAX) * LANES;
    float *data = scratch, *products = data + POSITIONS * data_stride;
    int32_t *data_offsets = (int32_t *)(products + POSITIONS * product_stride);
    int32_t *weight_offsets = data_offsets + layer->input_count;

    for (int32_t start = 0; start < tiles; start += TILES_MAX) {
        const int32_t count = minimum(TILES_MAX, tiles - start);
        for (int32_t k = 0; k < layer->input_count; k++) {
            const float *plane = arena + layer->input + (size_t)layer->input_slots[k] * layer->input_plane;
            // The pieces of a channel are too short for the machine to guess where the next one lies.
            const int32_t next = k + 1 < layer->input_count ? k + 1 : 0;
            const int32_t next_start = next > 0 ? start : start + TILES_MAX;
            const float *next_plane = arena + layer->input + (size_t)layer->input_slots[next] * layer->input_plane;
            for (int32_t t = 0; t < count; t++) {
                const int32_t ahead = next_start + t;
                if (ahead < tiles) prefetch_tile(next_plane, size, ahead / across, ahead % across);
                transform_input(plane, size, (start + t) / across, (start + t) % across,
                                data + ((size_t)k * TILES_MAX + t) * LANES, data_stride);
            }
        }
        for (int32_t b = 0; b < layer->branch_count; b++) {
            const winnow_branch *branch = layer->branches + b;
            for (int32_t k = 0; k < branch->channel_count; k++) {
                data_offsets[k] = branch->input_rows[k] * TILES_MAX * LANES;
                weight_offsets[k] = branch->channels[k] * layer->filters;
            }
            for (int32_t first = 0; first < branch->filter_count; first += FILTERS_MAX) {
                const int32_t chunk = minimum(FILTERS_MAX, branch->filter_count - first);
                for (int32_t position = 0; position < POSITIONS; position++) {
                    for (int32_t row = 0, rows; row < chunk; row += rows) {
                        rows = rows_of(chunk - row);
                        const float *weights[ROWS_MAX];
                        for (int32_t r = 0; r < rows; r++) {
                            weights[r] = layer->weights + position * weights_stride + branch->filters[first + row + r];
                        }
                        // Of the next position, since a large layer's weights are far from the processor.
                        multiply(rows, count, branch->channel_count, weight_offsets, data_offsets, weights,
                                 weights_stride, data + position * data_stride, LANES,
                                 products + position * product_stride + (size_t)row * TILES_MAX * LANES,
                                 TILES_MAX * LANES);
                    }
                }
                for (int32_t i = 0; i < chunk; i++) {
                    const finish f = finish_of(branch, first + i, arena, layer->output_plane);
                    for (int32_t t = 0; t < count; t++) {
                        const int32_t row = (start + t) / across * TILE, column = (start + t) % across * TILE;
                        vec out[TILE * TILE];
                        transform_output(products + ((size_t)i * TILES_MAX + t) * LANES, product_stride, out);
                        float *target = f.output + ((size_t)row * size + column) * LANES;
#pragma unroll
                        for (int y = 0; y < TILE; y++) {
#pragma unroll
                            for (int x = 0; x < TILE; x++) {
                                vec value = out[y * TILE + x];
                                if (!layer->raw) value = finished(&f, value, row + y, column + x);
                                store(target + ((size_t)y * size + x) * LANES, value);
                            }
                        }
                    }
                }
            }
        }
    }
}

// Copies the three input rows of an output row, with their padding, to [channel][3][size + 2].
INLINE void gather_rows(const winnow_layer *layer, const float *arena, int32_t row, float *target) {
    const int32_t size = layer->size;
    for (int32_t k = 0; k < layer->input_count; k++) {
        const float *plane = arena + layer->input + (size_t)layer->input_slots[k] * layer->input_plane;
        for (int32_t y = 0; y < 3; y++, target += (size_t)(size + 2) * LANES) {
            const int32_t source = row * layer->stride + y - 1;
            if (source < 0 || source >= size) {
                memset(target, 0, (size_t)(size + 2) * LANES * sizeof(float));
                continue;
            }
            store(target, all(0));
            memcpy(target + LANES, plane + (size_t)source * size * LANES, (size_t)size * LANES * sizeof(float));
            store(target + (size_t)(size + 1) * LANES, all(0));
        }
    }
}

static void direct_layer(const winnow_layer *layer, float *arena, float *scratch) {
    const int32_t across = (layer->size - 1) / layer->stride + 1;
    const size_t width = (size_t)layer->size + 2;
    float *data = scratch;
    int32_t *data_offsets = (int32_t *)(data + (size_t)layer->input_count * 3 * width * LANES);
    int32_t *weight_offsets = data_offsets + layer->input_count * 9;

    for (int32_t y = 0; y < across; y++) {
        gather_rows(layer, arena, y, data);
        for (int32_t b = 0; b < layer->branch_count; b++) {
            const winnow_branch *branch = layer->branches + b;
            const int32_t terms = branch->channel_count * 9;
            for (int32_t k = 0; k < terms; k++) {
                const int32_t channel = k / 9, tap = k % 9;
                data_offsets[k] = (int32_t)(((size_t)branch->input_rows[channel] * 3 + tap / 3) * width + tap % 3) * LANES;
                weight_offsets[k] = (tap * layer->channels + branch->channels[channel]) * layer->filters;
            }
            // Columns outside, so that their part of the input stays in the nearest cache for all filters.
            for (int32_t x = 0; x < across; x += COLUMNS_MAX) {
                const int32_t count = minimum(COLUMNS_MAX, across - x);
                for (int32_t first = 0, rows; first < branch->filter_count; first += rows) {
                    rows = rows_of(branch->filter_count - first);
                    const float *weights[ROWS_MAX];
                    for (int32_t r = 0; r < rows; r++) weights[r] = layer->weights + branch->filters[first + r];
                    float sums[ROWS_MAX * COLUMNS_MAX * LANES];
                    multiply(rows, count, terms, weight_offsets, data_offsets, weights, 0,
                             data + (size_t)x * layer->stride * LANES, (size_t)layer->stride * LANES, sums,
                             COLUMNS_MAX * LANES);
                    for (int32_t r = 0; r < rows; r++) {
                        const finish f = finish_of(branch, first + r, arena, layer->output_plane);
                        for (int32_t c = 0; c < count; c++) {
                            vec value = load(sums + (r * COLUMNS_MAX + c) * LANES);
                            if (!layer->raw) value = finished(&f, value, y, x + c);
                            store(f.output + ((size_t)y * across + x + c) * LANES, value);
                        }
                    }
                }
            }
        }
    }
}

static void linear_layer(const winnow_layer *layer, float *arena, float *scratch) {
    int32_t *data_offsets = (int32_t *)scratch;
    int32_t *weight_offsets = data_offsets + layer->input_count;
    for (int32_t b = 0; b < layer->branch_count; b++) {
        const winnow_branch *branch = layer->branches + b;
        for (int32_t k = 0; k < branch->channel_count; k++) {
            data_offsets[k] = (int32_t)((size_t)layer->input_slots[branch->input_rows[k]] * layer->input_plane);
            weight_offsets[k] = branch->channels[k] * layer->filters;
        }
        for (int32_t first = 0, rows; first < branch->filter_count; first += rows) {
            rows = rows_of(branch->filter_count - first);
            const float *weights[ROWS_MAX];
            finish f[ROWS_MAX];
            for (int32_t r = 0; r < rows; r++) {
                weights[r] = layer->weights + branch->filters[first + r];
                f[r] = finish_of(branch, first + r, arena, layer->output_plane);
            }
            for (int32_t x = 0; x < layer->size; x += COLUMNS_MAX) {
                const int32_t count = minimum(COLUMNS_MAX, layer->size - x);
                float sums[ROWS_MAX * COLUMNS_MAX * LANES];
                multiply(rows, count, branch->channel_count, weight_offsets, data_offsets, weights, 0,
                         arena + layer->input + (size_t)x * LANES, LANES, sums, COLUMNS_MAX * LANES);
                for (int32_t r = 0; r < rows; r++) {
                    for (int32_t c = 0; c < count; c++) {
                        vec value = finished(&f[r], load(sums + (r * COLUMNS_MAX + c) * LANES), 0, x + c);
                        store(f[r].output + (size_t)(x + c) * LANES, value);
                    }
                }
            }
        }
    }
}

static void layer(const winnow_layer *layer, float *arena, float *scratch) {
    // First, because the last branch may write its output over the shortcut's source.
    if (layer->kind != WINNOW_LINEAR && !layer->raw) {
        const int32_t size = (layer->size - 1) / layer->stride + 1;
        for (int32_t b = 0; b < layer->branch_count; b++) {
            pass_shortcuts(layer->branches + b, arena, layer->output_plane, size);
        }
    }
    switch (layer->kind) {
        case WINNOW_WINOGRAD: winograd_layer(layer, arena, scratch); break;
        case WINNOW_DIRECT: direct_layer(layer, arena, scratch); break;
        default: linear_layer(layer, arena, scratch); break;
    }
}
