/* flags: -fwrapv -fno-strict-aliasing */
/* Exercises: signed overflow that wraps (loops that end by it, checks after the fact) and types that alias (stores through one, loads through another). */
#include <inttypes.h>
#include <limits.h>
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

__attribute__((noinline)) static int overflows(int a, int b) { return a + b < a; }
__attribute__((noinline)) static int negative_sum(int a, int b) { return a >= 0 && b >= 0 && a + b < 0; }
__attribute__((noinline)) static int until_negative(int start, int by) {
    int steps = 0;
    for (int i = start; i > 0; i += by) steps++;
    return steps;
}
__attribute__((noinline)) static int until_wrap(signed char start) {
    int steps = 0;
    for (int i = INT_MAX - start; i >= 0; i++) steps++;
    return steps;
}
__attribute__((noinline)) static int hash(const char *text) {
    int h = 17;
    while (*text) h = h * 31 + *text++;
    return h < 0 ? -h : h;
}
__attribute__((noinline)) static int minimum_negates(int x) { return -x == x && x != 0; }
__attribute__((noinline)) static long far_index(const int *p, int i) { return p[i + 1 - 1] + (long)(i + INT_MAX) * 2; }
static int distance(int a, int b) { int d = a - b; return d < 0 ? -d : d; }
static int shifts(int x) { return (x << 4) / 16 + (int)((unsigned)x >> 3); }
static unsigned lcg_low(int seed, int n) { while (n-- > 0) seed = seed * 1103515245 + 12345; return (unsigned)seed >> 16; }

/* Types that alias. */
union both { float f; uint32_t u; };
__attribute__((noinline)) static uint32_t store_float_load_bits(float *f, uint32_t *u, float v) { *u = 5; *f = v; return *u; }
__attribute__((noinline)) static int store_long_load_int(long *l, int *i) {
    int sum = 0;
    for (int k = 0; k < 4; k++) {
        *l = (long)k << 32 | (long)(k * 3);
        sum += *i;
    }
    return sum;
}
struct header { int kind; int size; };
struct message { int kind; int size; char text[24]; };
__attribute__((noinline)) static int retag(struct header *h, struct message *m) { m->kind = 1; h->kind = 9; return m->kind * 10 + m->size; }
__attribute__((noinline)) static void swap_halves(void *p, int n) {
    short *s = p;
    for (int i = 0; i + 1 < 2 * n; i += 2) { short t = s[i]; s[i] = s[i + 1]; s[i + 1] = t; }
}

int main(void) {
    CHECK(overflows(INT_MAX, 1) && !overflows(5, 6) && overflows(5, -1));
    CHECK(negative_sum(INT_MAX, INT_MAX) && !negative_sum(INT_MAX, 0) && !negative_sum(-1, 1));
    CHECK(until_negative(INT_MAX - 10, 4) == 3 && until_negative(1, 1 << 30) == 2);
    CHECK(until_wrap(5) == 6 && until_wrap(0) == 1);
    mix((uint64_t)hash("a string long enough to overflow the hash many times over"));
    mix((uint64_t)hash("polygenelubricants"));
    CHECK(minimum_negates(INT_MIN) && !minimum_negates(0) && !minimum_negates(3));
    int four[4] = {1, 2, 3, 4};
    CHECK(far_index(four, 3) == 4 + (long)(INT_MIN + 2) * 2);
    CHECK(distance(INT_MIN, 1) == INT_MAX && distance(7, 10) == 3);
    CHECK(shifts(0x7fffffff) == -1 + 0x0fffffff && shifts(5) == 5);
    mix(lcg_low(42, 1000));
    union both b;
    CHECK(store_float_load_bits(&b.f, &b.u, 1.0f) == 0x3f800000);
    long l = 0;
    CHECK(store_long_load_int(&l, (int *)&l) == 18);
    struct message m = {2, 7, "text"};
    CHECK(retag((struct header *)&m, &m) == 97);
    int words[3] = {0x00010002, 0x00030004, 0x00050006};
    swap_halves(words, 3);
    for (int i = 0; i < 3; i++) mix((uint64_t)words[i]);
    CHECK(words[0] == 0x00020001);
    return finish("wrapping_arithmetic", UINT64_C(0xc79191c4ae38a4de));
}
