// A state machine over tables of functions, and functions as arguments.
#include <stdio.h>
#include <stdlib.h>
typedef struct machine machine;
typedef int (*step)(machine *, int);
struct machine { step now; int depth, errors; long value; };
static int idle(machine *m, int c);
static int digits(machine *m, int c) {
    if (c >= '0' && c <= '9') { m->value = m->value * 10 + c - '0'; return 0; }
    m->now = idle;
    return m->now(m, c);
}
static int idle(machine *m, int c) {
    switch (c) {
    case '(': m->depth++; return 0;
    case ')': if (--m->depth < 0) m->errors++; return 0;
    case ' ': return 0;
    }
    if (c >= '0' && c <= '9') { m->now = digits; return digits(m, c); }
    m->errors++;
    return -1;
}
__attribute__((noinline)) long run(const char *text) {
    machine m;
    m.now = idle;
    m.depth = m.errors = 0;
    m.value = 0;
    while (*text) m.now(&m, *text++);
    return m.value * 100 + m.depth * 10 + m.errors;
}
static int descending(const void *a, const void *b) { return *(const int *)b - *(const int *)a; }
__attribute__((noinline)) int each(int *values, int n, int (*f)(int)) {
    int t = 0;
    for (int i = 0; i < n; i++) t += f(values[i]);
    return t;
}
static int half(int x) { return x / 2; }
__attribute__((optnone, noinline)) int main(void) {
    int values[7] = {3, 1, 4, 1, 5, 9, 2};
    qsort(values, 7, sizeof(int), descending);
    printf("%ld %ld %d %d\n", run("(12 (3) 45"), run("x)"), values[0] * 10 + values[6],
           each(values, 7, half));
    return 0;
}
