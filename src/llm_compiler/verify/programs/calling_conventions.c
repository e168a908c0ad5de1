/* Exercises: other calling conventions: preserve_most, preserve_all, ms_abi, vectorcall, regcall, swiftcall with error and context, vector procedure call; through pointers and in loops. */
#include <inttypes.h>
#include <stdarg.h>
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

#pragma clang diagnostic ignored "-Wunknown-attributes"
#define KEEP __attribute__((noinline))
#if defined(__x86_64__)
#define ABI_A __attribute__((ms_abi))
#define ABI_B __attribute__((vectorcall))
#define ABI_C __attribute__((regcall))
#elif defined(__aarch64__)
#define ABI_A __attribute__((aarch64_vector_pcs))
#define ABI_B
#define ABI_C
#else
#define ABI_A
#define ABI_B
#define ABI_C
#endif
#define MOST __attribute__((preserve_most))
#define ALL __attribute__((preserve_all))
#define SWIFT __attribute__((swiftcall))

static int seen;
KEEP MOST static void log_rare(int a, int b) { seen = (int)((unsigned)seen * 31u + (unsigned)a - (unsigned)b); }
KEEP ALL static void log_never(int a) { seen = (int)((unsigned)seen + (unsigned)a); }
KEEP MOST static int rare_value(int a, long b, short c) { return a * 2 + (int)b - c; }
KEEP ABI_A static long foreign(int a, double b, long c, float d, int e, long f) { return a + (long)(b * 2) - c * 3 + (long)d + e * f; }
KEEP ABI_B static double vectors(double a, float b, int c, double d) { return a * 2 - (double)b + c * d; }
KEEP ABI_C static int registers(int a, int b, int c, int d, int e, int f, int g, int h) { return a - b + c * d - e + f * g - h; }

struct state { int total, calls; };
KEEP SWIFT static int swift_add(int a, int b, __attribute__((swift_context)) struct state *self) {
    self->calls++;
    self->total += a - b;
    return self->total;
}
KEEP SWIFT static int swift_divide(int a, int b, __attribute__((swift_context)) struct state *self, __attribute__((swift_error_result)) void **error) {
    self->calls += 10;
    if (b == 0) {
        *error = self;
        return 0;
    }
    return a / b;
}
static int many_calls(int n) {
    int a = 1, b = 2, c = 3, d = 4;
    long e = 5, f = 6;
    for (int i = 0; i < n; i++) {
        log_rare(a, i);
        if (i % 3 == 1) log_never(b);
        a = (int)((unsigned)a + (unsigned)(b ^ i));
        b = (int)((unsigned)c - (unsigned)d + (unsigned)i);
        c = (int)((unsigned)c + (unsigned)rare_value(a, e, (short)d));
        d = (int)(f - e) + (a & 15);
        e += registers(a & 7, b & 7, c & 7, d & 7, i, 2, 3, 4);
        f ^= foreign(i, i * 0.5, a & 63, 2.5f, 3, e & 31);
        log_never(d);
    }
    return (int)((unsigned)a + 3u * (unsigned)b + 5u * (unsigned)c + 7u * (unsigned)d + (unsigned)e + (unsigned)f);
}
typedef MOST int (*most_pointer)(int, long, short);
typedef ABI_A long (*foreign_pointer)(int, double, long, float, int, long);
KEEP static int through(most_pointer p, foreign_pointer q, int n) {
    int sum = 0;
    for (int i = 0; i < n; i++) sum += p(i, i * 2, (short)i) * 3 + (int)q(n, i, i, 1.0f, i, n);
    return sum;
}
KEEP static int swift_user(int n) {
    struct state s = {0, 0};
    int failures = 0;
    for (int i = 0; i < n; i++) {
        void *error = 0;
        int got = swift_add(i * 5, i, &s) + swift_divide(100, i - 2, &s, &error);
        if (error) failures += 1000;
        failures += got & 255;
    }
    return failures + s.calls;
}
KEEP static int variadic(int n, ...) {
    va_list list;
    va_start(list, n);
    int sum = 0;
    while (n-- > 0) sum = sum * 3 + va_arg(list, int);
    va_end(list);
    return sum;
}

int main(void) {
    CHECK(rare_value(10, 5, 3) == 22);
    CHECK(foreign(1, 2.5, 3, 4.5f, 5, 6) == 1 + 5 - 9 + 4 + 30);
    CHECK(vectors(1.5, 2.0f, 3, 4.25) == 3.0 - 2.0 + 12.75);
    CHECK(registers(1, 2, 3, 4, 5, 6, 7, 8) == 1 - 2 + 12 - 5 + 42 - 8);
    mix((uint64_t)(unsigned)many_calls(1));
    mix((uint64_t)(unsigned)many_calls(25));
    mix((uint64_t)(unsigned)seen);
    mix((uint64_t)(unsigned)through(rare_value, foreign, 9));
    CHECK(swift_user(3) == 60 * 0 + 1000 + ((0 - 50) & 255) + ((4 - 100) & 255) + (12 & 255) + 33);
    mix((uint64_t)(unsigned)swift_user(8));
    CHECK(variadic(3, 1, 2, 3) == 18);
    return finish("calling_conventions", UINT64_C(0x0faf637223d9a4c0));
}
