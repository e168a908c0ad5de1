/* Exercises: va_arg of all types: small and large structs, floats in structs, long double, __int128, complex numbers, vectors, pointers, many of each, va_copy. */
#include <complex.h>
#include <inttypes.h>
#include <stdarg.h>
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

typedef float float4 __attribute__((vector_size(16)));
struct small { short a, b; };
struct pair { long a; int b; };
struct floats { float x, y; };
struct three_floats { float x, y, z; };
struct mixed { double d; int i; };
struct large { long values[5]; };
struct nested { struct small s; struct floats f; };
struct empty_tail { char c[3]; };

__attribute__((noinline)) static uint64_t read_all(const char *kinds, va_list list) {
    uint64_t sum = 1;
    for (const char *k = kinds; *k; k++) {
        sum *= 31;
        switch (*k) {
        case 'i': sum += (uint64_t)(unsigned)va_arg(list, int); break;
        case 'l': sum += va_arg(list, unsigned long); break;
        case 'd': sum += (uint64_t)(int64_t)(va_arg(list, double) * 16); break;
        case 'D': sum += (uint64_t)(int64_t)(va_arg(list, long double) * 8); break;
        case 'q': { unsigned __int128 q = va_arg(list, unsigned __int128); sum += (uint64_t)q ^ (uint64_t)(q >> 64); break; }
        case 's': { struct small s = va_arg(list, struct small); sum += (uint64_t)(s.a * 1000 + s.b); break; }
        case 'p': { struct pair p = va_arg(list, struct pair); sum += (uint64_t)(p.a * 3 - p.b); break; }
        case 'f': { struct floats f = va_arg(list, struct floats); sum += (uint64_t)(int64_t)(f.x * 4 - f.y); break; }
        case 't': { struct three_floats f = va_arg(list, struct three_floats); sum += (uint64_t)(int64_t)(f.x + f.y * 2 + f.z * 4); break; }
        case 'm': { struct mixed m = va_arg(list, struct mixed); sum += (uint64_t)(int64_t)(m.d * 2) + (uint64_t)m.i; break; }
        case 'L': { struct large l = va_arg(list, struct large); for (int i = 0; i < 5; i++) sum = sum * 3 + (uint64_t)l.values[i]; break; }
        case 'n': { struct nested n = va_arg(list, struct nested); sum += (uint64_t)n.s.a + (uint64_t)n.s.b * 7 + (uint64_t)(int64_t)(n.f.x - n.f.y * 2); break; }
        case 'e': { struct empty_tail e = va_arg(list, struct empty_tail); sum += (uint64_t)(e.c[0] + e.c[1] * 2 + e.c[2] * 3); break; }
        case 'c': { double _Complex c = va_arg(list, double _Complex); sum += (uint64_t)(int64_t)(creal(c) * 4 + cimag(c)); break; }
        case 'v': { float4 v = va_arg(list, float4); sum += (uint64_t)(int64_t)(v[0] + v[1] * 2 + v[2] * 3 + v[3] * 5); break; }
        case 'z': { const char *z = va_arg(list, const char *); sum += strlen(z) * 5 + (uint64_t)*z; break; }
        case 'h': { int (*h)(int) = va_arg(list, int (*)(int)); sum += (uint64_t)h(9); break; }
        }
    }
    return sum;
}
__attribute__((noinline)) static uint64_t sum_of(const char *kinds, ...) {
    va_list list, again;
    va_start(list, kinds);
    va_copy(again, list);
    uint64_t once = read_all(kinds, list), twice = read_all(kinds, again);
    va_end(again);
    va_end(list);
    CHECK(once == twice);
    return once;
}
static int ninth(int x) { return x / 3; }
__attribute__((noinline)) static double weighted(int n, ...) {
    va_list list;
    double total = 0;
    va_start(list, n);
    for (int i = 0; i < n; i++) {
        int weight = va_arg(list, int);
        double value = va_arg(list, double);
        if (weight < 0) continue;
        total += weight * value;
    }
    va_end(list);
    return total;
}

int main(void) {
    struct small s = {3, -4};
    struct pair p = {1L << 33, 17};
    struct floats f = {1.25f, -2.0f};
    struct three_floats t = {1, 2, 3};
    struct mixed m = {2.5, 42};
    struct large l = {{1, -2, 3, -4, 5}};
    struct nested n = {{5, 6}, {7, 8}};
    struct empty_tail e = {{1, 2, 3}};
    float4 v = {1, 2, 3, 4};
    unsigned __int128 q = ((unsigned __int128)0x1234 << 80) + 99;
    mix(sum_of("iiiiiiiiii", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10));
    mix(sum_of("dddddddddd", 1., 2., 3., 4., 5., 6., 7., 8., 9., 10.5));
    mix(sum_of("idldidldid", 1, 2.5, 3UL, 4.5, -5, 6.25, 7UL, 8., 9, 10.));
    mix(sum_of("spfmtLne", s, p, f, m, t, l, n, e));
    mix(sum_of("spspspsp", s, p, s, p, s, p, s, p));
    mix(sum_of("ffffffffff", f, f, f, f, f, f, f, f, f, f));
    mix(sum_of("DiDdD", 1.5L, 4, -2.25L, 1.0, 1024.125L));
    mix(sum_of("qiqiqiq", q, 1, q + 1, 2, q * 3, 3, ~q));
    mix(sum_of("cvcvi", 1.0 + 2.0 * I, v, -3.0 + 0.5 * I, v * 2, 11));
    mix(sum_of("zhzi", "text", ninth, "", 6));
    mix(sum_of("LiLdL", l, 1, l, 2.5, l));
    CHECK(sum_of("") == 1);
    CHECK(sum_of("i", 5) == 36);
    CHECK(sum_of("zh", "abc", ninth) == (31 + 15 + 97) * 31 + 3);
    CHECK(weighted(3, 2, 1.5, -1, 100.0, 4, 0.25) == 4.0);
    CHECK(weighted(6, 1, 1., 1, 2., 1, 3., 1, 4., 1, 5., 1, 6.) == 21.0);
    return finish("varargs_all_types", UINT64_C(0xd69298b04011515d));
}
