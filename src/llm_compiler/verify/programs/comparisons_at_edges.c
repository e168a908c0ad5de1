/* Exercises: every comparison and extension where signs and widths matter, each used in a loop bound, a branch, a select, a switch and a shift. */
#include <inttypes.h>
#include <limits.h>
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

static const int32_t edges[] = {INT_MIN, INT_MIN + 1, -65536, -256, -129, -128, -2, -1, 0, 1, 2, 127, 128, 255, 256, 32767, 32768, 65535, 65536, INT_MAX - 1, INT_MAX};
enum { N = sizeof edges / sizeof *edges };

static int branch_signed(int32_t a, int32_t b) { if (a < b) return 1; if (a > b) return 2; return 3; }
static int branch_unsigned(uint32_t a, uint32_t b) { if (a < b) return 1; if (a > b) return 2; return 3; }
static int32_t select_signed(int32_t a, int32_t b) { return a <= b ? (int32_t)((uint32_t)a - 1u) : b + 1 == 0 ? 7 : b; }
static uint32_t select_unsigned(uint32_t a, uint32_t b) { return a >= b ? a ^ 5 : b ^ 9; }
static int narrow_signed(int8_t a, int8_t b) { return (a < b) * 2 + (a >= b) + (a + b > 100) * 4 + (a * b < -50) * 8; }
static int narrow_unsigned(uint8_t a, uint8_t b) { return (a < b) * 2 + (a >= b) + (a + b > 300) * 4 + (a - b < -50) * 8; }
static int halves(int16_t a, uint16_t b) { return (a < b) + 2 * (a == (int16_t)b) + 4 * (a > b); }
static int64_t widen(int8_t a, uint8_t b, int16_t c, uint16_t d, int32_t e, uint32_t f) { return (int64_t)a * 3 + b * 5 - (int64_t)c * 7 + d * 11 - (int64_t)e * 13 + (int64_t)f * 17; }
static int longs(int64_t a, int64_t b) { return (a < b) + 2 * (a <= b) + 4 * (a > b) + 8 * (a >= b); }
static int unsigned_longs(uint64_t a, uint64_t b) { return (a < b) + 2 * (a <= b) + 4 * (a > b) + 8 * (a >= b); }
static int in_range(int x, int low, int high) { return x >= low && x < high; }
static int in_unsigned_range(unsigned x, unsigned low, unsigned high) { return x > low && x <= high; }
static int count_down(int from, int to) { int n = 0; for (int i = from; i > to; i -= 3) n++; return n; }
static int count_up(unsigned from, unsigned to) { int n = 0; for (unsigned i = from; i < to && n < 50; i += 0x10000000u) n++; return n; }
static int loop_through_zero(int8_t from, int8_t to) { int sum = 0; for (int8_t i = from; i <= to && i < 127; i++) sum += i * 3 + 1; return sum; }
static int bounds(int x) { return x < -100 ? 0 : x < 0 ? 1 : x <= 10 ? 2 : x < 1000 ? 3 : 4; }
static unsigned right_shift(int32_t a, unsigned by) { return (unsigned)(a >> by) ^ ((unsigned)a >> by) * 3u; }
static int clamp(int x, int low, int high) { return x < low ? low : x > high ? high : x; }
static int sign(int64_t x) { return x < 0 ? -1 : x > 0; }
static int maximum(const int *v, int n) { int best = v[0]; for (int i = 1; i < n; i++) if (v[i] > best) best = v[i]; return best; }
static int minimum_at(const int *v, int n) { int at = 0; for (int i = 1; i < n; i++) if (v[i] < v[at]) at = i; return at; }
static int search(const int *v, int n, int wanted) {
    int low = 0, high = n - 1;
    while (low <= high) {
        int middle = low + (high - low) / 2;
        if (v[middle] < wanted) low = middle + 1;
        else if (v[middle] > wanted) high = middle - 1;
        else return middle;
    }
    return -low - 1;
}
static void sort(int *v, int n) {
    for (int i = 1; i < n; i++) {
        int key = v[i], k = i - 1;
        while (k >= 0 && v[k] > key) { v[k + 1] = v[k]; k--; }
        v[k + 1] = key;
    }
}

int main(void) {
    for (int i = 0; i < N; i++)
        for (int k = 0; k < N; k++) {
            int32_t a = edges[i], b = edges[k];
            mix((uint64_t)(branch_signed(a, b) * 10 + branch_unsigned((uint32_t)a, (uint32_t)b)));
            mix((uint64_t)(uint32_t)select_signed(a, b == INT_MAX ? 0 : b) << 32 | select_unsigned((uint32_t)a, (uint32_t)b));
            mix((uint64_t)(narrow_signed((int8_t)a, (int8_t)b) * 100 + narrow_unsigned((uint8_t)a, (uint8_t)b)));
            mix((uint64_t)(halves((int16_t)a, (uint16_t)b)));
            mix((uint64_t)(longs((int64_t)a * (1 << 20), (int64_t)b * (1 << 20)) * 100 + unsigned_longs((uint64_t)(int64_t)a, (uint64_t)(int64_t)b)));
            mix((uint64_t)widen((int8_t)a, (uint8_t)b, (int16_t)a, (uint16_t)b, a, (uint32_t)b));
            mix((uint64_t)(in_range(a, b, 1000) * 2 + in_unsigned_range((uint32_t)a, (uint32_t)b, 0xfffff000u)));
            mix((uint64_t)clamp(a, -1000, b < -1000 ? -1000 : b));
        }
    for (int i = 0; i < N; i++) {
        mix((uint64_t)bounds(edges[i]) * 7 + (uint64_t)(sign(edges[i]) + 1) + (uint64_t)(sign((int64_t)edges[i] * (INT64_C(1) << 31)) + 1) * 3);
        for (unsigned by = 0; by < 32; by += 5) mix(right_shift(edges[i], by));
        mix((uint64_t)search(edges, N, edges[i]));
        mix((uint64_t)search(edges, N, (int)((unsigned)edges[i] + 3u)));
    }
    CHECK(branch_signed(-1, 1) == 1 && branch_unsigned((uint32_t)-1, 1) == 2);
    CHECK(narrow_signed(-128, 127) == 2 + 8 && narrow_unsigned(200, 101) == 1 + 4);
    CHECK(widen(-1, 255, -1, 65535, -1, 0xffffffffu) == -3 + 1275 + 7 + 720885 + 13 + 17 * 4294967295LL);
    CHECK(count_down(-1, -10) == 3 && count_down(5, -5) == 4 && count_down(-5, 5) == 0);
    CHECK(count_up(0x70000000u, 0xf0000000u) == 8 && count_up(0xf0000000u, 1) == 0);
    CHECK(loop_through_zero(-3, 2) == -3 * 3 + 6 && loop_through_zero(3, -3) == 0);
    CHECK(bounds(-101) == 0 && bounds(-100) == 1 && bounds(-1) == 1 && bounds(0) == 2 && bounds(10) == 2 && bounds(11) == 3 && bounds(999) == 3 && bounds(1000) == 4);
    int shuffled[N];
    for (int i = 0; i < N; i++) shuffled[i] = edges[(i * 8 + 5) % N];
    CHECK(maximum(shuffled, N) == INT_MAX && maximum(edges, 5) == -129 && shuffled[minimum_at(shuffled, N)] == INT_MIN);
    sort(shuffled, N);
    for (int i = 0; i < N; i++) CHECK(shuffled[i] == edges[i]);
    return finish("comparisons_at_edges", UINT64_C(0xc3985dbf1f339575));
}
