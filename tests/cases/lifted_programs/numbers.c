// Floating-point numbers, whose sums are not associative, mixed with integers in one call.
#include <math.h>
#include <stdio.h>
struct point { double x, y; };
struct big { long a, b, c; };
__attribute__((noinline)) double mean(const double *x, int n) {
    double s = 0;
    for (int i = 0; i < n; i++) s += x[i];
    return s / n;
}
__attribute__((noinline)) double mixed(int a, double b, long c, float d) { return a + b * (double)c - d; }
__attribute__((noinline)) struct point mirror(struct point p) {
    struct point r = {p.y, -p.x};
    return r;
}
__attribute__((noinline)) struct big make(long x) {
    struct big b = {x, x * 2, x * 3};
    return b;
}
__attribute__((noinline)) long use(struct big b) { return b.a - b.b + b.c; }
__attribute__((noinline)) double root(double x) { return sqrt(x); }
__attribute__((noinline)) int is_odd_one(double x) { return x != x; }
__attribute__((optnone, noinline)) int main(void) {
    double values[6] = {1e16, 1, -1e16, 3, 0.1, 0.2};
    struct point p = {1.5, -2.5};
    p = mirror(p);
    printf("%.17g %.17g %g %g %ld %g %d\n", mean(values, 6), mixed(3, 2.5, 1L << 40, 0.5f), p.x, p.y,
           use(make(7)), root(2), is_odd_one(root(-1)));
    return 0;
}
