/* Exercises: _BitInt of odd widths up to 128 bits: wrap, sign, shifts, division, comparisons, arrays, arguments, bit-fields of wide types. */
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

#pragma clang diagnostic ignored "-Wbit-int-extension"
typedef _BitInt(5) s5;
typedef unsigned _BitInt(5) u5;
typedef _BitInt(17) s17;
typedef unsigned _BitInt(37) u37;
typedef _BitInt(65) s65;
typedef unsigned _BitInt(127) u127;
typedef _BitInt(128) s128;
typedef unsigned _BitInt(128) u128;

static void mix_wide(u127 v) { mix((uint64_t)v); mix((uint64_t)(v >> 64)); }
__attribute__((noinline)) static u5 wrap_add(u5 a, u5 b) { return a + b; }
__attribute__((noinline)) static s17 multiply(s17 a, s17 b) { return a * b; }
__attribute__((noinline)) static u37 rotate(u37 v, unsigned by) { return by ? v << by | v >> (37 - by) : v; }
__attribute__((noinline)) static s65 divide(s65 a, s65 b) { return a / b * 10 + a % b; }
__attribute__((noinline)) static int compare(s65 a, s65 b) { return (a < b) + 2 * (a <= b) + 4 * (a == b) + 8 * (a > b) + 16 * (a >= b); }
__attribute__((noinline)) static int compare_unsigned(u37 a, u37 b) { return (a < b) + 2 * (a <= b) + 8 * (a > b) + 16 * (a >= b); }
static u127 power(u127 base, unsigned n) {
    u127 result = 1;
    while (n) {
        if (n & 1) result *= base;
        base *= base;
        n >>= 1;
    }
    return result;
}
static s128 fold(const s17 *values, int n) {
    u128 sum = 0; /* it wraps around */
    for (int i = 0; i < n; i++) sum = sum * 1000003 + (u128)values[i];
    return (s128)sum;
}
static int count_bits(u37 v) { int n = 0; for (; v; v &= v - 1) n++; return n; }

int main(void) {
    CHECK(wrap_add(30, 5) == 3 && wrap_add(31, 1) == 0);
    s5 small = 15;
    small = (s5)(small >> 1);
    CHECK(small == 7);
    CHECK((s5)(u5)17 == -15);
    CHECK(multiply(200, -300) == -60000);
    CHECK(multiply(-250, -250) == 62500);
    u37 pattern = 0x1234567891;
    for (unsigned i = 0; i < 37; i += 3) mix((uint64_t)rotate(pattern, i));
    CHECK(rotate(rotate(pattern, 10), 27) == pattern);
    CHECK(count_bits(pattern) == 16);
    s65 wide = (s65)1 << 62;
    CHECK(divide(-17, 5) == -32 && divide(17, -5) == -28);
    CHECK(wide + wide != 0 && wide * 2 > wide);
    CHECK(compare(-wide, wide) == 3 && compare(wide, wide) == 22 && compare(wide, 5) == 24);
    CHECK(compare_unsigned(pattern, 1) == 24 && compare_unsigned(2, 0x1000000000) == 3 && compare_unsigned(9, 9) == 18);
    mix_wide(power(3, 79));
    mix_wide(power(3, 81));
    CHECK(power(2, 126) >> 126 == 1 && power(2, 127) == 0);
    CHECK(power(10, 30) / power(10, 28) == 100 && power(7, 40) % 1000 == 1);
    s17 values[9];
    for (int i = 0; i < 9; i++) values[i] = (s17)(i * 7919 - 30000);
    s128 folded = fold(values, 9);
    mix_wide((u127)folded);
    CHECK((folded < 0) == ((uint64_t)(folded >> 64) >> 63));
    CHECK((s17)(folded ^ folded) == 0);
    for (int i = 0; i < 9; i++) mix((uint64_t)(int64_t)(values[i] / 7) ^ (uint64_t)(int64_t)(values[i] >> 3) ^ (uint64_t)(values[i] % 13 < 0));
    unsigned __int128 wrapped = ~(unsigned __int128)0 / 3;
    mix((uint64_t)wrapped + (uint64_t)(wrapped >> 64));
    return finish("bit_precise_integers", UINT64_C(0x2d06c67a94eaf939));
}
