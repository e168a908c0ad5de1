/* Exercises: 128-bit add, subtract, multiply, divide, remainder, compare, conversion to and from double, printing. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

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

static void absorb(u128 x) {
    mix((uint64_t)x);
    mix((uint64_t)(x >> 64));
}

static u128 make(uint64_t high, uint64_t low) { return (u128)high << 64 | low; }

static const char *decimal(u128 x, char text[40]) {
    char *p = text + 39;
    *p = '\0';
    do {
        *--p = (char)('0' + (int)(x % 10));
        x /= 10;
    } while (x != 0);
    return p;
}

__attribute__((noinline)) u128 power(u128 base, unsigned exponent) {
    u128 result = 1;
    for (; exponent; exponent >>= 1, base *= base)
        if (exponent & 1) result *= base;
    return result;
}

static uint64_t multiply_modulo(uint64_t a, uint64_t b, uint64_t m) { return (uint64_t)((u128)a * b % m); }

static int compare(i128 a, i128 b) { return (a > b) - (a < b) + 10 * ((u128)a > (u128)b) + 20 * (a == b) + 40 * (a <= b); }

static u128 square_root(u128 x) {
    u128 low = 0, high = make(1, 0);
    while (high - low > 1) {
        u128 middle = low + (high - low) / 2;
        if (middle <= x / middle) low = middle;
        else high = middle;
    }
    return low;
}

int main(void) {
    static const uint64_t parts[] = {0, 1, 2, UINT64_MAX, UINT64_C(1) << 63, 12345678901234567u, 10};
    for (int i = 0; i < 7; i++) {
        for (int j = 0; j < 7; j++) {
            u128 a = make(parts[i], parts[j]), b = make(parts[j] >> 3, parts[(i + j) % 7] | 1);
            absorb(a + b);
            absorb(a - b);
            absorb(a * b);
            absorb(a / b);
            absorb(a % b);
            CHECK(a / b * b + a % b == a);
            i128 c = (i128)a >> 1, d = (i128)(b >> 2) + 1;
            absorb((u128)(c / d));
            absorb((u128)(c % -d));
            absorb(-a & ~b);
            mix((uint64_t)compare(c, d));
            mix((uint64_t)compare(-d, d - 1));
        }
    }
    char text[40];
    CHECK(strcmp(decimal(~(u128)0, text), "340282366920938463463374607431768211455") == 0);
    CHECK(strcmp(decimal(0, text), "0") == 0);
    volatile unsigned exponent = 38;
    CHECK(strcmp(decimal(power(10, exponent), text), "100000000000000000000000000000000000000") == 0);
    CHECK(power(3, 80) == power(power(3, 8), 10));
    CHECK(multiply_modulo(UINT64_MAX, UINT64_MAX, 1000000007) == 114944269);
    CHECK(multiply_modulo(UINT64_MAX, 2, UINT64_MAX - 1) == 2);
    CHECK(compare(-1, 1) == -1 + 10 + 40 && compare(5, 5) == 60 && compare(7, -7) == 1);
    CHECK(square_root(make(1, 0)) == UINT64_C(1) << 32 && square_root(99) == 9 && square_root(100) == 10);
    CHECK((i128)-5 / 2 == -2 && (i128)-5 % 2 == -1);

    volatile double big = 0x1p100;
    CHECK((u128)big == (u128)1 << 100);
    CHECK((double)((u128)1 << 100) == big && (double)-(i128)((u128)1 << 90) == -0x1p90);
    CHECK((i128)-1.75 == -1);
    return finish("integer_128bit", UINT64_C(0x50c828ec5da83bff));
}
