/* Exercises: left, logical and arithmetic right shifts and rotates of 8 to 128 bits, by constants and variables. */
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


typedef unsigned __int128 u128;
typedef __int128 i128;

static uint8_t rotate8(uint8_t x, unsigned n) { return (uint8_t)(x << (n & 7) | x >> (-n & 7)); }
static uint16_t rotate16(uint16_t x, unsigned n) { return (uint16_t)(x << (n & 15) | x >> (-n & 15)); }
static uint32_t rotate32(uint32_t x, unsigned n) { return x << (n & 31) | x >> (-n & 31); }
static uint64_t rotate64(uint64_t x, unsigned n) { return x >> (n & 63) | x << (-n & 63); }
static uint64_t funnel(uint64_t high, uint64_t low, unsigned n) { return n ? high << n | low >> (64 - n) : high; }

__attribute__((noinline)) int64_t arithmetic(int64_t x, unsigned n) { return x >> n; }
__attribute__((noinline)) uint64_t logical(uint64_t x, unsigned n) { return x >> n; }
__attribute__((noinline)) uint64_t left(uint64_t x, unsigned n) { return x << n; }

static uint64_t constants(uint32_t x, int32_t y) {
    uint64_t h = x << 3 ^ x >> 5;
    h = h * 3 + (uint64_t)(int64_t)(y >> 7);
    h = h * 3 + (x << 24 >> 28);
    h = h * 3 + (uint64_t)(int64_t)((int32_t)(x << 20) >> 25);
    h = h * 3 + (x & 0xff00) / 256;
    h = h * 3 + ((x >> 16 & 0xff) << 8 | (x >> 24));
    h = h * 3 + (uint64_t)(int64_t)(int8_t)(x >> 4);
    h = h * 3 + (uint64_t)(int64_t)(int16_t)(y >> 3);
    return h;
}

static uint64_t fold(u128 x) { return (uint64_t)(x >> 64) * 1000003 + (uint64_t)x; }

int main(void) {
    volatile uint64_t seed = UINT64_C(0x9e3779b97f4a7c15);
    uint64_t x = seed;
    for (unsigned n = 0; n < 64; n++) {
        mix(rotate8((uint8_t)x, n));
        mix(rotate16((uint16_t)x, n));
        mix(rotate32((uint32_t)x, n));
        mix(rotate64(x, n));
        CHECK(rotate32(rotate32((uint32_t)x, n), 32 - (n & 31)) == (uint32_t)x);
        mix(funnel(x, ~x * 7, n));
        mix((uint64_t)arithmetic((int64_t)x, n));
        mix(logical(x, n));
        mix(left(x, n));
        mix(constants((uint32_t)x, (int32_t)(x >> 32)));
        u128 wide = (u128)x << 64 | (x * 5);
        mix(fold(wide << n));
        mix(fold(wide >> n));
        mix(fold((u128)((i128)wide >> (n + 40))));
        mix(fold(wide << (n + 64)));
        mix(fold(wide >> (n + 64)));
        x = x * UINT64_C(6364136223846793005) + n;
    }
    CHECK(rotate8(0x81, 1) == 0x03 && rotate8(0x81, 7) == 0xc0 && rotate8(0x5a, 0) == 0x5a);
    CHECK(rotate16(0x8001, 4) == 0x0018 && rotate32(0x80000001, 1) == 3 && rotate64(1, 1) == UINT64_C(1) << 63);
    CHECK(arithmetic(-8, 1) == -4 && arithmetic(-1, 63) == -1 && arithmetic(INT64_MIN, 62) == -2);
    CHECK(logical((uint64_t)-8, 1) == UINT64_C(0x7ffffffffffffffc) && logical(UINT64_MAX, 63) == 1);
    CHECK(left(1, 63) == UINT64_C(0x8000000000000000) && left(3, 63) == UINT64_C(0x8000000000000000));
    CHECK(funnel(1, UINT64_C(0x8000000000000000), 1) == 3 && funnel(9, 5, 0) == 9);
    CHECK((int8_t)(uint8_t)(0xf0u >> 1) == 0x78 && (int32_t)-16 >> 2 == -4 && -1 >> 31 == -1);
    u128 one = 1;
    CHECK((uint64_t)(one << 100 >> 90) == 1024 && (uint64_t)((one << 127) >> 64) == UINT64_C(1) << 63);
    CHECK((int64_t)((i128)(one << 127) >> 120) == -128);
    return finish("integer_shifts_rotates", UINT64_C(0xf35d0c184e5abb9b));
}
