// What follows a step's sums: scale and shift, residual, activation; and statistics for the former.

// What happens to one channel.
typedef struct {
    float scale, shift;
    float lowest, highest;            // bounds of the activation: 0 and infinity for a ReLU
    const winnow_activation *curve;   // an activation that is more than bounds, or NULL
    int32_t channel;
    float *output;
    const float *residual;            // or NULL
    ptrdiff_t row_step, column_step;  // floats in the residual from one pixel's to that of the next row or column
} finish;

// A channel of an output whose values stay unchanged. Adding minus zero changes no number.
INLINE finish bare_finish(float *output) {
    const float infinity = __builtin_inff();
    return (finish){.scale = 1, .shift = -0.0f, .lowest = -infinity, .highest = infinity, .output = output};
}

INLINE void set_activation(finish *f, const winnow_output *output, int32_t channel) {
    const winnow_activation *activation = &output->activation;
    f->channel = channel;
    switch (activation->kind) {
        case WINNOW_IDENTITY: break;
        case WINNOW_RELU: f->lowest = 0; break;
        case WINNOW_CLIP: f->lowest = activation->a, f->highest = activation->b; break;
        default: f->curve = activation;
    }
}

INLINE void set_residual(finish *f, const winnow_output *output, int32_t line, const float *arena) {
    f->residual = arena + (size_t)line * LANES;
    f->column_step = (ptrdiff_t)output->residual_stride * LANES;
    f->row_step = f->column_step * output->residual_width;
}

// Of the computed channel at a position in the list.
INLINE finish finish_of(const winnow_output *output, int32_t index, winnow_place place, int32_t raw) {
    finish f = bare_finish(place.output + (size_t)output->lines[index] * LANES);
    if (raw) return f;
    const int32_t channel = output->channels[index];
    if (output->scale) f.scale = output->scale[channel], f.shift = output->shift[channel];
    if (output->residual_lines && output->residual_lines[index] >= 0) {
        set_residual(&f, output, output->residual_lines[index], place.arena);
    }
    set_activation(&f, output, channel);
    return f;
}

// The residual of a pixel; NULL if there is none.
INLINE const float *residual_at(const finish *f, int32_t row, int32_t column) {
    return f->residual ? f->residual + row * f->row_step + column * f->column_step : NULL;
}

INLINE vec finished(const finish *f, vec value, const float *residual) {
    value = fma_(all(f->scale), value, all(f->shift));
    if (residual) value += load(residual);
    return clamped(value, all(f->lowest), all(f->highest));
}

// Applies what `finished` does not to its lines.
INLINE void settle(const finish *f, float *lines, int32_t count) {
    if (f->curve) activate(f->curve, f->channel, lines, count);
}

// Whether rows of `width` pixels can be treated as a single long one.
INLINE int is_flat(const finish *f, int32_t width) { return !f->residual || f->row_step == width * f->column_step; }

// Finishes `count` pixels from a pixel on, in a channel of `width` columns.
INLINE void put_pixels(const finish *f, const float *values, int32_t count, int32_t pixel, int32_t width) {
    float *target = f->output + (size_t)pixel * LANES;
    for (int32_t i = 0; i < count; i++) {
        const float *residual = residual_at(f, (pixel + i) / width, (pixel + i) % width);
        store(target + (size_t)i * LANES, finished(f, load(values + (size_t)i * LANES), residual));
    }
    settle(f, target, count);
}

// Lines to settle together, while they are in the first-level cache.
enum { RUN = 32 };

// Finishes a channel whose values are in its output.
INLINE void finish_in_place(const finish *f, winnow_extent size) {
    const int flat = is_flat(f, size.width);
    const int32_t height = flat ? 1 : size.height, width = flat ? size.height * size.width : size.width;
    for (int32_t row = 0; row < height; row++) {
        for (int32_t start = 0; start < width; start += RUN) {
            const int32_t count = minimum(RUN, width - start);
            float *p = f->output + ((size_t)row * width + start) * LANES;
            const float *residual = residual_at(f, row, start);
            for (int32_t i = 0; i < count; i++) {
                store(p + (size_t)i * LANES, finished(f, load(p + (size_t)i * LANES), residual));
                if (residual) residual += f->column_step;
            }
            settle(f, p, count);
        }
    }
}

// Fills the channels that are not computed with the residual.
INLINE void pass_channels(const winnow_output *output, winnow_place place, winnow_extent size) {
    for (int32_t i = 0; i < output->passed_count; i++) {
        finish f = bare_finish(place.output + (size_t)output->passed_lines[i] * LANES);
        set_residual(&f, output, output->passed_residual_lines[i], place.arena);
        set_activation(&f, output, output->passed_channels[i]);
        for (int32_t row = place.from; row < place.to; row++) {
            for (int32_t start = 0; start < size.width; start += RUN) {
                const int32_t count = minimum(RUN, size.width - start);
                float *p = f.output + ((size_t)row * size.width + start) * LANES;
                const float *residual = residual_at(&f, row, start);
                for (int32_t i = 0; i < count; i++, residual += f.column_step) {
                    store(p + (size_t)i * LANES, clamped(load(residual), all(f.lowest), all(f.highest)));
                }
                settle(&f, p, count);
            }
        }
    }
}

static void normalise(const winnow_output *output, float *arena, winnow_extent size) {
    const winnow_place place = winnow_everything(arena, size);
    for (int32_t i = 0; i < output->count; i++) {
        const finish f = finish_of(output, i, place, 0);
        finish_in_place(&f, size);
    }
    pass_channels(output, place, size);
}

// Sums of a run of pixels, every fourth into the same one, so additions need not wait for one another.
enum { CHAINS = 4 };

static void statistics(const winnow_output *output, const float *arena, int32_t pixels, double *sums) {
    for (int32_t i = 0; i < output->count; i++) {
        const float *p = arena + (size_t)output->lines[i] * LANES;
        wide sum[CHAINS] = {0}, squares[CHAINS] = {0};
        for (int32_t pixel = 0; pixel < pixels; pixel += CHAINS) {
            for (int c = 0; c < minimum(CHAINS, pixels - pixel); c++) {
                wide x = __builtin_convertvector(load(p + (size_t)(pixel + c) * LANES), wide);
                sum[c] += x;
                squares[c] = __builtin_elementwise_fma(x, x, squares[c]);
            }
        }
        sum[0] = (sum[0] + sum[1]) + (sum[2] + sum[3]);
        squares[0] = (squares[0] + squares[1]) + (squares[2] + squares[3]);
        memcpy(sums + (size_t)(2 * i) * LANES, &sum[0], LANES * sizeof(double));
        memcpy(sums + (size_t)(2 * i + 1) * LANES, &squares[0], LANES * sizeof(double));
    }
}
