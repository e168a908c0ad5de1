/* Exercises: sparse switches on 64-bit, unsigned, signed char and short keys; case ranges; neighbours of every case. */
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


static int sparse(int64_t key) {
    switch (key) {
    case INT64_MIN: return 1;
    case -4294967296: return 2;
    case -2147483649: return 3;
    case -1: return 4;
    case 0: return 5;
    case 7: return 6;
    case 1000: return 7;
    case 2147483648: return 8;
    case 4294967296: return 9;
    case 0x123456789abcdef: return 10;
    case INT64_MAX: return 11;
    default: return 0;
    }
}

int wide_unsigned(uint64_t key) {
    switch (key) {
    case 0x8000000000000000: return 21;
    case 0xffffffffffffffff: return 22;
    case 0x00000000ffffffff: return 23;
    case 0xffffffff00000000: return 24;
    case 42: return 25;
    default: return key > 0x8000000000000000 ? 26 : 27;
    }
}

static int small_signed(signed char key) {
    switch (key) {
    case -128: return 31;
    case -127 ... -100: return 32;
    case -1: return 33;
    case 0 ... 9: return 34;
    case 60: case 62: case 64: case 66: return 35;
    case 100 ... 126: return 36;
    case 127: return 37;
    default: return 38;
    }
}

static int ranges(short key) {
    switch (key) {
    case -32768 ... -1000: return key / 100;
    case -999 ... -1: return key % 100;
    case 0: return 12345;
    case 1 ... 999: return key * 3;
    case 1000 ... 1999: return key - 5;
    case 2000 ... 32767: return key >> 2;
    }
    return -7;
}

int main(void) {
    static const int64_t keys[] = {INT64_MIN,  -4294967296, -2147483649,       -1,       0, 7, 1000,
                                   2147483648, 4294967296,  0x123456789abcdef, INT64_MAX};
    for (int i = 0; i < 11; i++) {
        CHECK(sparse(keys[i]) == i + 1);
        if (i > 0) mix((uint64_t)sparse(keys[i] - 1));
        if (i < 10) mix((uint64_t)sparse(keys[i] + 1));
        mix((uint64_t)sparse((int32_t)keys[i]));
        mix((uint64_t)wide_unsigned((uint64_t)keys[i]));
    }
    CHECK(sparse(8) == 0 && sparse(-2) == 0 && sparse(999) == 0);

    CHECK(wide_unsigned(0x8000000000000000) == 21);
    CHECK(wide_unsigned(UINT64_MAX) == 22 && wide_unsigned(UINT64_MAX - 1) == 26);
    CHECK(wide_unsigned(0xffffffff) == 23 && wide_unsigned(0x100000000) == 27);
    CHECK(wide_unsigned(0xffffffff00000000) == 24 && wide_unsigned(42) == 25);
    CHECK(wide_unsigned(0x7fffffffffffffff) == 27 && wide_unsigned(0x8000000000000001) == 26);

    int histogram[8] = {0};
    for (int c = -128; c <= 127; c++) {
        int value = small_signed((signed char)c);
        histogram[value - 31]++;
        mix((uint64_t)value);
    }
    CHECK(histogram[0] == 1 && histogram[1] == 28 && histogram[2] == 1 && histogram[3] == 10);
    CHECK(histogram[4] == 4 && histogram[5] == 27 && histogram[6] == 1 && histogram[7] == 184);

    for (int k = -32768; k <= 32767; k += 111) mix((uint64_t)ranges((short)k));
    CHECK(ranges(-1000) == -10 && ranges(-999) == -99 && ranges(-1) == -1 && ranges(0) == 12345);
    CHECK(ranges(999) == 2997 && ranges(1000) == 995 && ranges(1999) == 1994 && ranges(2000) == 500);
    CHECK(ranges(32767) == 8191 && ranges(-32768) == -327);
    return finish("switch_sparse_64bit", UINT64_C(0x33c74beba9980f5f));
}
