/* Exercises: loops that compilers recognise (memset, memcpy, memmove, strlen, popcount, ctz, CRC, sum of series, find). */
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

__attribute__((noinline)) void mix(uint64_t value) {
    digest = (digest ^ value) * UINT64_C(0x100000001b3);
    digest ^= digest >> 29;
}

static int finish(const char *name, uint64_t expected) {
    printf("%s %016" PRIx64 "\n", name, digest);
    CHECK(digest == expected);
    return failed_line;
}


static unsigned char a[96], b[96];
static uint32_t words[24];

static void fill(unsigned char *p, int count, unsigned char value) {
    for (int i = 0; i < count; i++) p[i] = value;
}
static void copy_up(unsigned char *restrict to, const unsigned char *restrict from, int count) {
    for (int i = 0; i < count; i++) to[i] = from[i];
}
static void shift_right(unsigned char *p, int count) {
    for (int i = count; i > 0; i--) p[i] = p[i - 1];
}
static void smear(unsigned char *p, int count) {
    for (int i = 1; i < count; i++) p[i] = p[i - 1]; /* overlaps: not a memmove */
}
static void fill_pattern(uint32_t *p, int count, uint32_t value) {
    for (uint32_t *end = p + count; p != end;) *p++ = value;
}
static size_t length(const char *s) {
    const char *p = s;
    while (*p) p++;
    return (size_t)(p - s);
}
static int popcount_loop(uint64_t x) {
    int n = 0;
    for (; x; x &= x - 1) n++;
    return n;
}
static int trailing_loop(uint32_t x) {
    int n = 0;
    while (n < 32 && !(x & 1)) x >>= 1, n++;
    return n;
}
static int bits_loop(uint32_t x) {
    int n = 0;
    while (x) x >>= 1, n++;
    return n;
}
static uint32_t crc(const unsigned char *p, size_t count) {
    uint32_t c = 0xffffffff;
    while (count--) {
        c ^= *p++;
        for (int bit = 0; bit < 8; bit++) c = c & 1 ? c >> 1 ^ 0xedb88320 : c >> 1;
    }
    return ~c;
}
static uint64_t series(unsigned n) {
    uint64_t sum = 0;
    for (unsigned i = 1; i <= n; i++) sum += (uint64_t)i * i;
    return sum;
}
static int find_first(const unsigned char *p, int count, unsigned char wanted) {
    for (int i = 0; i < count; i++)
        if (p[i] == wanted) return i;
    return -1;
}

int main(void) {
    volatile int n = 40;
    fill(a, 96, 0);
    fill(a + 5, n, 0xa5);
    CHECK(a[4] == 0 && a[5] == 0xa5 && a[44] == 0xa5 && a[45] == 0);
    for (int i = 0; i < 96; i++) b[i] = (unsigned char)(i ^ 0x5a);
    copy_up(a + 1, b + 2, n);
    CHECK(a[0] == 0 && a[1] == (2 ^ 0x5a) && a[40] == (41 ^ 0x5a) && a[41] == 0xa5);
    shift_right(b, n);
    CHECK(b[0] == 0x5a && b[1] == 0x5a && b[2] == (1 ^ 0x5a) && b[40] == (39 ^ 0x5a) && b[41] == (41 ^ 0x5a));
    for (int i = 0; i < 96; i++) mix(a[i] * 256u + b[i]);
    smear(b + 10, n);
    CHECK(b[9] == (8 ^ 0x5a) && b[10] == (9 ^ 0x5a) && b[49] == (9 ^ 0x5a) && b[50] == (50 ^ 0x5a));
    fill_pattern(words + 2, 20, 0x01020304);
    CHECK(words[1] == 0 && words[2] == 0x01020304 && words[21] == 0x01020304 && words[22] == 0);
    fill_pattern(words, 0, 9);
    CHECK(words[0] == 0);

    CHECK(length("") == 0 && length("seven..") == 7 && length("ab\0cd") == 2);
    for (uint64_t x = 1, i = 0; i < 64; i++, x = x * 6364136223846793005u + i) {
        CHECK(popcount_loop(x) == __builtin_popcountll(x));
        uint32_t y = (uint32_t)(x >> 32) << (i % 20);
        CHECK(trailing_loop(y) == (y ? __builtin_ctz(y) : 32));
        CHECK(bits_loop(y) == (y ? 32 - __builtin_clz(y) : 0));
        mix(x + (unsigned)popcount_loop(x) * 3 + (unsigned)bits_loop(y));
    }
    CHECK(popcount_loop(0) == 0 && trailing_loop(0) == 32 && bits_loop(0) == 0 && bits_loop(0xffffffff) == 32);
    CHECK(crc((const unsigned char *)"123456789", 9) == 0xcbf43926 && crc(a, 0) == 0);
    mix(crc(a, 96));
    for (unsigned k = 0; k < 50; k++) CHECK(series(k) == (uint64_t)k * (k + 1) * (2 * k + 1) / 6);
    CHECK(find_first(b, 96, 50 ^ 0x5a) == 50 && find_first(b, 96, 51 ^ 0x5a) == 51 && find_first(b, 50, 50 ^ 0x5a) == -1 && find_first(b, 0, 0) == -1);
    return finish("loop_idioms", UINT64_C(0xadf2a467501ba83d));
}
