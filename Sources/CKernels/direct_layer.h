// Convolutions by definition: the inputs of a piece of an output row are copied, with their padding, and every filter
// multiplies them.

// Copies the inputs of `pixels` outputs from (row, column) on.
INLINE void gather(const winnow_layer *layer, const direct_piece *piece, const float *input, int32_t row,
                   int32_t column, float *target) {
    const int32_t stride = layer->stride.width, first = column * stride - layer->pad_left;
    for (int32_t k = 0; k < layer->input_count; k++) {
        const float *plane = input + (size_t)layer->input_lines[k] * LANES;
        for (int32_t i = 0; i < layer->kernel.height; i++) {
            const int32_t y = row * layer->stride.height - layer->pad_top + i * layer->dilation.height;
            const float *line = plane + (ptrdiff_t)y * layer->input.width * LANES;
            for (int32_t phase = 0; phase < piece->phases; phase++, target += (size_t)piece->columns * LANES) {
                if (y < 0 || y >= layer->input.height) {
                    memset(target, 0, (size_t)piece->columns * LANES * sizeof(float));
                    continue;
                }
                int32_t x = first + phase, j = 0;
                for (; j < piece->columns && x < 0; j++, x += stride) store(target + (size_t)j * LANES, all(0));
                for (; j < piece->columns && x < layer->input.width; j++, x += stride) {
                    store(target + (size_t)j * LANES, load(line + (size_t)x * LANES));
                }
                for (; j < piece->columns; j++) store(target + (size_t)j * LANES, all(0));
            }
        }
    }
}

// Lists the terms of a branch's sums, channel by channel and tap by tap, except for the taps in rows of padding alone.
// Returns their number.
INLINE int32_t list_terms(const winnow_layer *layer, const winnow_branch *branch, const direct_piece *piece,
                          int32_t row, int32_t *data_lines, int32_t *weight_offsets) {
    int32_t terms = 0;
    for (int32_t k = 0; k < branch->channel_count; k++) {
        for (int32_t i = 0; i < layer->kernel.height; i++) {
            const int32_t y = row * layer->stride.height - layer->pad_top + i * layer->dilation.height;
            if (y < 0 || y >= layer->input.height) continue;
            for (int32_t j = 0; j < layer->kernel.width; j++, terms++) {
                const int32_t offset = j * layer->dilation.width, stride = layer->stride.width;
                const int32_t copied = branch->input_rows[k] * layer->kernel.height + i;
                data_lines[terms] = (copied * piece->phases + offset % stride) * piece->columns + offset / stride;
                const int32_t tap = i * layer->kernel.width + j;
                weight_offsets[terms] = (tap * layer->channels + branch->channels[k]) * layer->filters;
            }
        }
    }
    return terms;
}

static void direct_layer(const winnow_layer *layer, winnow_place place, float *scratch) {
    const direct_piece piece = direct_piece_of(layer);
    const int32_t taps = layer->kernel.height * layer->kernel.width, width = layer->output.width;
    float *data = scratch;
    int32_t *data_lines = (int32_t *)(data + piece.lines * LANES);
    int32_t *weight_offsets = data_lines + (size_t)layer->input_count * taps;

    for (int32_t y = place.from; y < place.to; y++) {
        for (int32_t start = 0; start < width; start += piece.pixels) {
            gather(layer, &piece, place.input, y, start, data);
            const int32_t end = minimum(start + piece.pixels, width);
            for (int32_t b = 0; b < layer->branch_count; b++) {
                const winnow_branch *branch = layer->branches + b;
                const int32_t terms = list_terms(layer, branch, &piece, y, data_lines, weight_offsets);
                multiply_filters(layer, branch, terms, weight_offsets, data_lines, data, (preload){0}, end - start,
                                 y * width + start, place);
            }
        }
    }
}
