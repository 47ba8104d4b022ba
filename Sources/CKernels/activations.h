// Activations of vectors, from single operations that every instruction set rounds the same way. Those with an
// exponential are within 2e-7 of the true value, relative, or absolute where they vanish; NaN stays NaN.

typedef int32_t ints __attribute__((ext_vector_type(LANES)));

// x if a mask's lane is set, else y.
INLINE vec choose(ints mask, vec x, vec y) { return mask ? x : y; }

// x clamped between two bounds; NaN stays NaN.
INLINE vec clamped(vec x, vec lowest, vec highest) {
    x = lowest > x ? lowest : x;
    return highest < x ? highest : x;
}

// e^x = power * (1 + rest), power = 2^n, for x in -87...87; exact to half a unit in the last place of the sum.
typedef struct {
    vec power, rest;
} exponential_parts;

INLINE exponential_parts parts_of_exponential(vec x) {
    const vec shifter = all(0x1.8p23f);
    const vec shifted = fma_(x, all(0x1.715476p0f), shifter), n = shifted - shifter;
    vec r = fma_(-n, all(0x1.62e43p-1f), x);  // ln(2) and what its float lacks
    r = fma_(-n, all(-0x1.05c61p-29f), r);
    vec sum = all(0.0001989198131397769f);  // (e^r - 1 - r) / r^2, |r| < ln(2) / 2: Chebyshev interpolation
    sum = fma_(sum, r, all(0.0013934541928270264f));
    sum = fma_(sum, r, all(0.008333310024225292f));
    sum = fma_(sum, r, all(0.04166645680967788f));
    sum = fma_(sum, r, all(0.16666666682534356f));
    sum = fma_(sum, r, all(0.5f));
    union { vec floats; ints bits; } power = {.floats = shifted};
    power.bits = (power.bits << 23) + (127 << 23);
    return (exponential_parts){power.floats, fma_(r * r, sum, r)};
}

enum { EXPONENT_MAX = 87 };  // e^-87 is the smallest of these powers that is a normal number

// e^x for x <= 0; 0 where it is tiny.
INLINE vec exponential_below(vec x) {
    const exponential_parts e = parts_of_exponential(clamped(x, all(-EXPONENT_MAX), all(0)));
    return choose(x < all(-EXPONENT_MAX), all(0), fma_(e.power, e.rest, e.power));
}

// e^x - 1 for x < 87.
INLINE vec exponential_less_one(vec x) {
    const exponential_parts e = parts_of_exponential(clamped(x, all(-EXPONENT_MAX), all(EXPONENT_MAX)));
    return fma_(e.power, e.rest, e.power - all(1));
}

INLINE vec absolute(vec x) { return __builtin_elementwise_abs(x); }

INLINE vec sigmoid(vec x) {
    const vec small = exponential_below(-absolute(x));
    return choose(x < all(0), small, all(1)) / (all(1) + small);
}

// x * gate, and 0 if the gate is closed, even for an infinite x.
INLINE vec gated(vec x, vec gate) { return choose(gate == all(0), all(0), x * gate); }

INLINE vec hyperbolic_tangent(vec x) {
    // 2 |x|, clamped where the result is 1.
    const vec e = exponential_less_one(clamped(all(2) * absolute(x), all(0), all(40)));
    const vec y = e / (e + all(2));
    return choose(x < all(0), -y, y);
}

// The probability that a normal variable is less than x.
INLINE vec normal_distribution(vec x) {
    const vec a = absolute(x), square = x * x;
    // Near 0: 1/2 + x p(x^2); further out e^(-x^2 / 2) q(1 / (1 + 0.3 |x|)), or 1 minus that. Chebyshev interpolations
    // of both.
    vec near = all(-7.66053817138209e-06f);
    near = fma_(near, square, all(0.00011350229619286141f));
    near = fma_(near, square, all(-0.0011863439888019887f));
    near = fma_(near, square, all(0.00997332848125617f));
    near = fma_(near, square, all(-0.0664903605671869f));
    near = fma_(near, square, all(0.3989422801308406f));
    const vec t = all(1) / fma_(all(0.3f), a, all(1));
    vec far = all(0.04034238570473354f);
    far = fma_(far, t, all(-0.17814002670833495f));
    far = fma_(far, t, all(0.24575128520787873f));
    far = fma_(far, t, all(-0.09424567726335922f));
    far = fma_(far, t, all(0.1535096309684681f));
    far = fma_(far, t, all(0.09054180890064666f));
    far = fma_(far, t, all(0.12285120193750446f));
    far = fma_(far, t, all(0.11937377872638015f));
    far = fma_(far, t, all(1.2983672547187806e-05f));
    far *= exponential_below(all(-0.5f) * square);
    return choose(a < all(1), fma_(x, near, all(0.5f)), choose(x < all(0), far, all(1) - far));
}

INLINE vec gelu(vec x) { return gated(x, normal_distribution(x)); }

INLINE vec gelu_tanh(vec x) {
    // (1 + tanh(u)) / 2 is the sigmoid of 2 u. Far out it is 0 or 1; there the cube might be infinite.
    const vec bounded = clamped(x, all(-16), all(16));
    const vec twice = all(1.5957691216057308f) * bounded * fma_(all(0.044715f) * bounded, bounded, all(1));
    return gated(x, sigmoid(twice));
}

// Applies an activation other than bounds to `count` lines of a channel.
static void activate(const winnow_activation *activation, int32_t channel, float *lines, int32_t count) {
#define LINES(expression)                                  \
    for (int32_t i = 0; i < count; i++) {                  \
        const vec x = load(lines + (size_t)i * LANES);     \
        store(lines + (size_t)i * LANES, (expression));    \
    }                                                      \
    break
    const vec a = all(activation->a), b = all(activation->b);
    switch (activation->kind) {
        case WINNOW_LEAKY_RELU: LINES(choose(x < all(0), a * x, x));
        case WINNOW_PRELU: {
            const vec slope = all(activation->slopes[channel]);
            LINES(choose(x < all(0), slope * x, x));
        }
        case WINNOW_SIGMOID: LINES(sigmoid(x));
        case WINNOW_HARD_SIGMOID: LINES(clamped(fma_(a, x, b), all(0), all(1)));
        case WINNOW_HARD_SWISH: LINES(gated(x, clamped(fma_(x, all(1.0f / 6), all(0.5f)), all(0), all(1))));
        case WINNOW_SILU: LINES(gated(x, sigmoid(x)));
        case WINNOW_TANH: LINES(hyperbolic_tangent(x));
        case WINNOW_ELU: LINES(choose(x < all(0), a * exponential_less_one(x), x));
        case WINNOW_GELU: LINES(gelu(x));
        case WINNOW_GELU_TANH: LINES(gelu_tanh(x));
        default: break;
    }
#undef LINES
}
