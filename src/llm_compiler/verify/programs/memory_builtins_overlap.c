/* Exercises: memcpy, memmove (overlapping, both ways), memset, memcmp, memchr of constant and variable sizes, struct copies. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
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


static unsigned char area[128];
static void refill(void) {
    for (unsigned i = 0; i < sizeof area; i++) area[i] = (unsigned char)(i * 7 + 3);
}
static unsigned char original(unsigned i) { return (unsigned char)(i * 7 + 3); }

static void mix_area(void) {
    for (unsigned i = 0; i < sizeof area; i += 8) {
        uint64_t word = 0;
        for (unsigned k = 0; k < 8; k++) word = word << 8 | area[i + k];
        mix(word);
    }
}
static int sign(int x) { return (x > 0) - (x < 0); }

struct record {
    int id;
    char name[13];
    double weight;
    short tail[3];
};

static void constant_sizes(unsigned char *to, const unsigned char *from) {
    memcpy(to, from, 1);
    memcpy(to + 1, from + 2, 2);
    memcpy(to + 3, from + 5, 3);
    memcpy(to + 6, from + 9, 4);
    memcpy(to + 10, from + 14, 7);
    memcpy(to + 17, from + 22, 8);
    memcpy(to + 25, from + 31, 16);
    memset(to + 41, 0xff, 5);
    memset(to + 46, 0, 9);
}

int main(void) {
    static const unsigned offsets[][3] = {{0, 5, 40}, {5, 0, 40}, {10, 10, 20}, {64, 0, 64}, {0, 1, 127}, {1, 0, 127}, {30, 20, 0}, {8, 3, 1}};
    for (int i = 0; i < 8; i++) {
        unsigned to = offsets[i][0], from = offsets[i][1], n = offsets[i][2];
        refill();
        CHECK(memmove(area + to, area + from, n) == area + to);
        for (unsigned k = 0; k < sizeof area; k++)
            CHECK(area[k] == (k >= to && k < to + n ? original(k - to + from) : original(k)));
        mix_area();
        refill();
        memset(area + to, (int)(n + 300), n);
        for (unsigned k = 0; k < sizeof area; k++)
            CHECK(area[k] == (k >= to && k < to + n ? (unsigned char)(n + 300) : original(k)));
        mix_area();
    }
    refill();
    constant_sizes(area + 64, area);
    mix_area();
    CHECK(area[64] == original(0) && area[65] == original(2) && area[104] == original(46) && area[105] == 0xff && area[118] == 0);

    volatile size_t n = 4;
    CHECK(sign(memcmp("abcd", "abce", n)) == -1 && sign(memcmp("abcd", "abca", n)) == 1 && memcmp("abcd", "abcx", 3) == 0);
    CHECK(sign(memcmp("\x7f", "\x80", 1)) == -1 && memcmp("x", "y", 0) == 0);
    CHECK(sign(memcmp("12345678", "12345679", 8)) == -1 && sign(memcmp("\xff\0", "\0\xff", 2)) == 1);
    const char *text = "find the t";
    CHECK(memchr(text, 't', 10) == text + 5 && memchr(text, 't', 5) == NULL && memchr(text, '\0', 11) == text + 10);
    CHECK(memchr(text, 't' + 256, n + 6) == text + 5);

    struct record a = {7, "gold", 19.25, {1, -2, 3}}, b, c = {0};
    b = a;
    b.id++;
    c = b;
    c.tail[1] = 99;
    memcpy(c.name + 4, " coin", 6);
    CHECK(a.id == 7 && b.id == 8 && c.id == 8 && b.tail[1] == -2 && c.tail[1] == 99 && c.weight == 19.25);
    CHECK(strcmp(b.name, "gold") == 0 && strcmp(c.name, "gold coin") == 0);
    struct record many[4];
    for (int i = 0; i < 4; i++) many[i] = i & 1 ? a : c;
    memmove(many + 1, many, 3 * sizeof *many);
    CHECK(many[0].tail[1] == 99 && many[1].tail[1] == 99 && many[2].tail[1] == -2 && many[3].tail[1] == 99);

    unsigned char *heap = calloc(10, 5);
    CHECK(heap != NULL && heap[0] == 0 && heap[49] == 0);
    memset(heap, 0x42, 50);
    heap = realloc(heap, 500);
    CHECK(heap[0] == 0x42 && heap[49] == 0x42);
    memcpy(heap + 100, heap + 10, 40);
    CHECK(heap[100] == 0x42 && heap[139] == 0x42);
    free(heap);
    return finish("memory_builtins_overlap", UINT64_C(0x46e6501b4a860aac));
}
