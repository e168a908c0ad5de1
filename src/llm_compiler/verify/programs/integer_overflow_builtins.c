/* Exercises: overflow builtins, saturating and wrapping arithmetic, carries, add/sub/mul at the edges of 8 to 64 bits. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>

static int failed_line;
static uint64_t digest = UINT64_C(0xcbf29ce484222325);

#define CHECK(condition) \
    do { \
        if (!(condition) && failed_line == 0) failed_line = __LINE__ < 255 ? __LINE__ : 255; \
    } while (0)

static void mix(uint64_t value) {
    digest = (digest ^ value) * UINT64_C(0x100000001b3);
    digest ^= digest >> 29;
}

static int finish(const char *name, uint64_t expected) {
    printf("%s %016" PRIx64 "\n", name, digest);
    CHECK(digest == expected);
    return failed_line;
}


static volatile int opaque_zero = 0;

#define EDGE_TEST(type, low, high)                                                                       \
    static void edges_##type(void) {                                                                     \
        const type values[] = {low, (type)(low + 1), (type)(low / 2), (type)((type)0 - (low < 0)), 0, 1, \
                               2, 3, (type)(high / 3), (type)(high / 2), (type)(high / 2 + 1),           \
                               (type)(high - 1), high};                                                  \
        for (unsigned i = 0; i < 13; i++) {                                                              \
            for (unsigned j = 0; j < 13; j++) {                                                          \
                type a = (type)(values[i] + opaque_zero), b = values[j], r;                              \
                int over = __builtin_add_overflow(a, b, &r);                                             \
                mix((uint64_t)r * 2 + (unsigned)over);                                                   \
                over = __builtin_sub_overflow(a, b, &r);                                                 \
                mix((uint64_t)r * 2 + (unsigned)over);                                                   \
                over = __builtin_mul_overflow(a, b, &r);                                                 \
                mix((uint64_t)r * 2 + (unsigned)over);                                                   \
                mix((uint64_t)((a < b) + 2 * (a <= b) + 4 * (a > b) + 8 * (a >= b) + 16 * (a == b)));    \
                type least = a < b ? a : b, most = a > b ? a : b;                                        \
                mix((uint64_t)least * 3 + (uint64_t)most);                                               \
            }                                                                                            \
        }                                                                                                \
    }
EDGE_TEST(int8_t, INT8_MIN, INT8_MAX)
EDGE_TEST(uint8_t, 0, UINT8_MAX)
EDGE_TEST(int16_t, INT16_MIN, INT16_MAX)
EDGE_TEST(uint16_t, 0, UINT16_MAX)
EDGE_TEST(int32_t, INT32_MIN, INT32_MAX)
EDGE_TEST(uint32_t, 0, UINT32_MAX)
EDGE_TEST(int64_t, INT64_MIN, INT64_MAX)
EDGE_TEST(uint64_t, 0, UINT64_MAX)

static int32_t saturating_add(int32_t a, int32_t b) {
    int32_t r;
    if (!__builtin_add_overflow(a, b, &r)) return r;
    return a < 0 ? INT32_MIN : INT32_MAX;
}
static uint8_t saturating_sub8(uint8_t a, uint8_t b) { return a > b ? (uint8_t)(a - b) : 0; }
static uint16_t saturating_add16(uint16_t a, uint16_t b) {
    uint16_t sum = (uint16_t)(a + b);
    return sum < a ? UINT16_MAX : sum;
}

/* A 256-bit sum of four limbs with a carry chain. */
static unsigned add_limbs(uint64_t out[4], const uint64_t a[4], const uint64_t b[4]) {
    unsigned carry = 0;
    for (int i = 0; i < 4; i++) {
        uint64_t partial = a[i] + b[i];
        unsigned first = partial < a[i];
        out[i] = partial + carry;
        carry = first | (out[i] < partial);
    }
    return carry;
}

int main(void) {
    edges_int8_t();
    edges_uint8_t();
    edges_int16_t();
    edges_uint16_t();
    edges_int32_t();
    edges_uint32_t();
    edges_int64_t();
    edges_uint64_t();

    CHECK(saturating_add(INT32_MAX, 1) == INT32_MAX && saturating_add(INT32_MIN, -1) == INT32_MIN);
    CHECK(saturating_add(-5, 3) == -2 && saturating_add(INT32_MAX, INT32_MIN) == -1);
    CHECK(saturating_sub8(5, 6) == 0 && saturating_sub8(6, 5) == 1 && saturating_sub8(255, 0) == 255);
    CHECK(saturating_add16(65535, 1) == 65535 && saturating_add16(65535, 0) == 65535 && saturating_add16(9, 8) == 17);

    const uint64_t ones[4] = {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX}, one[4] = {1, 0, 0, 0};
    uint64_t sum[4];
    CHECK(add_limbs(sum, ones, one) == 1 && (sum[0] | sum[1] | sum[2] | sum[3]) == 0);
    CHECK(add_limbs(sum, ones, ones) == 1 && sum[0] == UINT64_MAX - 1 && sum[3] == UINT64_MAX);
    CHECK(add_limbs(sum, one, one) == 0 && sum[0] == 2 && sum[1] == 0);

    uint32_t wrapped;
    CHECK(__builtin_add_overflow(UINT64_C(0xffffffff), -1, &wrapped) == 0 && wrapped == 0xfffffffe);
    CHECK(__builtin_mul_overflow(65536, 65536, &wrapped) && wrapped == 0);
    int8_t tiny;
    CHECK(__builtin_sub_overflow(-100, 29, &tiny) && tiny == 127);
    return finish("integer_overflow_builtins", UINT64_C(0x74f199683ba3f380));
}
