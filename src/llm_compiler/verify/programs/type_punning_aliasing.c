/* Exercises: unions, memcpy punning, char access, restrict, pointers that may alias, container-of, pointer differences and compares. */
#include <inttypes.h>
#include <stddef.h>
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


union number {
    uint64_t u;
    double d;
    int32_t words[2];
    unsigned char bytes[8];
};
static uint64_t of_double(double d) { return (union number){.d = d}.u; }
static double half_exponent(double d) {
    union number n = {.d = d};
    n.u = (n.u >> 1) + (UINT64_C(0x1ff8) << 48);
    return n.d;
}
static float fast_negate(float f) {
    uint32_t u;
    memcpy(&u, &f, 4);
    u ^= 0x80000000u;
    memcpy(&f, &u, 4);
    return f;
}

/* All these parameters may alias. */
__attribute__((noinline)) static int clobber(int *a, int *b) {
    *a = 1;
    *b = 2;
    return *a * 10 + *b;
}
__attribute__((noinline)) static int through_char(int *a, unsigned char *c) {
    *a = 0x01010101;
    c[0] += 1;
    c[3] ^= 0xf0;
    return *a;
}
__attribute__((noinline)) static int scale_by(int *restrict out, const int *restrict by, int n) {
    int sum = 0;
    for (int i = 0; i < n; i++) sum += out[i] *= *by;
    return sum;
}
__attribute__((noinline)) static int scale_alias(int *out, const int *by, int n) {
    int sum = 0;
    for (int i = 0; i < n; i++) sum += out[i] *= *by;
    return sum;
}

struct link {
    struct link *next;
};
struct record {
    int before;
    struct link link;
    int after;
};
static struct record *record_of(struct link *l) { return (struct record *)((char *)l - offsetof(struct record, link)); }

typedef int __attribute__((may_alias)) aliasing_int;

static ptrdiff_t span(const int *from, const int *to) { return to - from; }
static int *walk(int *p, int by) { return by < 0 ? p - -by : p + by; }
static uint32_t little_endian(const unsigned char *p) { return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24; }
static uint32_t big_endian(const unsigned char *p) { return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]; }
static void store_big(unsigned char *p, uint32_t v) {
    for (int i = 3; i >= 0; i--, v >>= 8) p[i] = (unsigned char)v;
}

int main(void) {
    volatile double v = 1.0;
    CHECK(of_double(v) == UINT64_C(0x3ff0000000000000) && of_double(-2 * v) == UINT64_C(0xc000000000000000));
    CHECK(half_exponent(4 * v) == 2.0 && half_exponent(16 * v) == 4.0 && fast_negate(2.5f) == -2.5f);
    union number n = {.u = UINT64_C(0x1122334455667788)};
    n.bytes[0] = 0x99;
    CHECK(n.words[0] == 0x55667799 && n.words[1] == 0x11223344);
    n.words[1] = -1;
    CHECK(n.u == UINT64_C(0xffffffff55667799));

    int x = 0, y = 0;
    CHECK(clobber(&x, &y) == 12 && clobber(&x, &x) == 22 && x == 2);
    CHECK(through_char(&x, (unsigned char *)&y) == 0x01010101);
    CHECK(through_char(&x, (unsigned char *)&x) == (int)0xf1010102);
    int list[6] = {1, 2, 3, 4, 5, 6}, three = 3;
    CHECK(scale_by(list, &three, 6) == 63 && list[5] == 18);
    CHECK(scale_alias(list, &list[1], 4) == 3 * 6 + 36 + 9 * 36 + 12 * 36); /* *by changes on the way */
    float f = 1.0f;
    *(aliasing_int *)&f += 1 << 23;
    CHECK(f == 2.0f);

    struct record a = {1, {NULL}, 2}, b = {3, {&a.link}, 4};
    CHECK(record_of(b.link.next) == &a && record_of(&b.link)->after == 4 && record_of(b.link.next)->before == 1);
    CHECK(span(list + 1, list + 5) == 4 && span(list + 4, list) == -4 && *walk(list + 3, -2) == list[1] && walk(list, 2) > list + 1);
    const unsigned char raw[] = {0x01, 0x80, 0xfe, 0x7f, 0xff};
    CHECK(little_endian(raw) == 0x7ffe8001 && big_endian(raw) == 0x0180fe7f && little_endian(raw + 1) == 0xff7ffe80);
    unsigned char out[4];
    for (uint32_t i = 0; i < 50; i++) {
        uint32_t value = i * 0x9e3779b1;
        store_big(out, value);
        CHECK(big_endian(out) == value);
        mix(little_endian(out));
        mix(of_double(value * 0.5));
    }
    int grid[3][4], *flat = &grid[0][0];
    for (int i = 0; i < 12; i++) *(&grid[i / 4][0] + i % 4) = i * i;
    CHECK(grid[2][3] == 121 && flat[3] == 9 && *(*(grid + 1) + 2) == 36 && &grid[2][0] - &grid[0][0] == 8 && (char *)&grid[1] - (char *)grid == 16);
    return finish("type_punning_aliasing", UINT64_C(0x7f1a8b9b969ced04));
}
