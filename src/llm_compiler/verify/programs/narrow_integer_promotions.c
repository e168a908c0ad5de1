/* Exercises: promotions and truncations of 8 and 16 bits, sign and zero extension, mixed signedness, compound assignment, enums, _Bool. */
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


static volatile signed char sc = -100;
static volatile unsigned char uc = 200;
static volatile short ss = -30000;
static volatile unsigned short us = 60000;
enum level { LOW = -3, MIDDLE, HIGH = 40 };

static int8_t add8(int8_t a, int8_t b) { return (int8_t)(a + b); }
static uint8_t subtract8(uint8_t a, uint8_t b) { return (uint8_t)(a - b); }
int16_t multiply16(int16_t a, int16_t b) { return (int16_t)((uint32_t)a * (uint32_t)b); }
static uint16_t average(uint16_t a, uint16_t b) { return (uint16_t)((a + b) / 2); }
static int64_t extend(uint32_t bits) { return (int64_t)(int8_t)bits * 1000000 + (int64_t)(int16_t)bits * 1000 - (uint8_t)bits + (uint16_t)(bits >> 8); }
static _Bool truth(int x) { return x; }
static int not_twice(int x) { return !!x + !x * 2; }
static unsigned complement(uint8_t x) { return (unsigned)(~x & 0xff) + (unsigned)(uint8_t)-x * 256; }
static int sign_bits(int16_t x) { return (x < 0) + ((uint16_t)x >> 15) * 2 + (x >> 15) * -4; }

int main(void) {
    CHECK(sc + uc == 100 && sc - uc == -300 && sc * uc == -20000 && sc / 7 == -14 && sc % 7 == -2 && uc / -9 == -22);
    CHECK(ss + us == 30000 && (int16_t)us == -5536 && (uint16_t)ss == 35536 && (uint8_t)sc == 156 && (int8_t)uc == -56);
    CHECK((unsigned)sc > 1000u && sc < (int)uc && (uint8_t)sc < uc && (unsigned)ss > us && sc >> 2 == -25 && uc >> 2 == 50);
    CHECK(add8(100, 100) == -56 && add8(-128, -1) == 127 && subtract8(3, 5) == 254 && multiply16(300, 300) == 24464 && multiply16(-181, 181) == 32775 - 65536 + 0);
    CHECK(average(65535, 65533) == 65534 && average(1, 2) == 1);
    uint32_t x = 0x1234abcd;
    for (int i = 0; i < 200; i++) {
        mix((uint64_t)extend(x));
        mix((uint64_t)add8((int8_t)x, (int8_t)(x >> 8)));
        mix(subtract8((uint8_t)x, (uint8_t)(x >> 8)));
        mix((uint64_t)multiply16((int16_t)x, (int16_t)(x >> 16)));
        mix(average((uint16_t)x, (uint16_t)(x >> 16)));
        mix(complement((uint8_t)x));
        mix((uint64_t)sign_bits((int16_t)(x >> 9)));
        mix((uint64_t)((int8_t)x < (int16_t)(x >> 16)) + 2u * ((uint8_t)x < (uint16_t)(x >> 16)) + 4u * ((int8_t)x == (uint8_t)x) + 8u * ((int8_t)x <= (int8_t)(x >> 24)));
        x = x * 22695477 + 1;
    }
    CHECK(extend(0x80ff) == -1000000 + -32513 * 1000 - 255 + 0x80);
    CHECK(truth(256) == 1 && truth(0) == 0 && truth(-1) == 1 && not_twice(7) == 1 && not_twice(0) == 2);
    CHECK(complement(0) == 0xff && complement(1) == 0xfffe && sign_bits(-1) == 7 && sign_bits(1) == 0);
    signed char c = 127;
    c++;
    CHECK(c == -128);
    c -= 3;
    CHECK(c == 125);
    c *= 3;
    CHECK(c == 119);
    c <<= 1;
    CHECK(c == -18);
    c /= 4;
    CHECK(c == -4);
    unsigned char u = 250;
    u += 10;
    CHECK(u == 4 && --u == 3 && (u ^= 0xf0) == 0xf3 && (u >>= 4) == 15 && (u = (unsigned char)-u) == 241 && (u %= 16) == 1);
    unsigned short w = 0;
    CHECK(w-- == 0 && w == 65535 && ++w == 0 && (w |= 0x8001) == 0x8001 && (w = (unsigned short)(w << 1)) == 2);
    enum level level = LOW;
    int count = 0;
    for (; level <= 1; level = (enum level)(level + 1)) count += level;
    CHECK(count == -5 && MIDDLE == -2 && HIGH > MIDDLE && level == 2);
    _Bool flag = 0;
    flag |= 4;
    CHECK(flag == 1 && (flag ^= 1) == 0 && !flag);
    CHECK((int64_t)(int32_t)0x80000000u == -2147483648LL && (uint64_t)(uint32_t)-1 == 0xffffffff && (uint64_t)-1 > 0xffffffff);
    return finish("narrow_integer_promotions", UINT64_C(0xba3a61dd6c949f33));
}
