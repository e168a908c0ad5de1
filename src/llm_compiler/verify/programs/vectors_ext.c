/* Exercises: vector extensions: arithmetic, masks, shuffles, element access, conversions, reductions, select, wide vectors. */
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


typedef int32_t i4 __attribute__((vector_size(16)));
typedef uint32_t u4 __attribute__((vector_size(16)));
typedef int16_t s8 __attribute__((vector_size(16)));
typedef uint8_t b16 __attribute__((vector_size(16)));
typedef float f4 __attribute__((vector_size(16)));
typedef double d4 __attribute__((vector_size(32)));
typedef int64_t l2 __attribute__((vector_size(16)));
typedef int32_t i2 __attribute__((vector_size(8)));

static void mix_i4(i4 v) {
    for (int i = 0; i < 4; i++) mix((uint64_t)v[i]);
}
__attribute__((noinline)) static i4 arithmetic(i4 a, i4 b) {
    i4 r = a + b * 3 - (a & b);
    r ^= (a | b) >> 2;
    r += (i4)((u4)a >> 5) - (i4)((u4)b << 3);
    return r - a / (b | 1) + a % 7;
}
static i4 select_greater(i4 a, i4 b) {
    i4 mask = a > b;
    return (a & mask) | (b & ~mask);
}
static i4 clamp(i4 a) {
    i4 low = a < -100, high = a > 100;
    return (low & -100) | (high & 100) | (a & ~(low | high));
}
static i4 shuffle(i4 a, i4 b) { return __builtin_shufflevector(a, b, 0, 5, 2, 7) - __builtin_shufflevector(b, a, 3, 2, 1, 0); }
static int dot(i4 a, i4 b) {
    i4 p = a * b;
    return p[0] + p[1] + p[2] + p[3];
}
static b16 saturate(b16 a, b16 b) {
    b16 sum = a + b;
    return sum | (b16)(sum < a);
}
static s8 widen(const int8_t *p) {
    s8 r = {p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7]};
    return r * r - r;
}
static void to_double(i4 a, d4 *out) { *out = __builtin_convertvector(a, d4) * 0.5; }
static f4 transpose_row(const f4 m[4], int k) { return (f4){m[0][k], m[1][k], m[2][k], m[3][k]}; }
static i4 set_lane(i4 v, int lane, int value) {
    v[lane & 3] = value;
    return v;
}

int main(void) {
    volatile int seed = 12345;
    uint32_t x = (uint32_t)seed;
    i4 total = {0, 0, 0, 0};
    for (int round = 0; round < 30; round++) {
        i4 a, b;
        for (int i = 0; i < 4; i++) {
            x = x * 1103515245 + 12345;
            a[i] = (int32_t)(x >> 12) % 2000 - 1000;
            x = x * 1103515245 + 12345;
            b[i] = (int32_t)(x >> 14) % 500 - 250;
        }
        mix_i4(arithmetic(a, b));
        i4 greater = select_greater(a, b), limited = clamp(a);
        for (int i = 0; i < 4; i++) {
            CHECK(greater[i] == (a[i] > b[i] ? a[i] : b[i]));
            CHECK(limited[i] == (a[i] < -100 ? -100 : a[i] > 100 ? 100 : a[i]));
        }
        mix_i4(greater);
        mix_i4(shuffle(a, b));
        mix((uint64_t)dot(a, b));
        CHECK(dot(a, b) == a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3]);
        d4 half;
        to_double(a, &half);
        CHECK(half[0] * 2 == a[0] && half[3] * 2 == a[3] && half[1] - half[2] == (a[1] - a[2]) * 0.5);
        total += set_lane(a, round, b[0]);
        mix_i4((i4)(a == b) + (i4)(a <= b) * 2 + (i4)((u4)a < (u4)b) * 4);
        i2 low = {a[0], b[3]};
        low = -low * 5;
        mix((uint64_t)(low[0] - low[1]));
    }
    mix_i4(total);

    b16 bytes;
    int8_t small[16];
    for (int i = 0; i < 16; i++) bytes[i] = (uint8_t)(i * 17), small[i] = (int8_t)(i * 19 - 100);
    b16 sum = saturate(bytes, bytes + 100);
    for (int i = 0; i < 16; i++) {
        unsigned second = (bytes[i] + 100u) & 255, plain = bytes[i] + second;
        CHECK(sum[i] == (plain > 255 ? 255 : plain));
        mix(sum[i]);
    }
    s8 squares = widen(small + 3);
    for (int i = 0; i < 8; i++) CHECK(squares[i] == small[i + 3] * small[i + 3] - small[i + 3]);
    f4 matrix[4] = {{1, 2, 3, 4}, {5, 6, 7, 8}, {9, 10, 11, 12}, {13, 14, 15, 16}};
    f4 column = transpose_row(matrix, seed & 3);
    CHECK(column[0] == 2 && column[1] == 6 && column[2] == 10 && column[3] == 14);
    f4 scaled = column * 2 - matrix[2];
    CHECK(scaled[0] == -5 && scaled[3] == 16);
    l2 wide = {INT64_MIN, 5};
    l2 shifted = wide >> 60;
    CHECK(shifted[0] == -8 && shifted[1] == 0 && (wide < 0)[0] == -1 && (wide < 0)[1] == 0);
    return finish("vectors_ext", UINT64_C(0x41693a4b8b5f3ae9));
}
