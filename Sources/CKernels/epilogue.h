// What follows a convolution: batch normalisation, shortcut, ReLU; and statistics for the former.

// One filter's share of a branch.
typedef struct {
    vec scale, shift;
    float *output;
    const float *residual;  // or NULL
    int32_t residual_size, residual_stride;
    int32_t relu;
} finish;

INLINE finish finish_of(const winnow_branch *branch, int32_t index, float *arena, size_t plane) {
    finish f;
    const int32_t filter = branch->filters[index];
    f.scale = all(branch->scale[filter]);
    f.shift = all(branch->shift[filter]);
    f.output = arena + branch->output + (size_t)branch->output_slots[index] * plane;
    const int32_t slot = branch->residual_stride == 0 ? -1 : branch->residual_slots[index];
    f.residual = slot < 0 ? NULL : arena + branch->residual + (size_t)slot * branch->residual_plane;
    f.residual_size = branch->residual_size;
    f.residual_stride = branch->residual_stride;
    f.relu = branch->relu;
    return f;
}

// Where the shortcut's pixel for an output pixel lies.
INLINE const float *residual_at(const finish *f, int32_t row, int32_t column) {
    return f->residual + ((size_t)row * f->residual_stride * f->residual_size + (size_t)column * f->residual_stride) * LANES;
}

INLINE vec finished(const finish *f, vec value, int32_t row, int32_t column) {
    value = fma_(f->scale, value, f->shift);
    if (f->residual) value += load(residual_at(f, row, column));
    return f->relu ? rectified(value) : value;
}

// Fills the channels of disabled filters through which the shortcut passes.
INLINE void pass_shortcuts(const winnow_branch *branch, float *arena, size_t plane, int32_t size) {
    for (int32_t i = 0; i < branch->passed_count; i++) {
        float *output = arena + branch->output + (size_t)branch->passed_outputs[i] * plane;
        finish f = {.residual = arena + branch->residual + (size_t)branch->passed_residuals[i] * branch->residual_plane,
                    .residual_size = branch->residual_size,
                    .residual_stride = branch->residual_stride};
        for (int32_t row = 0; row < size; row++) {
            for (int32_t column = 0; column < size; column++) {
                store(output + ((size_t)row * size + column) * LANES, rectified(load(residual_at(&f, row, column))));
            }
        }
    }
}

static void normalise(const winnow_branch *branch, float *arena, size_t plane, int32_t size) {
    for (int32_t i = 0; i < branch->filter_count; i++) {
        finish f = finish_of(branch, i, arena, plane);
        for (int32_t row = 0; row < size; row++) {
            for (int32_t column = 0; column < size; column++) {
                float *p = f.output + ((size_t)row * size + column) * LANES;
                store(p, finished(&f, load(p), row, column));
            }
        }
    }
    pass_shortcuts(branch, arena, plane, size);
}

static void statistics(const winnow_branch *branch, const float *arena, size_t plane, int32_t size, double *sums) {
    enum { CHAINS = 4 };
    for (int32_t i = 0; i < branch->filter_count; i++) {
        const float *p = arena + branch->output + (size_t)branch->output_slots[i] * plane;
        wide sum[CHAINS] = {0}, squares[CHAINS] = {0};
        for (int32_t pixel = 0; pixel < size * size; pixel += CHAINS) {
            for (int c = 0; c < minimum(CHAINS, size * size - pixel); c++) {
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

static void pool(const float *source, size_t plane, int32_t size, const int32_t *slots, int32_t count, float *target) {
    enum { CHAINS = 4 };
    const vec share = all(1.0f / (float)(size * size));
    for (int32_t i = 0; i < count; i++) {
        const float *p = source + (size_t)slots[i] * plane;
        vec sum[CHAINS] = {all(0), all(0), all(0), all(0)};
        for (int32_t pixel = 0; pixel < size * size; pixel += CHAINS) {
            for (int c = 0; c < minimum(CHAINS, size * size - pixel); c++) {
                sum[c] += load(p + (size_t)(pixel + c) * LANES);
            }
        }
        store(target + (size_t)i * LANES, ((sum[0] + sum[1]) + (sum[2] + sum[3])) * share);
    }
}
