/* Exercises: unsigned values above the signed range everywhere: sizes, hashes, ring indices, byte compares, wrapping differences, shifts, conversions to wider types. */
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

static const uint32_t large[] = {0, 1, 2, 0x7ffffffe, 0x7fffffff, 0x80000000, 0x80000001, 0xfffffffe, 0xffffffff, 0xdeadbeef, 0x12345678};
enum { N = sizeof large / sizeof *large };

static int order(uint32_t a, uint32_t b) { return a < b ? -1 : a > b; }
static int order_bytes(const unsigned char *a, const unsigned char *b, unsigned n) {
    for (unsigned i = 0; i < n; i++) {
        if (a[i] < b[i]) return -(int)i - 1;
        if (a[i] > b[i]) return (int)i + 1;
    }
    return 0;
}
static int before(uint32_t a, uint32_t b) { return (int32_t)(a - b) < 0; }
static uint64_t widen(uint32_t a, uint16_t b, uint8_t c) { return (uint64_t)a * 3 + (uint64_t)b * 5 + c; }
static uint64_t product(uint32_t a, uint32_t b) { return (uint64_t)a * b >> 16; }
static unsigned clip(uint64_t x) { return x > 0xfffffff0u ? 0xfffffff0u : (unsigned)x; }
static unsigned shift_all(uint32_t x) {
    unsigned sum = 0;
    for (unsigned by = 0; by < 32; by++) sum = sum * 3 + (x >> by) + (x << by >> 5);
    return sum;
}
static unsigned divide(uint32_t a, uint32_t b) { return b ? a / b * 31 + a % b : a >> 1; }
static unsigned leading(uint32_t x) { unsigned n = 0; while (n < 32 && !(x & 0x80000000u)) { x <<= 1; n++; } return n; }
static unsigned highest(const uint32_t *v, unsigned n) { unsigned best = 0; for (unsigned i = 1; i < n; i++) if (v[i] >= v[best]) best = i; return best; }
static unsigned lowest(const uint32_t *v, unsigned n) { unsigned best = 0; for (unsigned i = 1; i < n; i++) if (v[i] < v[best]) best = i; return best; }
static void sort(uint32_t *v, unsigned n) {
    for (unsigned gap = n / 2; gap > 0; gap /= 2)
        for (unsigned i = gap; i < n; i++)
            for (unsigned k = i; k >= gap && v[k - gap] > v[k]; k -= gap) { uint32_t t = v[k]; v[k] = v[k - gap]; v[k - gap] = t; }
}
struct ring { uint8_t data[16]; uint32_t head, tail; };
static int push(struct ring *r, uint8_t c) { if (r->head - r->tail >= 16) return 0; r->data[r->head++ % 16] = c; return 1; }
static int pop(struct ring *r) { return r->head == r->tail ? -1 : r->data[r->tail++ % 16]; }
static unsigned classify(uint8_t c) { return c < 0x80 ? 1 : c < 0xc0 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c <= 0xf4 ? 4 : 9; }
static int in_table(uint32_t key) {
    switch (key) {
    case 0: return 1;
    case 0x7fffffffu: return 2;
    case 0x80000000u: return 3;
    case 0xffffffffu: return 4;
    case 0xdeadbeefu: return 5;
    default: return key > 0x80000000u ? 6 : 7;
    }
}
static double as_double(uint32_t a, uint64_t b, uint16_t c) { return (double)a + (double)(b >> 12) - (double)c; }
static unsigned checksum(const unsigned char *p, unsigned n) {
    unsigned a = 1, b = 0;
    while (n-- > 0) { a += *p++; if (a >= 65521) a -= 65521; b += a; if (b >= 65521) b -= 65521; }
    return b << 16 | a;
}

int main(void) {
    for (unsigned i = 0; i < N; i++)
        for (unsigned k = 0; k < N; k++) {
            uint32_t a = large[i], b = large[k];
            mix((uint64_t)(order(a, b) + 1) * 2 + (uint64_t)before(a, b));
            mix(widen(a, (uint16_t)b, (uint8_t)(a ^ b)));
            mix(product(a, b) ^ divide(a, b));
            mix(clip((uint64_t)a + b));
            mix((uint64_t)(int64_t)as_double(a, (uint64_t)b << 32 | a, (uint16_t)a));
            mix((uint64_t)order_bytes((const unsigned char *)&large[i], (const unsigned char *)&large[k], 4));
        }
    CHECK(order(0x80000000, 1) == 1 && order(1, 0xffffffff) == -1 && before(0xfffffff0, 5) && !before(5, 0xfffffff0));
    CHECK(widen(0xffffffff, 0xffff, 0xff) == 3 * 4294967295ull + 5 * 65535 + 255);
    CHECK(clip(0xfffffff0ull) == 0xfffffff0u && clip(0xfffffff1ull) == 0xfffffff0u && clip(0xffffffefull) == 0xffffffefu);
    for (unsigned i = 0; i < N; i++) { mix(shift_all(large[i])); mix(leading(large[i])); mix((uint64_t)in_table(large[i])); }
    CHECK(highest(large, N) == 8 && lowest(large, N) == 0 && lowest(large + 1, N - 1) == 0 && highest(large, 5) == 4);
    uint32_t copy[N];
    for (unsigned i = 0; i < N; i++) copy[i] = large[(i * 7 + 3) % N];
    sort(copy, N);
    for (unsigned i = 0; i + 1 < N; i++) { CHECK(copy[i] < copy[i + 1]); mix(copy[i]); }
    struct ring r = {.head = 0xfffffff8u, .tail = 0xfffffff8u};
    int pushed = 0;
    for (int i = 0; i < 20; i++) pushed += push(&r, (uint8_t)(i * 30));
    CHECK(pushed == 16);
    for (int i = 0; i < 18; i++) mix((uint64_t)(unsigned)pop(&r));
    CHECK(pop(&r) == -1 && push(&r, 200) && pop(&r) == 200);
    for (unsigned c = 0; c < 256; c += 5) mix(classify((uint8_t)c));
    CHECK(classify(0x7f) == 1 && classify(0x80) == 0 && classify(0xbf) == 0 && classify(0xc0) == 2 && classify(0xdf) == 2 && classify(0xf4) == 4 && classify(0xf5) == 9 && classify(0xef) == 3 && classify(0xf0) == 4);
    unsigned char bytes[700];
    for (unsigned i = 0; i < sizeof bytes; i++) bytes[i] = (unsigned char)(255 - i % 7);
    for (unsigned n = 0; n < sizeof bytes; n += 99) mix(checksum(bytes, n));
    return finish("unsigned_edges", UINT64_C(0x04ecf473a8b27b88));
}
