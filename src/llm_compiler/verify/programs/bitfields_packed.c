/* Exercises: bit-fields signed and unsigned across bytes, packed structs, unions with bit-fields, stores that keep neighbours. */
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


struct flags {
    unsigned a : 1, b : 3, c : 12;
    signed d : 5;
    unsigned e : 11;
    signed int f : 17;
    uint64_t g : 40;
    int64_t h : 24;
    unsigned char i : 7;
    _Bool j : 1;
};
struct __attribute__((packed)) packed {
    signed char kind;
    uint32_t value;
    int16_t delta;
    uint64_t serial;
    unsigned low : 6;
    unsigned high : 10;
};
union view {
    uint32_t word;
    struct {
        uint32_t blue : 5, green : 6, red : 5, alpha : 16;
    };
};
static struct flags global = {1, 5, 0xabc, -7, 1000, -40000, UINT64_C(0x123456789a), -1, 99, 1};

static void mix_flags(const struct flags *x) {
    mix(x->a + x->b * 3u + x->c * 5u + x->e * 7u);
    mix((uint64_t)x->d * 11 + (uint64_t)x->f * 13);
    mix(x->g + (uint64_t)x->h + x->i + x->j * 1000u);
}

static void update(struct flags *x, int k) {
    x->a ^= 1;
    x->b += (unsigned)k;
    x->c = x->c << 1 | (unsigned)x->a;
    x->d = -16 + k % 32;
    x->e -= 3;
    x->f = x->f < 0 ? x->f + k * 10 : x->f - k;
    x->g = x->g * 5 + 1;
    x->h = -x->h + k;
    x->i++;
    x->j = x->b > x->a;
}

static int64_t read_packed(const struct packed *p) { return p->kind * 2 + p->value - p->delta + (int64_t)p->serial + p->low * 3 - p->high; }

int main(void) {
    CHECK(global.a == 1 && global.b == 5 && global.c == 0xabc && global.d == -7 && global.e == 1000);
    CHECK(global.f == -40000 && global.g == UINT64_C(0x123456789a) && global.h == -1 && global.i == 99 && global.j);
    for (int k = 0; k < 60; k++) {
        update(&global, k);
        mix_flags(&global);
        CHECK(global.b < 8 && global.d >= -16 && global.d <= 15 && global.d == -16 + k % 32);
    }
    struct flags local;
    memset(&local, 0, sizeof local);
    volatile int minus = -1;
    local.d = 15 & minus;
    local.h = minus;
    CHECK(local.d == 15 && local.a == 0 && local.c == 0 && local.e == 0 && local.h == -1 && local.g == 0);
    local.c = 0xfffu;
    local.e = 2047u & (unsigned)minus;
    local.d = 0;
    CHECK(local.c == 4095 && local.e == 2047 && local.d == 0 && local.b == 0 && local.f == 0);
    local.g = UINT64_MAX >> 24;
    local.g++;
    CHECK(local.g == 0 && local.h == -1 && local.i == 0);
    CHECK(++local.b == 1 && local.b-- == 1 && local.b == 0 && (local.i = 100) == 100);

    CHECK(sizeof(struct packed) == 17);
    struct packed list[3] = {{-1, 0xdeadbeef, -300, UINT64_C(1) << 50, 33, 1000}, {5, 1, 2, 3, 4, 5}};
    list[2] = list[0];
    list[2].serial -= list[1].serial;
    list[2].high -= 100;
    list[1].low = list[0].high & 63;
    for (int i = 0; i < 3; i++) mix((uint64_t)read_packed(&list[i]));
    CHECK(read_packed(&list[0]) == -2 + 0xdeadbeefLL + 300 + (INT64_C(1) << 50) + 99 - 1000);
    CHECK(list[2].value == 0xdeadbeef && list[2].high == 900 && list[2].low == 33 && list[1].low == 40 && list[1].high == 5);

    union view v = {.word = 0};
    v.red = 31;
    CHECK(v.word == 0xf800);
    v.green = 0x2a;
    v.blue = 0x11;
    v.alpha = 0x8001;
    CHECK(v.word == 0x8001fd51);
    v.word = ~v.word;
    CHECK(v.red == 0 && v.green == 0x15 && v.blue == 0x0e && v.alpha == 0x7ffe);
    return finish("bitfields_packed", UINT64_C(0xd4bce1c8fe2dcbbf));
}
