/* flags: -ffp-model=strict */
/* Exercises: FENV_ACCESS: rounding modes, exception flags and their order, constrained arithmetic, conversions and comparisons, in loops and calls. */
#include <fenv.h>
#include <inttypes.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

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

#pragma STDC FENV_ACCESS ON
static uint64_t bits(double x) { uint64_t u; memcpy(&u, &x, 8); return u; }
static unsigned raised(void) {
    int f = fetestexcept(FE_ALL_EXCEPT);
    return (f & FE_INEXACT ? 1u : 0) | (f & FE_DIVBYZERO ? 2u : 0) | (f & FE_INVALID ? 4u : 0) | (f & FE_OVERFLOW ? 8u : 0) | (f & FE_UNDERFLOW ? 16u : 0);
}
__attribute__((noinline)) static double third(double x) { return x / 3.0; }
static double sum_tenths(int n) {
    double sum = 0;
    for (int i = 0; i < n; i++) sum += 0.1;
    return sum;
}
static const int modes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};

/* The same expression on both sides of a change of mode is not the same value. */
__attribute__((noinline)) static double width(double a, double b) {
    fesetround(FE_UPWARD);
    double up = a / b;
    fesetround(FE_DOWNWARD);
    double down = a / b;
    fesetround(FE_TONEAREST);
    return up - down;
}
/* A division that nobody uses still raises its flag. */
__attribute__((noinline)) static unsigned flags_of(double a, double b, int what) {
    feclearexcept(FE_ALL_EXCEPT);
    volatile double sink = 0;
    switch (what) {
    case 0: sink = a / b; break;
    case 1: sink = sqrt(a); break;
    case 2: sink = a * b; break;
    case 3: sink = (double)(a > b); break;
    case 4: sink = (double)(float)a; break;
    case 5: sink = (double)(int)a; break;
    default: break;
    }
    (void)sink;
    return raised();
}
__attribute__((noinline)) static unsigned order(double zero) {
    feclearexcept(FE_ALL_EXCEPT);
    unsigned before = raised();
    volatile double infinite = 1.0 / zero;
    unsigned between = raised();
    feclearexcept(FE_ALL_EXCEPT);
    volatile double inexact = infinite > 5 ? 1.0 / 3.0 * (zero + 1) : 0;
    (void)inexact;
    return before * 100 + between * 10 + raised();
}
static long rounded(double x) { return lrint(x); }
static double guarded_sum(const double *values, int n, unsigned *overflowed) {
    fenv_t saved;
    feholdexcept(&saved);
    double sum = 0;
    for (int i = 0; i < n; i++) sum += values[i] * values[i];
    *overflowed = raised() & 8;
    feclearexcept(FE_ALL_EXCEPT);
    feupdateenv(&saved);
    return sum;
}

int main(void) {
    volatile double one = 1.0, zero = 0.0, huge = 1e300;
    uint64_t thirds[4];
    for (int m = 0; m < 4; m++) {
        if (fesetround(modes[m]) != 0) return 1;
        thirds[m] = bits(third(one));
        mix(thirds[m]);
        mix(bits(sum_tenths(10)));
        mix((uint64_t)rounded(one * 2.5));
        mix((uint64_t)rounded(one * -3.5));
        mix((uint64_t)(int64_t)(float)(one * 16777217.0));
        mix(bits(one * 0.1 - 0.3 * one));
    }
    fesetround(FE_TONEAREST);
    CHECK(thirds[0] == thirds[2] && thirds[1] == thirds[0] + 1 && thirds[3] == thirds[0]);
    CHECK(bits(sum_tenths(10)) == 0x3fefffffffffffff);
    CHECK(width(one, 3.0) == 0x1p-54 && width(one, 4.0) == 0);
    CHECK(flags_of(one, 3, 0) == 1 && flags_of(one, zero, 0) == 2 && flags_of(zero, zero, 0) == 4 && flags_of(one, 2, 0) == 0);
    CHECK(flags_of(-one, 0, 1) == 4 && flags_of(4 * one, 0, 1) == 0);
    CHECK(flags_of(huge, huge, 2) == (8 | 1) && flags_of(one * 1e-300, 1e-300, 2) == (16 | 1));
    CHECK(flags_of(NAN * one, 1, 3) == 4);
    CHECK(flags_of(huge, 1, 4) == (8 | 1) && flags_of(one * 0.1, 1, 4) == 1);
    CHECK(flags_of(one * 1.5, 1, 5) == 1);
    CHECK(flags_of(one, one, 9) == 0);
    CHECK(order(zero) == 21);
    double values[] = {1, 2, 3, huge};
    unsigned overflowed = 0;
    CHECK(guarded_sum(values, 3, &overflowed) == 14 && overflowed == 0);
    CHECK(isinf(guarded_sum(values, 4, &overflowed)) && overflowed == 8);
    return finish("floating_point_environment", UINT64_C(0x50ae0cbbef96c35c));
}
