/* Exercises: Newton iterations, Simpson quadrature, LU solve, running statistics, complex numbers, in exact or rounded steps. */
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


#pragma STDC FP_CONTRACT OFF

static void mix_double(double x) {
    uint64_t u;
    __builtin_memcpy(&u, &x, 8);
    mix(u);
}

static double newton_root(double x) {
    double r = x > 1 ? x / 2 : 1;
    for (int i = 0; i < 60; i++) {
        double next = 0.5 * (r + x / r);
        if (fabs(next - r) <= 1e-15 * r) return next;
        r = next;
    }
    return r;
}

typedef double (*function)(double);
static double cubic(double x) { return x * x * x - 2 * x + 1; }
static double inverse(double x) { return 1 / x; }
static double simpson(function f, double a, double b, int n) {
    double h = (b - a) / n, sum = f(a) + f(b);
    for (int i = 1; i < n; i++) sum += f(a + i * h) * (i & 1 ? 4 : 2);
    return sum * h / 3;
}

static int solve(double m[4][5]) {
    int swaps = 0;
    for (int k = 0; k < 4; k++) {
        int best = k;
        for (int i = k + 1; i < 4; i++)
            if (fabs(m[i][k]) > fabs(m[best][k])) best = i;
        if (m[best][k] == 0) return -1;
        if (best != k) {
            swaps++;
            for (int j = 0; j < 5; j++) {
                double t = m[k][j];
                m[k][j] = m[best][j];
                m[best][j] = t;
            }
        }
        for (int i = 0; i < 4; i++) {
            if (i == k) continue;
            double factor = m[i][k] / m[k][k];
            for (int j = k; j < 5; j++) m[i][j] -= factor * m[k][j];
        }
    }
    for (int i = 0; i < 4; i++) m[i][4] /= m[i][i];
    return swaps;
}

struct complex_number {
    double re, im;
};
static struct complex_number product(struct complex_number a, struct complex_number b) {
    return (struct complex_number){a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}
static int escape_time(double x, double y) {
    struct complex_number c = {x, y}, z = {0, 0};
    int i = 0;
    while (i < 50 && z.re * z.re + z.im * z.im <= 4) {
        z = product(z, z);
        z.re += c.re;
        z.im += c.im;
        i++;
    }
    return i;
}

int main(void) {
    static const double squares[] = {4, 2, 0.25, 1e10, 12345.678};
    for (int i = 0; i < 5; i++) {
        double r = newton_root(squares[i]);
        CHECK(fabs(r - sqrt(squares[i])) <= 1e-14 * r);
        mix_double(r);
    }
    CHECK(newton_root(4) == 2 && newton_root(0.25) == 0.5);
    CHECK(fabs(simpson(cubic, 0, 2, 10) - 2) < 1e-12); /* exact for cubics */
    CHECK(fabs(simpson(inverse, 1, 2, 100) - 0.69314718056) < 1e-9);
    mix_double(simpson(inverse, 1, 3, 50));
    mix_double(simpson(cubic, -1.5, 2.25, 8));

    double m[4][5] = {{0, 2, 1, -1, 3}, {4, 1, -2, 3, 12}, {2, -3, 5, 1, 15}, {1, 1, 1, 1, 10}};
    CHECK(solve(m) >= 1);
    CHECK(fabs(m[0][4] - 1) < 1e-12 && fabs(m[1][4] - 2) < 1e-12 && fabs(m[2][4] - 3) < 1e-12 && fabs(m[3][4] - 4) < 1e-12);
    double singular[4][5] = {{1, 2, 3, 4, 5}, {2, 4, 6, 8, 1}};
    CHECK(solve(singular) == -1);

    double mean = 0, spread = 0;
    for (int i = 1; i <= 50; i++) {
        double x = (i * 37) % 23, delta = x - mean;
        mean += delta / i;
        spread += delta * (x - mean);
        mix_double(mean);
        mix_double(spread);
    }
    CHECK(mean > 10 && mean < 12);
    for (int row = -6; row <= 6; row++)
        for (int column = -8; column <= 4; column++) mix((uint64_t)escape_time(column * 0.25, row * 0.1875));
    CHECK(escape_time(0, 0) == 50 && escape_time(2, 0) == 2 && escape_time(-1, 0) == 50 && escape_time(1, 1) == 2);
    CHECK(fabs(sin(0.5) * sin(0.5) + cos(0.5) * cos(0.5) - 1) < 1e-15 && pow(2, 10) == 1024 && exp(0) == 1);
    return finish("float_numerics", UINT64_C(0xbf3381c0a6c3bcea));
}
