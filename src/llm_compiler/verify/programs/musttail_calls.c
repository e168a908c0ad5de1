/* Exercises: calls that must be tail calls: state machines, mutual recursion too deep for any stack, dispatch tables, with arguments in memory. */
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

#define TAIL __attribute__((musttail))

struct machine {
    const unsigned char *code;
    uint64_t registers[4];
    unsigned steps;
};
typedef uint64_t (*handler)(struct machine *, const unsigned char *, uint64_t, uint64_t);
static uint64_t dispatch(struct machine *m, const unsigned char *pc, uint64_t a, uint64_t b);

static uint64_t op_add(struct machine *m, const unsigned char *pc, uint64_t a, uint64_t b) {
    m->steps++;
    TAIL return dispatch(m, pc + 1, a + b, b);
}
static uint64_t op_swap(struct machine *m, const unsigned char *pc, uint64_t a, uint64_t b) {
    m->steps += 2;
    TAIL return dispatch(m, pc + 1, b, a);
}
static uint64_t op_load(struct machine *m, const unsigned char *pc, uint64_t a, uint64_t b) {
    m->registers[pc[1] % 4] += a;
    TAIL return dispatch(m, pc + 2, a ^ pc[1], b + 1);
}
static uint64_t op_loop(struct machine *m, const unsigned char *pc, uint64_t a, uint64_t b) {
    if (b % 997 != 0) {
        TAIL return dispatch(m, m->code, a * 3, b);
    }
    TAIL return dispatch(m, pc + 1, a, b);
}
static uint64_t op_stop(struct machine *m, const unsigned char *pc, uint64_t a, uint64_t b) {
    (void)pc;
    return a ^ (b << 32) ^ m->steps;
}
static const handler handlers[] = {op_add, op_swap, op_load, op_loop, op_stop};

static uint64_t dispatch(struct machine *m, const unsigned char *pc, uint64_t a, uint64_t b) {
    TAIL return handlers[*pc](m, pc, a, b);
}

static int is_odd(unsigned n, int *calls);
__attribute__((noinline)) static int is_even(unsigned n, int *calls) {
    ++*calls;
    if (n == 0) return 1;
    TAIL return is_odd(n - 1, calls);
}
__attribute__((noinline)) static int is_odd(unsigned n, int *calls) {
    ++*calls;
    if (n == 0) return 0;
    TAIL return is_even(n - 1, calls);
}

/* More arguments than registers: some travel in the caller's own argument area. */
__attribute__((noinline)) static long many(long n, long a, long b, long c, long d, long e, long f, long g, long h, long i) {
    if (n == 0) return a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * g + 8 * h + 9 * i;
    TAIL return many(n - 1, i, a, b, c, d, e, f, g, h + n);
}

static double accumulate(const double *values, int n, double sum, int depth) {
    if (depth > 5 && n > 3) {
        sum += 1;
    }
    if (n == 0) return sum;
    switch (n % 3) {
    case 0: TAIL return accumulate(values + 1, n - 1, sum + *values, depth + 1);
    case 1: TAIL return accumulate(values + 1, n - 1, sum * 2, depth);
    default: TAIL return accumulate(values + 1, n - 1, sum - *values, depth + 1);
    }
}

static void walk_void(const unsigned char *text, unsigned *counts) {
    if (!*text) return;
    counts[*text % 7]++;
    TAIL return walk_void(text + 1, counts);
}

int main(void) {
    static const unsigned char code[] = {0, 2, 5, 1, 0, 2, 3, 3, 4};
    struct machine m = {.code = code};
    mix(dispatch(&m, code, 3, 8));
    mix(m.steps);
    for (int i = 0; i < 4; i++) mix(m.registers[i]);
    int calls = 0;
    CHECK(is_even(3000000, &calls) == 1);
    CHECK(calls == 3000001);
    CHECK(is_odd(3000000, &calls) == 0);
    CHECK(calls == 6000002);
    mix((uint64_t)many(100000, 1, 2, 3, 4, 5, 6, 7, 8, 9));
    CHECK(many(0, 1, 1, 1, 1, 1, 1, 1, 1, 1) == 45);
    double values[12];
    for (int i = 0; i < 12; i++) values[i] = i * 0.5 + 1;
    double sum = accumulate(values, 12, 2, 0);
    mix((uint64_t)(int64_t)(sum * 4));
    unsigned counts[7] = {0};
    walk_void((const unsigned char *)"tail calls are loops with arguments", counts);
    for (int i = 0; i < 7; i++) mix(counts[i]);
    return finish("musttail_calls", UINT64_C(0xca8615999eb53f4b));
}
