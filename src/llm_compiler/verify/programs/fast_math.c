/* flags: -ffast-math -fno-math-errno */
/* Exercises: floating point that may be reordered: sums, products, reciprocals and comparisons whose values are exact in any order. */
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

static double dot(const double *a, const double *b, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}
static float alternating(const float *v, int n) {
    float even = 0, odd = 0;
    for (int i = 0; i < n; i++) {
        if (i & 1) odd += v[i];
        else even += v[i];
    }
    return even - odd * 2;
}
static double polynomial(double x) { return ((x * 4 - 3) * x + 2) * x - 1; }
static int sign_of(double x) { return (x > 0) - (x < 0); }
static double largest(const double *v, int n) {
    double best = v[0];
    for (int i = 1; i < n; i++) best = v[i] > best ? v[i] : best;
    return best;
}
static double scaled(double x) { return x / 8.0 + x / 4.0 + x * 0.5; }
static float convert(int a, unsigned b, long c) { return (float)a * 0.5f + (float)b - (float)c * 2.0f; }
static int quadrant(double x, double y) { return x >= 0 ? (y >= 0 ? 1 : 4) : y >= 0 ? 2 : 3; }
static double matrix(int n) {
    double m[6][6], p[6][6];
    for (int i = 0; i < n; i++) for (int j = 0; j < n; j++) { m[i][j] = i - j + 1; p[i][j] = i * j; }
    double trace = 0;
    for (int i = 0; i < n; i++) for (int j = 0; j < n; j++) {
        double s = 0;
        for (int k = 0; k < n; k++) s += m[i][k] * p[k][j];
        if (i == j) trace += s;
        else trace -= s * 2;
    }
    return trace;
}

int main(void) {
    double a[20], b[20];
    float v[20];
    for (int i = 0; i < 20; i++) { a[i] = i * 3 - 20; b[i] = (i * 7 % 11) * 0.25; v[i] = (float)(i * i % 13) * 0.5f; }
    mix((uint64_t)(int64_t)(dot(a, b, 20) * 8));
    CHECK(dot(a, a, 3) == 400 + 289 + 196);
    mix((uint64_t)(int64_t)(alternating(v, 19) * 8));
    CHECK(polynomial(2) == 23 && polynomial(-1) == -10 && polynomial(0.5) == -0.25);
    CHECK(sign_of(0.0) == 0 && sign_of(-3) == -1 && sign_of(1e-3) == 1);
    CHECK(largest(a, 20) == 37 && largest(b, 20) == 2.5);
    CHECK(scaled(16) == 14);
    CHECK(convert(7, 9, 4) == 4.5f);
    for (int i = -3; i < 4; i++) for (int j = -3; j < 4; j++) mix((uint64_t)quadrant(i, j));
    mix((uint64_t)(int64_t)matrix(6));
    CHECK(sqrt(a[2] * a[2]) == 14 && fabs(a[0]) == 20 && floor(b[3] + 0.6) == 3 && fmin(a[1], b[1]) == -17);
    for (int i = 0; i < 20; i++) mix((uint64_t)(int64_t)(scaled(a[i] * 8) + polynomial(b[i]) * 64));
    return finish("fast_math", UINT64_C(0xc0fb460451519f79));
}
