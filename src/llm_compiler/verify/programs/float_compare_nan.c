/* Exercises: all ordered and unordered comparisons of double and float with NaN, infinities, -0.0 and denormals; fmin, fmax. */
#include <inttypes.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>

static int failed_line;
static uint64_t digest = UINT64_C(0xcbf29ce484222325);

#define CHECK(condition) \
    do { \
        if (!(condition) && failed_line == 0) failed_line = __LINE__ < 255 ? __LINE__ : 255; \
    } while (0)

static __attribute__((noinline)) void mix(uint64_t value) {
    digest = (digest ^ value) * UINT64_C(0x100000001b3);
    digest ^= digest >> 29;
}

static int finish(const char *name, uint64_t expected) {
    printf("%s %016" PRIx64 "\n", name, digest);
    CHECK(digest == expected);
    return failed_line;
}


static unsigned relations(double a, double b) {
    unsigned r = 0;
    if (a < b) r |= 1;
    if (a <= b) r |= 2;
    if (a > b) r |= 4;
    if (a >= b) r |= 8;
    if (a == b) r |= 16;
    if (a != b) r |= 32;
    if (!(a < b)) r |= 64;
    if (!(a >= b)) r |= 128;
    if (isunordered(a, b)) r |= 256;
    if (islessgreater(a, b)) r |= 512;
    if (!(a == b)) r |= 1024;
    if (!(a <= b)) r |= 2048;
    if (!(a > b)) r |= 4096;
    return r;
}
unsigned relations_float(float a, float b) {
    return (unsigned)((a < b) | (a <= b) << 1 | (a > b) << 2 | (a >= b) << 3 | (a == b) << 4 | (a != b) << 5 | !(a >= b) << 6);
}
static double choose_less(double a, double b) { return a < b ? a : b; }
static double choose_greater(double a, double b) { return a >= b ? a : b; }
static int kind(double x) {
    switch (fpclassify(x)) {
    case FP_NAN: return 1;
    case FP_INFINITE: return 2;
    case FP_ZERO: return 3;
    case FP_SUBNORMAL: return 4;
    case FP_NORMAL: return 5;
    }
    return 0;
}
/* The bits of x, with one value for all NaNs: their sign and payload are not specified. */
static uint64_t bits(double x) {
    uint64_t u;
    __builtin_memcpy(&u, &x, 8);
    return x != x ? 0x7ff8 : u;
}

int main(void) {
    static const double table[] = {-INFINITY, -1e300, -1.5, -0x1p-1060, -0.0, 0.0, 0x1p-1060, 1.0, 1.5, 1e300, INFINITY, NAN};
    for (int i = 0; i < 12; i++) {
        for (int j = 0; j < 12; j++) {
            volatile double x = table[i], y = table[j];
            double a = x, b = y;
            unsigned r = relations(a, b);
            if (i == 11 || j == 11) CHECK(r == (32 | 64 | 128 | 256 | 1024 | 2048 | 4096));
            else if (a < b) CHECK(r == (1 | 2 | 32 | 128 | 512 | 1024 | 4096));
            else if (a > b) CHECK(r == (4 | 8 | 32 | 64 | 512 | 1024 | 2048));
            else CHECK(r == (2 | 8 | 16 | 64 | 4096));
            mix(r);
            mix(relations_float((float)a, (float)b));
            mix(bits(choose_less(a, b)));
            mix(bits(choose_greater(a, b)));
            if (a != 0 || b != 0) { /* fmin(0.0, -0.0) may be either */
                mix(bits(fmin(a, b)));
                mix(bits(fmax(a, b)));
            }
            mix(bits(a + b));
            mix(bits(a - b));
            mix(bits(a * 0.5));
            mix(bits(copysign(a, b)));
        }
        volatile double x = table[i];
        mix((uint64_t)kind(x) * 4 + (uint64_t)(signbit(x) != 0 && x == x) * 2 + (uint64_t)(isinf(x) != 0));
        mix(bits(fabs(x)));
        mix(bits(x * 0.0));
        mix(bits(0.0 - x));
        mix(bits(x + 0.0));
        mix(bits(x - x));
        mix(bits(x / 1e300));
    }
    volatile double zero = 0, negative_zero = -0.0, nan_value = NAN;
    CHECK(zero == negative_zero && !signbit(zero) && signbit(negative_zero) && signbit(-zero));
    CHECK(bits(negative_zero + zero) == 0 && bits(negative_zero - zero) == UINT64_C(1) << 63);
    CHECK(1 / zero == INFINITY && 1 / negative_zero == -INFINITY && zero / negative_zero != zero / zero);
    CHECK(!(nan_value == nan_value) && nan_value != nan_value && !(nan_value < 1) && !(nan_value >= 1));
    CHECK(fmin(nan_value, 3) == 3 && fmax(-3, nan_value) == -3);
    CHECK(kind(zero) == 3 && kind(nan_value) == 1 && kind(0x1p-1060) == 4 && kind(0x1p-1022) == 5);
    return finish("float_compare_nan", UINT64_C(0x97c856e9a381e7ce));
}
