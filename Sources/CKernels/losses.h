// Cross-entropy in double precision with our own exponential and logarithm, since those of C libraries differ in their
// last bits between machines.

// e^x for x <= 0, within 1 unit in the last place or so: 2^n e^r with |r| <= ln(2) / 2, Taylor's series for e^r.
INLINE double exponential(double x) {
    static const double coefficients[] = {
        1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320, 1.0 / 5040,
        1.0 / 720,        1.0 / 120,       1.0 / 24,       1.0 / 6,       0.5,          1,           1};
    const double shifter = 0x1.8p52;
    if (!(x >= -700)) return x < -700 ? 0 : x;
    double n = __builtin_fma(x, 0x1.71547652b82fep0, shifter) - shifter;
    double r = __builtin_fma(-n, 0x1.62e42fefa39efp-1, x);
    r = __builtin_fma(-n, 0x1.abc9e3b39803fp-56, r);
    double sum = coefficients[0];
    for (size_t i = 1; i < sizeof coefficients / sizeof *coefficients; i++) sum = __builtin_fma(sum, r, coefficients[i]);
    uint64_t bits = (uint64_t)((int64_t)n + 1023) << 52;
    double power;
    memcpy(&power, &bits, sizeof power);
    return sum * power;
}

// ln(x) for a normal x >= 1: n ln(2) + 2 artanh((m - 1) / (m + 1)) with m between sqrt(1/2) and sqrt(2).
INLINE double logarithm(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    int64_t n = (int64_t)(bits >> 52) - 1023;
    bits = (bits & 0xfffffffffffff) | (uint64_t)1023 << 52;
    double m;
    memcpy(&m, &bits, sizeof m);
    if (m > 0x1.6a09e667f3bcdp0) {
        m *= 0.5;
        n++;
    }
    const double z = (m - 1) / (m + 1), square = z * z;
    double sum = 1.0 / 25;
    for (int k = 23; k > 0; k -= 2) sum = __builtin_fma(sum, square, 1.0 / k);
    return __builtin_fma((double)n, 0x1.62e42fefa39efp-1, 2 * z * sum);
}

// The first of a lane's largest outputs, and the logarithm of the sum of the exponentials of each output minus the
// largest. Both are NaN, or the sum below 1, if an output is NaN or the largest is infinite.
INLINE int32_t largest_of(const float *outputs, size_t stride, int32_t classes, double *total) {
    int32_t best = 0;
    for (int32_t c = 1; c < classes; c++) {
        if (outputs[c * stride] > outputs[best * stride]) best = c;
    }
    const double largest = outputs[best * stride];
    *total = 0;
    for (int32_t c = 0; c < classes; c++) *total += exponential((double)outputs[c * stride] - largest);
    return best;
}

// Adds a loss, as a fixed-point number, and whether the image counts as correct.
INLINE void add_loss(double loss, int is_number, int is_correct, double loss_max, int64_t *sum, int64_t *correct) {
    const double bounded = is_number && loss < loss_max ? loss : loss_max;
    *sum += (int64_t)(bounded * 4294967296.0 + 0.5);
    if (is_number && is_correct) (*correct)++;
}

static void losses(const float *logits, size_t stride, int32_t classes, const int32_t *labels, int32_t count,
                   double loss_max, int64_t *sum, int64_t *correct) {
    for (int32_t lane = 0; lane < count; lane++) {
        const float *outputs = logits + lane;
        double total;
        const int32_t best = largest_of(outputs, stride, classes, &total);
        const double largest = outputs[best * stride];
        const double loss = logarithm(total) + (largest - (double)outputs[labels[lane] * stride]);
        add_loss(loss, total >= 1 && loss == loss, best == labels[lane], loss_max, sum, correct);
    }
}

static void answers(const float *logits, size_t stride, int32_t classes, int32_t count, double *answers) {
    for (int32_t lane = 0; lane < count; lane++) {
        const float *outputs = logits + lane;
        double total;
        const double largest = outputs[largest_of(outputs, stride, classes, &total) * stride];
        const double log_total = total >= 1 ? logarithm(total) : __builtin_nan("");
        double *image = answers + 2 * (size_t)classes * (size_t)lane;
        for (int32_t c = 0; c < classes; c++) {
            image[2 * c] = ((double)outputs[c * stride] - largest) - log_total;
            image[2 * c + 1] = exponential(image[2 * c]);
        }
    }
}

static void divergences(const float *logits, size_t stride, int32_t classes, const double *answers, int32_t count,
                        double loss_max, int64_t *sum, int64_t *correct) {
    for (int32_t lane = 0; lane < count; lane++) {
        const float *outputs = logits + lane;
        const double *image = answers + 2 * (size_t)classes * (size_t)lane;
        double total;
        const int32_t best = largest_of(outputs, stride, classes, &total);
        const double largest = outputs[best * stride], log_total = total >= 1 ? logarithm(total) : 0;
        double divergence = 0;
        int32_t answered = 0;
        // Each term is zero if both outputs agree: equal outputs have no divergence, to the last bit.
        for (int32_t c = 0; c < classes; c++) {
            const double now = ((double)outputs[c * stride] - largest) - log_total;
            divergence = __builtin_fma(image[2 * c + 1], image[2 * c] - now, divergence);
            if (image[2 * c] > image[2 * answered]) answered = c;
        }
        const int is_number = total >= 1 && divergence == divergence;
        // It is never negative but for rounding.
        add_loss(divergence > 0 ? divergence : 0, is_number, best == answered, loss_max, sum, correct);
    }
}
