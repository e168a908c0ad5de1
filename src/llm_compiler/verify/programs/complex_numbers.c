/* Exercises: _Complex float, double and long double: arithmetic, division, comparison, passing, returning, arrays, conversions, conjugates, Mandelbrot counts. */
#include <complex.h>
#include <inttypes.h>
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

#pragma STDC FP_CONTRACT OFF
typedef float _Complex cf;
typedef double _Complex cd;
typedef long double _Complex cl;

__attribute__((noinline)) static cd multiply_add(cd a, cd b, cd c) { return a * b + c; }
__attribute__((noinline)) static cf rotate(cf z, int quarters) {
    for (int i = 0; i < quarters; i++) z *= _Complex_I;
    return z;
}
__attribute__((noinline)) static cl extended(cl z, double r) { return z * r - ~z; }
__attribute__((noinline)) static cd divide(cd a, cd b) { return a / b; }
static int equal(cd a, cd b) { return a == b; }
static int mandelbrot(cd c, int limit) {
    cd z = 0;
    int n = 0;
    while (n < limit && creal(z) * creal(z) + cimag(z) * cimag(z) <= 4.0) {
        z = z * z + c;
        n++;
    }
    return n;
}
static cd horner(const cd *coefficients, int n, cd x) {
    cd sum = 0;
    for (int i = n; i-- > 0;) sum = sum * x + coefficients[i];
    return sum;
}
struct holder { int tag; cf small; cd big; };
__attribute__((noinline)) static struct holder swapped(struct holder h) {
    struct holder r = {h.tag + 1, cimagf(h.small) + crealf(h.small) * _Complex_I, ~h.big};
    return r;
}
static void mix_complex(cd z) {
    mix((uint64_t)(int64_t)(creal(z) * 64));
    mix((uint64_t)(int64_t)(cimag(z) * 64));
}

int main(void) {
    volatile double one = 1.0;
    cd a = 3.0 * one + 4.0 * _Complex_I, b = -1.0 + 2.0 * _Complex_I;
    CHECK(multiply_add(a, b, 1.0) == -10.0 + 2.0 * _Complex_I);
    CHECK(rotate(2.0f + 1.0f * _Complex_I, 1) == -1.0f + 2.0f * _Complex_I);
    CHECK(rotate(2.0f + 1.0f * _Complex_I, 2) == -2.0f - 1.0f * _Complex_I);
    cl e = extended(1.5L + 2.0L * _Complex_I, 2.0);
    CHECK(creall(e) == 1.5L && cimagl(e) == 6.0L);
    CHECK(divide(a, 0.0 + 1.0 * _Complex_I) == 4.0 - 3.0 * _Complex_I);
    CHECK(divide(-5.0 + 10.0 * _Complex_I, a) == 1.0 + 2.0 * _Complex_I);
    CHECK(equal(a, a) && !equal(a, b) && !equal(a, ~a) && !equal(a, -~a));
    CHECK((int)a == 3);
    CHECK(mandelbrot(0, 50) == 50);
    CHECK(mandelbrot(2.0, 50) == 2);
    for (int y = -4; y <= 4; y++)
        for (int x = -8; x <= 4; x++) mix((uint64_t)mandelbrot(x * 0.25 + y * 0.25 * _Complex_I, 30));
    cd c[5];
    for (int i = 0; i < 5; i++) c[i] = i - (2.0 - i) * _Complex_I;
    mix_complex(horner(c, 5, 0.5 + 1.5 * _Complex_I));
    CHECK(horner(c, 1, b) == -2.0 * _Complex_I);
    struct holder h = {4, 1.0f - 7.0f * _Complex_I, a * b};
    h = swapped(swapped(swapped(h)));
    CHECK(h.tag == 7 && crealf(h.small) == -7.0f && cimagf(h.small) == 1.0f);
    mix_complex(h.big);
    mix_complex(conj(a) * cexp(0) - b);
    return finish("complex_numbers", UINT64_C(0x7091eb6373ccce01));
}
