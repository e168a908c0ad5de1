/* Exercises: popcount, clz, ctz, bswap, bit reversal, parity, isolate/merge bits, Gray code, Morton code, bit fields by mask. */
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


static uint32_t reverse_by_swaps(uint32_t x) {
    x = (x >> 1 & 0x55555555) | (x & 0x55555555) << 1;
    x = (x >> 2 & 0x33333333) | (x & 0x33333333) << 2;
    x = (x >> 4 & 0x0f0f0f0f) | (x & 0x0f0f0f0f) << 4;
    x = (x >> 8 & 0x00ff00ff) | (x & 0x00ff00ff) << 8;
    return x >> 16 | x << 16;
}
static uint32_t reverse_by_loop(uint32_t x) {
    uint32_t r = 0;
    for (int i = 0; i < 32; i++, x >>= 1) r = r << 1 | (x & 1);
    return r;
}
static uint32_t swap_bytes(uint32_t x) { return x << 24 | (x & 0xff00) << 8 | (x >> 8 & 0xff00) | x >> 24; }
static int population(uint32_t x) {
    x -= x >> 1 & 0x55555555;
    x = (x & 0x33333333) + (x >> 2 & 0x33333333);
    x = (x + (x >> 4)) & 0x0f0f0f0f;
    return (int)(x * 0x01010101 >> 24);
}
static int log2_floor(uint32_t x) {
    int r = 0;
    for (int step = 16; step; step >>= 1)
        if (x >> step) x >>= step, r += step;
    return r;
}
static uint32_t spread(uint32_t x) {
    x &= 0xffff;
    x = (x | x << 8) & 0x00ff00ff;
    x = (x | x << 4) & 0x0f0f0f0f;
    x = (x | x << 2) & 0x33333333;
    return (x | x << 1) & 0x55555555;
}
static uint32_t next_power(uint32_t x) {
    x--;
    x |= x >> 1;
    x |= x >> 2;
    x |= x >> 4;
    x |= x >> 8;
    x |= x >> 16;
    return x + 1;
}
static uint32_t gray_decode(uint32_t g) {
    for (unsigned s = 1; s < 32; s <<= 1) g ^= g >> s;
    return g;
}
static uint32_t next_same_bits(uint32_t x) {
    uint32_t low = x & -x, ripple = x + low;
    return ripple | ((x ^ ripple) >> 2) / low;
}
static uint32_t insert(uint32_t word, unsigned at, unsigned width, uint32_t value) {
    uint32_t mask = ((1u << width) - 1) << at;
    return (word & ~mask) | (value << at & mask);
}

int main(void) {
    uint32_t x = 0x12345678;
    for (int i = 0; i < 100; i++) {
        CHECK(reverse_by_swaps(x) == reverse_by_loop(x));
        CHECK(reverse_by_swaps(x) == __builtin_bitreverse32(x));
        CHECK(swap_bytes(x) == __builtin_bswap32(x));
        CHECK(population(x) == __builtin_popcount(x));
        if (x) {
            CHECK(log2_floor(x) == 31 - __builtin_clz(x));
            CHECK(__builtin_ctz(x) == population((x & -x) - 1));
        }
        CHECK(__builtin_parity(x) == (population(x) & 1));
        CHECK(__builtin_ffs((int)x) == (x ? __builtin_ctz(x) + 1 : 0));
        CHECK(gray_decode(x ^ x >> 1) == x);
        uint64_t wide = (uint64_t)x * 0x100000001b3;
        CHECK(__builtin_bswap64(wide) == ((uint64_t)swap_bytes((uint32_t)wide) << 32 | swap_bytes((uint32_t)(wide >> 32))));
        CHECK(__builtin_popcountll(wide) == population((uint32_t)wide) + population((uint32_t)(wide >> 32)));
        mix(reverse_by_loop(x));
        mix(spread(x) | spread(x >> 16) << 1);
        mix(next_power(x));
        mix(insert(x, (unsigned)i % 24, (unsigned)i % 8, ~x));
        mix(__builtin_bswap16((uint16_t)x) + (unsigned)__builtin_clrsb((int)x));
        mix(((x & (x - 1)) == 0) + (x | (x + 1)) + (~x & (x + 1)) + (x & ~(x << 1)));
        x = i % 7 == 6 ? 1u << (i % 32) : x * 1664525 + 1013904223;
    }
    CHECK(next_power(1) == 1 && next_power(5) == 8 && next_power(0x40000001) == 0x80000000);
    CHECK(spread(0xffff) == 0x55555555 && spread(5) == 0x11);
    CHECK(insert(0xffffffff, 8, 4, 5) == 0xfffff5ff);
    uint32_t combination = 7;
    int steps = 0;
    while (combination < 1u << 8) combination = next_same_bits(combination), steps++;
    CHECK(steps == 56); /* 8 choose 3 */
    volatile uint32_t zero = 0;
    CHECK(population(zero) == 0 && swap_bytes(zero) == 0 && __builtin_ffsll((int64_t)zero) == 0);
    CHECK(__builtin_clzll(UINT64_C(1) << 40) == 23 && __builtin_ctzll(UINT64_C(1) << 40) == 40);
    return finish("bit_tricks", UINT64_C(0x253548616e0f3590));
}
