/* Exercises: functions for other features of the processor than the rest, chosen at run time: calls between them, loops and tables in them, one clone for each. */
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

#if defined(__x86_64__)
#define WIDE __attribute__((target("avx2")))
#define MIDDLE __attribute__((target("sse4.2,popcnt")))
static int has_wide(void) { return __builtin_cpu_supports("avx2"); }
static int has_middle(void) { return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("popcnt"); }
#elif defined(__aarch64__)
#include <sys/auxv.h>
#define WIDE __attribute__((target("+lse")))
#define MIDDLE __attribute__((target("+crc")))
static int has_wide(void) { return (getauxval(AT_HWCAP) & (1ul << 8)) != 0; }
static int has_middle(void) { return (getauxval(AT_HWCAP) & (1ul << 7)) != 0; }
#else
#define WIDE
#define MIDDLE
static int has_wide(void) { return 1; }
static int has_middle(void) { return 1; }
#endif
#define BODY \
    uint32_t sum = seed; \
    for (int i = 0; i < n; i++) { \
        sum = sum * 31 + (v[i] ^ (uint32_t)i); \
        if (v[i] % 3 == 1) sum ^= (uint32_t)__builtin_popcount(v[i]) << (i % 20); \
    } \
    return sum ^ sum >> 7;

static uint32_t fold_plain(const uint32_t *v, int n, uint32_t seed) { BODY }
WIDE static uint32_t fold_wide(const uint32_t *v, int n, uint32_t seed) { BODY }
MIDDLE static uint32_t fold_middle(const uint32_t *v, int n, uint32_t seed) { BODY }

static inline uint32_t step(uint32_t x) { return (x << 5 | x >> 27) * 9 + 1; }
WIDE __attribute__((noinline)) static int scale_wide(int16_t *to, const int16_t *from, int n, int by) {
    int clipped = 0;
    for (int i = 0; i < n; i++) {
        int value = from[i] * by / 4;
        if (value > 32767) { value = 32767; clipped++; }
        if (value < -32768) { value = -32768; clipped++; }
        to[i] = (int16_t)value;
    }
    return clipped + (int)(step((uint32_t)by) & 0);
}
__attribute__((noinline)) static int scale_plain(int16_t *to, const int16_t *from, int n, int by) {
    int clipped = 0;
    for (int i = 0; i < n; i++) {
        int value = from[i] * by / 4;
        if (value > 32767) { value = 32767; clipped++; }
        if (value < -32768) { value = -32768; clipped++; }
        to[i] = (int16_t)value;
    }
    return clipped + (int)(step((uint32_t)by) & 0);
}
MIDDLE static uint32_t both(const uint32_t *v, int n) { return fold_plain(v, n, 5) + step(fold_middle(v, n, 6)); }

int main(void) {
    uint32_t v[29];
    for (int i = 0; i < 29; i++) v[i] = (uint32_t)(i * 2654435761u) >> (i % 11);
    for (int n = 0; n < 29; n += 7) {
        uint32_t plain = fold_plain(v, n, 17);
        mix(plain);
        if (has_wide()) CHECK(fold_wide(v, n, 17) == plain);
        if (has_middle()) CHECK(fold_middle(v, n, 17) == plain);
        if (has_middle()) CHECK(both(v, n) == fold_plain(v, n, 5) + step(fold_plain(v, n, 6)));
    }
    int16_t from[21], to[21], again[21];
    for (int i = 0; i < 21; i++) from[i] = (int16_t)(i * 3001 - 30000);
    int clipped = scale_plain(to, from, 21, 7);
    CHECK(clipped > 4);
    if (has_wide()) {
        CHECK(scale_wide(again, from, 21, 7) == clipped);
        for (int i = 0; i < 21; i++) CHECK(again[i] == to[i]);
    }
    for (int i = 0; i < 21; i++) mix((uint64_t)(int64_t)to[i]);
    mix((uint64_t)clipped);
    return finish("function_targets", UINT64_C(0x3ad6c19801c1d360));
}
