/* Exercises: signed and unsigned division and remainder at 8 to 64 bits, by constants, powers of two, negatives, variables. */
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


#define BY_CONSTANTS(X) X(1) X(2) X(3) X(5) X(6) X(7) X(8) X(9) X(10) X(12) X(25) X(64) X(100) X(125) X(641) X(1000) X(65537)

static uint64_t unsigned32(uint32_t x) {
    uint64_t h = 0;
#define X(d) h = h * 31 + x / d + (uint64_t)(x % d) * 7;
    BY_CONSTANTS(X)
#undef X
    return h;
}

static uint64_t signed32(int32_t x) {
    uint64_t h = 0;
#define X(d) h = h * 31 + (uint64_t)(int64_t)(x / d) + (uint64_t)(int64_t)(x % -d) * 7;
    BY_CONSTANTS(X)
#undef X
    return h;
}

uint64_t signed64(int64_t x) {
    uint64_t h = 0;
#define X(d) h = h * 31 + (uint64_t)(x / -d) + (uint64_t)(x % d) * 7; CHECK(x / d * d + x % d == x);
    BY_CONSTANTS(X)
#undef X
    return h;
}

uint64_t unsigned64(uint64_t x) {
    uint64_t h = 0;
#define X(d) h = h * 31 + x / d + (x % d) * 7;
    BY_CONSTANTS(X)
#undef X
    return h;
}

__attribute__((noinline)) static int64_t divide(int64_t a, int64_t b) { return a / b; }
__attribute__((noinline)) static int64_t remain(int64_t a, int64_t b) { return a % b; }
__attribute__((noinline)) static uint64_t udivide(uint64_t a, uint64_t b) { return a / b; }
__attribute__((noinline)) static uint64_t uremain(uint64_t a, uint64_t b) { return a % b; }

static void narrow(void) {
    for (int a = -128; a <= 127; a += 5) {
        for (int b = -128; b <= 127; b += 13) {
            if (b == 0) continue;
            int8_t q = (int8_t)((int8_t)a / (int8_t)b), r = (int8_t)((int8_t)a % (int8_t)b);
            uint8_t uq = (uint8_t)((uint8_t)a / (uint8_t)b), ur = (uint8_t)((uint8_t)a % (uint8_t)b);
            int16_t wide = (int16_t)((int16_t)(a * 200) / (int16_t)b);
            mix((uint64_t)(uint8_t)q << 32 | (uint64_t)(uint8_t)r << 24 | (uint64_t)uq << 16 | ur);
            mix((uint64_t)wide);
        }
    }
}

static int is_multiple(uint32_t x) { return (x % 3 == 0) + (x % 5 == 0) * 2 + (x % 8 == 0) * 4 + (x % 7 == 3) * 8; }
static int floor_div(int a, int b) { return a / b - (a % b != 0 && (a % b < 0) != (b < 0)); }

int main(void) {
    static const int64_t edge[] = {0, 1, -1, 2, -2, 7, -7, 99, -100, 65535, -65536, INT32_MAX, INT32_MIN,
                                   INT64_C(4294967295), INT64_C(-4294967297), INT64_MAX, INT64_MIN};
    for (int i = 0; i < 17; i++) {
        mix(unsigned32((uint32_t)edge[i]));
        if ((int32_t)edge[i] != INT32_MIN) mix(signed32((int32_t)edge[i]));
        if (edge[i] != INT64_MIN) mix(signed64(edge[i]));
        mix(unsigned64((uint64_t)edge[i]));
        for (int j = 1; j < 17; j++) {
            if (edge[i] != INT64_MIN || edge[j] != -1) {
                mix((uint64_t)divide(edge[i], edge[j]));
                mix((uint64_t)remain(edge[i], edge[j]));
            }
            mix(udivide((uint64_t)edge[i], (uint64_t)edge[j]));
            mix(uremain((uint64_t)edge[i], (uint64_t)edge[j]));
        }
    }
    CHECK(divide(-7, 2) == -3 && remain(-7, 2) == -1 && divide(7, -2) == -3 && remain(7, -2) == 1);
    CHECK(divide(-8, -2) == 4 && remain(-8, 3) == -2);
    CHECK(udivide((uint64_t)-7, 2) == UINT64_C(9223372036854775804) && uremain((uint64_t)-7, 10) == 9);
    CHECK(divide(INT64_MIN, 2) == INT64_MIN / 2 && divide(INT64_MAX, 10) == INT64_C(922337203685477580));
    narrow();
    for (uint32_t x = 0; x < 200; x++) mix((uint64_t)is_multiple(x));
    CHECK(is_multiple(15) == 3 && is_multiple(120) == 7 && is_multiple(24) == 13 && is_multiple(0xffffffff) == 3 + 8);
    CHECK(floor_div(7, 2) == 3 && floor_div(-7, 2) == -4 && floor_div(7, -2) == -4 && floor_div(-6, 3) == -2);
    CHECK(-7 / 2 == -3 && -7 % 2 == -1 && 7u / 2 == 3 && 0xffffffffu / 3 == 0x55555555u);
    return finish("integer_division", UINT64_C(0x6e1851867238716b));
}
