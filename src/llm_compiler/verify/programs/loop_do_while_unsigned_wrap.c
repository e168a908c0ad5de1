/* Exercises: do/while, countdown, unsigned wrap of 8/16/32/64-bit induction variables, non-unit strides, mixed widths. */
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


static volatile unsigned start8 = 250;

static unsigned count_until_wrap(unsigned char from, unsigned char step) {
    unsigned trips = 0;
    unsigned char i = from, previous;
    do {
        previous = i;
        i += step;
        trips++;
    } while (i > previous);
    return trips * 256 + i;
}

uint32_t wrap16(uint16_t i, uint16_t end, uint16_t stride) {
    uint32_t sum = 0;
    for (; i != end; i = (uint16_t)(i + stride)) sum = sum * 31 + i;
    return sum;
}

static uint64_t countdown(unsigned n) {
    uint64_t product = 1;
    while (n-- > 0) product = product * 3 + n;
    return product ^ n; /* n has wrapped to UINT_MAX */
}

static int trips_signed(int from, int to, int step) {
    int trips = 0;
    if (step > 0)
        for (int i = from; i < to; i += step) trips++;
    else
        for (int i = from; i >= to; i += step) trips--;
    return trips;
}

static uint64_t mixed(uint64_t limit) {
    uint64_t sum = 0;
    uint32_t j = 0xfffffff0;
    int16_t k = 100;
    for (uint64_t i = 0; i < limit; i += 3, j++, k = (int16_t)(k - 7)) sum += i * j + (uint64_t)(int64_t)k;
    return sum;
}

static unsigned until_zero(unsigned x) {
    unsigned steps = 0;
    do {
        x = x & 1 ? x - 1 : x >> 1;
        steps++;
    } while (x);
    return steps;
}

int main(void) {
    CHECK(count_until_wrap((unsigned char)start8, 1) == 6 * 256);
    CHECK(count_until_wrap(255, 1) == 256);
    CHECK(count_until_wrap(0, 0) == 256);
    CHECK(count_until_wrap(1, 100) == 3 * 256 + 45);
    for (unsigned from = 0; from < 256; from += 15)
        for (unsigned step = 0; step < 256; step += 17) mix(count_until_wrap((unsigned char)from, (unsigned char)step));

    CHECK(wrap16(65534, 2, 1) == ((65534u * 31 + 65535) * 31 + 0) * 31 + 1);
    CHECK(wrap16(5, 5, 1) == 0);
    mix(wrap16(65000, 120, 4));
    mix(wrap16(7, 3, 0x8004));

    CHECK(countdown(0) == (UINT64_C(1) ^ 0xffffffff));
    CHECK(countdown(1) == (UINT64_C(3) ^ 0xffffffff));
    CHECK(countdown(2) == (UINT64_C(12) ^ 0xffffffff));
    for (unsigned n = 3; n < 60; n += 5) mix(countdown(n));

    volatile int end = 10;
    CHECK(trips_signed(0, end, 3) == 4 && trips_signed(0, 9, 3) == 3 && trips_signed(1, 1, 1) == 0);
    CHECK(trips_signed(end, 0, -1) == -11 && trips_signed(end, 0, -5) == -3 && trips_signed(0, 1, -1) == 0);
    CHECK(trips_signed(INT32_MAX - 10, INT32_MAX, 1) == 10);
    CHECK(trips_signed(INT32_MIN + 10, INT32_MIN + 1, -2) == -5);
    CHECK(trips_signed(-5, 5, 4) == 3);

    for (uint64_t limit = 0; limit < 100; limit += 11) mix(mixed(limit));
    CHECK(mixed(1) == 100 && mixed(4) == 193 + UINT64_C(3) * 0xfffffff1);

    CHECK(until_zero(0) == 1 && until_zero(1) == 1 && until_zero(2) == 2 && until_zero(255) == 15);
    for (unsigned x = 3; x < 0x10000; x = x * 3 + 2) mix(until_zero(x));
    CHECK(until_zero(0x80000000) == 32 && until_zero(5) == 4 && until_zero(9) == 5);
    return finish("loop_do_while_unsigned_wrap", UINT64_C(0x0a92df2d8bd26a75));
}
