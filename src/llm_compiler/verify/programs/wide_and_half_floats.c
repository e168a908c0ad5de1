/* Exercises: _Float16, __bf16 storage, long double, conversions between all of them and integers, comparisons, classification, rounding. */
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

#pragma STDC FP_CONTRACT OFF
typedef _Float16 half;

static uint16_t bits_of(half h) { uint16_t u; memcpy(&u, &h, 2); return u; }
static half from_bits(uint16_t u) { half h; memcpy(&h, &u, 2); return h; }
__attribute__((noinline)) static half polynomial(half x) { return x * x * (half)0.5f - x + (half)2.0f; }
__attribute__((noinline)) static half largest(const half *v, int n) {
    half best = v[0];
    for (int i = 1; i < n; i++) if (v[i] > best) best = v[i];
    return best;
}
__attribute__((noinline)) static float sum_halves(const half *v, int n) {
    float sum = 0;
    for (int i = 0; i < n; i++) sum += (float)v[i] * (float)(i & 1 ? -1 : 2);
    return sum;
}
__attribute__((noinline)) static long double series(int n) {
    long double sum = 0, term = 1;
    for (int i = 0; i < n; i++) {
        sum += term;
        term /= 2;
    }
    return sum;
}
__attribute__((noinline)) static int compare(long double a, long double b) {
    return (a < b) + 2 * (a <= b) + 4 * (a == b) + 8 * (a != b) + 16 * (a > b) + 32 * (a >= b) + 64 * isunordered(a, b);
}
__attribute__((noinline)) static int compare_half(half a, half b) {
    return (a < b) + 2 * (a <= b) + 4 * (a == b) + 8 * (a != b) + 16 * (a > b) + 32 * (a >= b);
}
__attribute__((noinline)) static int64_t to_integer(long double x) { return (int64_t)x; }
__attribute__((noinline)) static uint64_t to_unsigned(long double x) { return (uint64_t)x; }
__attribute__((noinline)) static long double mixed(int8_t a, uint16_t b, int64_t c, float d, double e, half f) {
    return (long double)a + b - (long double)c / 4 + d * e - (long double)f;
}
struct rec { char c; long double x; half h; };
__attribute__((noinline)) static struct rec bump(struct rec r) { r.c++; r.x = -r.x * 2; r.h += (half)1; return r; }

int main(void) {
    half values[11];
    for (int i = 0; i < 11; i++) {
        values[i] = polynomial((half)(i - 4));
        mix(bits_of(values[i]));
    }
    CHECK(values[4] == (half)2 && values[6] == (half)2);
    CHECK(bits_of((half)1) == 0x3c00 && bits_of((half)-2) == 0xc000 && bits_of((half)65504.0f) == 0x7bff);
    CHECK(bits_of((half)0.333333f) == 0x3555 && bits_of((half)1e6f) == 0x7c00);
    CHECK((float)from_bits(0x0001) == 0x1p-24f);
    CHECK(largest(values, 11) == values[10] || largest(values, 11) == values[0]);
    mix((uint64_t)(int64_t)(sum_halves(values, 11) * 8));
    CHECK(series(1) == 1.0L && series(30) == 2.0L - 0x1p-29L && series(60) == 2.0L - 0x1p-59L);
    CHECK(compare(1, 2) == 1 + 2 + 8 && compare(2, 2) == 2 + 4 + 32 && compare(3, 2) == 8 + 16 + 32 && compare(NAN, 1) == 8 + 64);
    CHECK(compare_half(1, 2) == 11 && compare_half(-1, -1) == 38 && compare_half(0.5f, -0.0f) == 56 && compare_half((half)NAN, 1) == 8);
    CHECK(to_integer(-12345678901.75L) == -12345678901LL);
    CHECK(to_unsigned(18446744073709551615.0L - 0.0L) != 5);
    CHECK(to_unsigned(9223372036854775809.0L) >= UINT64_C(1) << 63);
    CHECK(mixed(-3, 65535, 1000, 1.5f, 4.0, (half)0.25f) == -3 + 65535 - 250 + 6 - 0.25L);
    struct rec r = bump(bump((struct rec){'a', 1.25L, (half)3}));
    CHECK(r.c == 'c' && r.x == 5.0L && r.h == (half)5);
    long double big = 1e300L;
    CHECK(big * 10 > big && fabsl(-big) == big && sqrtl(144.0L) == 12.0L && floorl(-2.5L) == -3.0L);
    CHECK(ldexpl(0.75L, 4) == 12.0L && fmodl(10.5L, 3.0L) == 1.5L && copysignl(2.0L, -0.0L) == -2.0L);
    for (int i = -20; i < 20; i++) mix((uint64_t)to_integer((long double)i * 1.75L) + (uint64_t)(unsigned)compare(i, i / 3 * 3));
    return finish("wide_and_half_floats", UINT64_C(0xeba404c9b9a0b7fd));
}
