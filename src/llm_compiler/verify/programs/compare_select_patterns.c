/* Exercises: every signed and unsigned predicate at boundaries, select, min, max, abs, clamp, three-way compares, range tests. */
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


static const int32_t edge[] = {INT32_MIN, INT32_MIN + 1, -65536, -129, -128, -2, -1, 0, 1, 2, 127, 128, 255, 256, 65535, INT32_MAX - 1, INT32_MAX};
enum { EDGES = sizeof edge / sizeof *edge };

static unsigned signed_predicates(int32_t a, int32_t b) {
    return (unsigned)((a < b) | (a <= b) << 1 | (a > b) << 2 | (a >= b) << 3 | (a == b) << 4 | (a != b) << 5);
}
static unsigned unsigned_predicates(uint32_t a, uint32_t b) {
    return (unsigned)((a < b) | (a <= b) << 1 | (a > b) << 2 | (a >= b) << 3 | (a == b) << 4 | (a != b) << 5);
}
unsigned mixed_widths(int8_t a, uint16_t b, int64_t c) {
    return (unsigned)((a < b) | (a < c) << 1 | (b >= c) << 2 | ((uint8_t)a > b) << 3 | ((unsigned)a > b) << 4);
}
static int three_way(int a, int b) { return (a > b) - (a < b); }
static int clamp(int x, int low, int high) { return x < low ? low : x > high ? high : x; }
static unsigned magnitude(int x) { return x < 0 ? 0u - (unsigned)x : (unsigned)x; }
static int sign(int x) { return x > 0 ? 1 : x < 0 ? -1 : 0; }
static int negative_abs(int x) { return x > 0 ? -x : x; }
static int in_range(int x) { return x >= -128 && x <= 127; }
static int outside(unsigned x) { return x < 10 || x >= 256; }
static int first_nonzero(int a, int b, int c) { return a ? a : b ? b : c; }
static int branchy_median(int a, int b, int c) {
    if (a > b) {
        if (b > c) return b;
        return a > c ? c : a;
    }
    if (a > c) return a;
    return b > c ? c : b;
}
static int min3(int a, int b, int c) {
    int m = a;
    if (b < m) m = b;
    if (c < m) m = c;
    return m;
}
static uint32_t masked_select(int condition, uint32_t a, uint32_t b) {
    uint32_t mask = 0u - (uint32_t)(condition != 0);
    return (a & mask) | (b & ~mask);
}
static int short_circuit(int a, int b, int *effects) {
    return ((a > 0 && (++*effects, b > 0)) || (b < 0 && (*effects += 10, a < 0))) ? 5 : 6;
}

int main(void) {
    for (int i = 0; i < EDGES; i++) {
        int a = edge[i];
        for (int j = 0; j < EDGES; j++) {
            int b = edge[j], effects = 0;
            unsigned s = signed_predicates(a, b);
            CHECK(s == (i < j ? 0x23u : i == j ? 0x1au : 0x2cu)); /* the table ascends */
            mix(s);
            mix(unsigned_predicates((uint32_t)a, (uint32_t)b));
            mix(mixed_widths((int8_t)a, (uint16_t)b, a));
            mix((uint64_t)three_way(a, b));
            CHECK(three_way(a, b) == three_way(i, j));
            mix((uint64_t)clamp(a, -100, b < -100 ? -100 : b));
            mix((uint64_t)first_nonzero(a, b, 77));
            mix(masked_select(a < b, (uint32_t)a, (uint32_t)b));
            mix((uint64_t)short_circuit(a, b, &effects) * 100 + (uint64_t)effects);
            int c = edge[(i * 5 + j * 3) % EDGES];
            int median = branchy_median(a, b, c), least = min3(a, b, c);
            mix((uint64_t)median * 7 + (uint64_t)least);
            CHECK(least <= a && least <= b && least <= c && least <= median);
        }
        mix(magnitude(a));
        mix((uint64_t)sign(a) * 16 + (uint64_t)in_range(a) * 4 + (uint64_t)outside((unsigned)a));
        mix((uint64_t)negative_abs(a));
    }
    CHECK(magnitude(INT32_MIN) == 0x80000000u && magnitude(-5) == 5 && magnitude(5) == 5);
    CHECK(in_range(-128) && !in_range(-129) && in_range(127) && !in_range(128));
    CHECK(!outside(10) && outside(9) && !outside(255) && outside(256) && outside((unsigned)-1));
    CHECK(clamp(5, 5, 9) == 5 && clamp(4, 5, 9) == 5 && clamp(10, 5, 9) == 9 && clamp(9, 5, 9) == 9 && clamp(7, 5, 9) == 7);
    CHECK(branchy_median(3, 1, 2) == 2 && branchy_median(1, 2, 3) == 2 && branchy_median(2, 3, 1) == 2 && branchy_median(2, 1, 3) == 2);
    return finish("compare_select_patterns", UINT64_C(0xba166f4a4c9160f6));
}
