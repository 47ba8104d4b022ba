// 1x1 convolutions and linear layers: products of a weight matrix and the pixels.

// Copies `count` pixels of all channels from an output's pixel on, channels `room` lines apart.
INLINE void gather_pixels(const winnow_layer *layer, const float *input, int32_t pixel, int32_t count, int32_t room,
                          float *target) {
    const winnow_extent stride = layer->stride;
    for (int32_t k = 0; k < layer->input_count; k++, target += (size_t)room * LANES) {
        const float *plane = input + (size_t)layer->input_lines[k] * LANES;
        if (stride.height == 1 && stride.width == 1) {
            const float *source = plane + (size_t)pixel * LANES;
            for (int32_t i = 0; i < count; i++) store(target + (size_t)i * LANES, load(source + (size_t)i * LANES));
            continue;
        }
        int32_t row = pixel / layer->output.width, column = pixel % layer->output.width;
        for (int32_t i = 0; i < count; i++) {
            const size_t line = (size_t)row * stride.height * layer->input.width + (size_t)column * stride.width;
            store(target + (size_t)i * LANES, load(plane + line * LANES));
            if (++column == layer->output.width) column = 0, row++;
        }
    }
}

static void pointwise_layer(const winnow_layer *layer, winnow_place place, float *scratch) {
    const int32_t first = place.from * layer->output.width, pixels = place.to * layer->output.width;
    const int32_t most = pointwise_pixels(layer), room = most > 0 ? pointwise_stride(most, LANES) : 0;
    float *data = scratch;
    int32_t *data_lines = (int32_t *)(data + (size_t)layer->input_count * room * LANES);
    int32_t *weight_offsets = data_lines + layer->input_count, *later_lines = weight_offsets + layer->input_count;
    const int is_dense = layer->stride.height == 1 && layer->stride.width == 1;
    const int32_t piece = room > 0 ? most : pixels - first;
    for (int32_t start = first; start < pixels; start += piece) {
        const int32_t end = minimum(start + piece, pixels);
        if (room > 0) gather_pixels(layer, place.input, start, end - start, room, data);
        for (int32_t b = 0; b < layer->branch_count; b++) {
            const winnow_branch *branch = layer->branches + b;
            preload soon = {.next = place.input + (size_t)end * LANES, .lines = later_lines};
            // The pieces of a channel are too short for the hardware to predict the next one.
            if (b == 0 && is_dense && room > 0) soon.left = minimum(most, pixels - end);
            for (int32_t k = 0; k < branch->channel_count; k++) {
                const int32_t row = branch->input_rows[k];
                later_lines[k] = layer->input_lines[row];
                data_lines[k] = room > 0 ? row * room : layer->input_lines[row];
                weight_offsets[k] = branch->channels[k] * layer->filters;
            }
            multiply_filters(layer, branch, branch->channel_count, weight_offsets, data_lines,
                             room > 0 ? data : place.input + (size_t)start * LANES, soon, end - start, start, place);
        }
    }
}
