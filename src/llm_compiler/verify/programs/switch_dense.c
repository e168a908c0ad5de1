/* Exercises: dense switches (jump table, value table, default, gaps, negative base) on int and unsigned char. */
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


enum colour { RED, ORANGE, YELLOW, GREEN, BLUE, INDIGO, VIOLET };

/* Every case only yields a constant: a lookup table in the optimiser. */
static int constant_table(int key) {
    switch (key) {
    case 0: return 17;
    case 1: return -3;
    case 2: return 256;
    case 3: return 99;
    case 4: return 0;
    case 5: return -100000;
    case 6: return 5;
    case 8: return 6;
    default: return -1;
    }
}

/* Cases with different bodies: a jump table. */
__attribute__((noinline)) int64_t apply(int operation, int64_t a, int64_t b) {
    switch (operation) {
    case -3: return a + b;
    case -2: return a - b;
    case -1: return a * b;
    case 0: return b != 0 ? a / b : 0;
    case 1: return b != 0 ? a % b : 1;
    case 2: return a & b;
    case 3: return a | b;
    case 4: return a ^ b;
    case 5: return a < b;
    case 6: return a >= b;
    case 7: return (int64_t)((uint64_t)a << (b & 31));
    case 8: return a >> (b & 31);
    default: return operation;
    }
}

static unsigned byte_class(unsigned char c) {
    switch (c) {
    case 'a': case 'e': case 'i': case 'o': case 'u': return 1;
    case '0': case '1': case '2': case '3': case '4':
    case '5': case '6': case '7': case '8': case '9': return 2;
    case ' ': case '\t': case '\n': return 3;
    case 0xff: return 4;
    case 0x80: return 5;
    default: return 0;
    }
}

static int wavelength(enum colour c) {
    switch (c) {
    case RED: return 700;
    case ORANGE: return 620;
    case YELLOW: return 580;
    case GREEN: return 530;
    case BLUE: return 470;
    case INDIGO: return 440;
    case VIOLET: return 410;
    }
    return 0;
}

int main(void) {
    static const int expected[] = {-1, 17, -3, 256, 99, 0, -100000, 5, -1, 6, -1, -1};
    volatile int shift = 1;
    for (int i = 0; i < 12; i++) {
        int value = constant_table(i - shift);
        CHECK(value == expected[i]);
        mix((uint64_t)value);
    }
    CHECK(constant_table(3) == 99);
    CHECK(constant_table(INT32_MIN) == -1);

    for (int operation = -6; operation <= 10; operation++)
        for (int64_t a = -21; a <= 21; a += 7)
            for (int64_t b = -3; b <= 5; b += 2) mix((uint64_t)apply(operation, a, b));
    CHECK(apply(-2, 5, 9) == -4);
    CHECK(apply(0, -7, 2) == -3 && apply(1, -7, 2) == -1);
    CHECK(apply(8, -16, 2) == -4 && apply(7, 3, 4) == 48);
    CHECK(apply(9, 1, 1) == 9 && apply(-4, 1, 1) == -4);

    unsigned count[6] = {0};
    for (unsigned c = 0; c < 256; c++) count[byte_class((unsigned char)c)]++;
    CHECK(count[1] == 5 && count[2] == 10 && count[3] == 3 && count[4] == 1 && count[5] == 1);
    CHECK(count[0] == 236);

    int sum = 0;
    for (int c = RED; c <= VIOLET; c++) {
        sum = sum * 3 + wavelength((enum colour)c);
        mix((uint64_t)sum);
    }
    CHECK(sum == 700 * 729 + 620 * 243 + 580 * 81 + 530 * 27 + 470 * 9 + 440 * 3 + 410);
    return finish("switch_dense", UINT64_C(0x622da363d76f1aff));
}
