/* Exercises: conversions between float, double and integers of every width, truncation, rounding functions, ldexp, frexp. */
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


static uint64_t bits(double x) {
    uint64_t u;
    __builtin_memcpy(&u, &x, 8);
    return u;
}
static uint32_t bits_float(float x) {
    uint32_t u;
    __builtin_memcpy(&u, &x, 4);
    return u;
}

/* Only called with |x| < 120, so that every conversion is defined. */
static void to_integers(double x) {
    mix((uint64_t)(int64_t)(int8_t)x);
    mix((uint64_t)(int64_t)(int16_t)(x * 256));
    mix((uint64_t)(int64_t)(int32_t)(x * 0x1p20));
    mix((uint64_t)(int64_t)(x * 0x1p50));
    mix((uint8_t)(x < 0 ? -x : x));
    mix((uint32_t)(fabs(x) * 0x1p24));
    mix((uint64_t)(fabs(x) * 0x1p56));
    mix((uint64_t)(int64_t)(float)x);
}

static void from_integers(int64_t x) {
    mix(bits((double)x));
    mix(bits_float((float)x));
    mix(bits((double)(uint64_t)x));
    mix(bits_float((float)(uint64_t)x));
    mix(bits((double)(int32_t)x));
    mix(bits((double)(uint32_t)x));
    mix(bits_float((float)(int16_t)x));
    mix(bits_float((float)(uint8_t)x));
    mix(bits((float)(int32_t)x));
}

static double horner(const double *c, int n, double x) {
    double r = 0;
    for (int i = 0; i < n; i++) {
        r = r * x;
        r = r + c[i];
    }
    return r;
}

int main(void) {
    static const double values[] = {0, 0.25, -0.25, 0.5, -0.5, 0.75, 1, 1.5, -1.5, 2.5, -2.5, 3.5, 99.875, -119.0625, 0x1.8p-30};
    for (int i = 0; i < 15; i++) {
        volatile double v = values[i];
        double x = v;
        to_integers(x);
        mix(bits(floor(x)));
        mix(bits(ceil(x)));
        mix(bits(trunc(x)));
        mix(bits(round(x)));
        mix(bits(nearbyint(x)));
        mix(bits(fmod(x, 0.75)));
        mix(bits_float(floorf((float)x)) ^ bits_float(ceilf((float)x)) * 3 ^ bits_float(roundf((float)x)) * 5);
        mix((uint64_t)lround(x) * 16 + (uint64_t)lrint(x));
        int exponent;
        double fraction = frexp(x, &exponent);
        CHECK(ldexp(fraction, exponent) == x);
        mix((uint64_t)exponent);
        double whole, rest = modf(x, &whole);
        CHECK(whole + rest == x);
        CHECK(sqrt(x * x) == fabs(x));
    }
    static const int64_t integers[] = {0, 1, -1, 127, 255, -32768, 16777217, -16777219, INT32_MIN, 4294967295,
                                       9007199254740993, -9007199254740995, INT64_MAX, INT64_MIN};
    for (int i = 0; i < 14; i++) from_integers(integers[i]);

    volatile double v = 2.75, w = -2.75, tenth = 0.1;
    volatile float f = 0.1f;
    CHECK((int)v == 2 && (int)w == -2 && (unsigned)v == 2 && (int64_t)(w * 4) == -11);
    CHECK(round(2.5) == 3 && nearbyint(v - 0.25) == 2 && round(-2.5) == -3 && floor(w) == -3 && ceil(w) == -2);
    CHECK((float)tenth == f && tenth != f && (double)f > tenth);
    CHECK((float)16777217 == 16777216.0f && (double)16777217.0f == 16777216.0);
    CHECK(tenth + 0.2 != 0.3 && tenth + 0.2 == 0.30000000000000004);
    CHECK(v - w == 5.5 && w - v == -5.5 && v / w == -1 && v / 0.5 == 5.5);
    const double c[] = {2, -3, 0.5, 8};
    CHECK(horner(c, 4, 2) == 16 - 12 + 1 + 8 && horner(c, 4, -1) == -2 - 3 - 0.5 + 8);
    CHECK(bits(1.0) == UINT64_C(0x3ff0000000000000) && bits_float(-2.0f) == 0xc0000000);
    printf("%.3f %.1e %g %a\n", v, w * 1000, tenth, 0.15625);
    return finish("float_conversions", UINT64_C(0xbdf0705203401aa4));
}
