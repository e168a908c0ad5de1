/* Exercises: assumptions: assume_aligned, alloc_align, returns_nonnull, __builtin_assume in loops and branches, unreachable, likely ranges, restrict scopes. */
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

static _Alignas(64) unsigned char arena[1024];
static size_t used;

__attribute__((alloc_align(1), alloc_size(2), malloc, returns_nonnull, noinline)) static void *take(size_t align, size_t size) {
    used = (used + align - 1) / align * align;
    void *p = arena + used;
    used += size;
    return p;
}
__attribute__((assume_aligned(32), noinline)) static void *take32(size_t size) { return take(32, size); }
__attribute__((assume_aligned(64, 4), noinline)) static char *take_offset(size_t size) { return (char *)take(64, size + 4) + 4; }

static unsigned sum_aligned(const void *p, int n) {
    const unsigned *values = __builtin_assume_aligned(p, 16);
    unsigned sum = 0;
    for (int i = 0; i < n; i++) sum += values[i] * (unsigned)(i + 1);
    return sum;
}
static int divide_positive(int a, int b) {
    __builtin_assume(a >= 0);
    __builtin_assume(b > 0 && b < 1000);
    return a / b * 100 + a % b;
}
static int in_loop(const int *values, int n) {
    int best = -1;
    for (int i = 0; i < n; i++) {
        int v = values[i];
        __builtin_assume(v != 3);
        if (v > 50) {
            __builtin_assume(v <= 100);
            best = v / 25;
        } else if (v < 0) {
            __builtin_assume(v >= -8);
            best += v >> 1;
        } else {
            best += v & 7;
        }
    }
    return best;
}
static int switch_all(unsigned kind) {
    __builtin_assume(kind < 5);
    switch (kind) {
    case 0: return 10;
    case 1: return 21;
    case 2: return 32;
    case 3: return 43;
    case 4: return 54;
    }
    __builtin_unreachable();
}
__attribute__((nonnull(1), noinline)) static int first(const int *p, const int *q) { return q ? *p - *q : *p; }
static void scale(float *restrict to, const float *restrict from, int n, float by) {
    for (int i = 0; i < n; i++) to[i] = from[i] * by + to[i];
}
static int in_place(int *p, int n) {
    int *restrict inner = p + n;
    for (int i = 0; i < n; i++) inner[i] = i * i;
    {
        int *restrict again = p;
        for (int i = 0; i < n; i++) again[i] = inner[i] - 1;
    }
    return p[n - 1] + inner[0];
}
static size_t object_sizes(void *p, int which) {
    char local[24];
    char *inside = local + 8;
    if (which) inside = local + 16;
    memset(local, which, sizeof local);
    mix((uint64_t)local[3]);
    return __builtin_object_size(inside, 0) * 1000 + __builtin_object_size(inside, 2) * 10 + (__builtin_object_size(p, 0) == (size_t)-1)
        + (__builtin_constant_p(which) ? 0 : 2) * 0;
}

int main(void) {
    unsigned *a = take(16, 10 * sizeof *a);
    for (unsigned i = 0; i < 10; i++) a[i] = i * i;
    mix(sum_aligned(a, 10));
    CHECK(sum_aligned(a, 4) == 0 + 2 + 12 + 36);
    uint64_t *b = take32(64);
    CHECK((uintptr_t)b % 32 == 0);
    for (int i = 0; i < 8; i++) b[i] = (uint64_t)i << 40;
    mix(b[7]);
    char *c = take_offset(20);
    memcpy(c, "offset by four bytes", 20);
    CHECK((uintptr_t)c % 64 == 4);
    for (int i = 0; i < 20; i++) mix((uint64_t)c[i]);
    mix(used);
    CHECK(divide_positive(1234, 100) == 1234);
    CHECK(divide_positive(7, 999) == 7);
    static const int values[] = {1, 60, -3, 99, 7, -8, 2, 100, 5};
    CHECK(in_loop(values, 9) == 4 + 5);
    CHECK(in_loop(values, 7) == 3 + 7 - 4 + 2);
    for (unsigned k = 0; k < 5; k++) CHECK(switch_all(k) == (int)(10 + 11 * k));
    int x = 9, y = 4;
    CHECK(first(&x, &y) == 5);
    CHECK(first(&x, NULL) == 9);
    float to[9], from[9];
    for (int i = 0; i < 9; i++) { to[i] = (float)i; from[i] = (float)(8 - i) * 0.5f; }
    scale(to, from, 9, 4.0f);
    for (int i = 0; i < 9; i++) mix((uint64_t)(int64_t)(to[i] * 2));
    int p[16];
    CHECK(in_place(p, 8) == 48);
    volatile int which = 0;
    (void)object_sizes(p, which);
    return finish("assume_bundles", UINT64_C(0xe2a729f24504d191));
}
