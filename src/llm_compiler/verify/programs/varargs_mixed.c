/* Exercises: variadic functions: integers, doubles, pointers, structs, more arguments than registers, va_copy, forwarding. */
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


struct point {
    double x, y;
};
struct large {
    int64_t values[5];
};

static int64_t sum_ints(int count, ...) {
    va_list list;
    int64_t sum = 0;
    va_start(list, count);
    for (int i = 0; i < count; i++) sum = sum * 3 + va_arg(list, int);
    va_end(list);
    return sum;
}

/* i int, l int64, d double, s string, p point, b large, c char promoted to int. */
__attribute__((noinline)) uint64_t describe(const char *format, ...) {
    uint64_t h = 7;
    va_list list, again;
    va_start(list, format);
    va_copy(again, list);
    for (const char *f = format; *f; f++) {
        h *= 131;
        switch (*f) {
        case 'i': h += (uint64_t)va_arg(list, int); break;
        case 'l': h += (uint64_t)va_arg(list, int64_t); break;
        case 'd': h += (uint64_t)(int64_t)(va_arg(list, double) * 8); break;
        case 's': h += strlen(va_arg(list, const char *)); break;
        case 'c': h += (uint64_t)(signed char)va_arg(list, int); break;
        case 'p': {
            struct point p = va_arg(list, struct point);
            h += (uint64_t)(int64_t)(p.x * 100 - p.y);
            break;
        }
        case 'b': {
            struct large b = va_arg(list, struct large);
            h += (uint64_t)(b.values[0] + b.values[4] * 2);
            break;
        }
        }
    }
    va_end(list);
    if (format[0] == 'i') h ^= (uint64_t)va_arg(again, int) << 40;
    va_end(again);
    return h;
}

static int format_list(char *out, size_t size, const char *format, va_list list) { return vsnprintf(out, size, format, list); }
static int format(char *out, size_t size, const char *text, ...) {
    va_list list;
    va_start(list, text);
    int length = format_list(out, size, text, list);
    va_end(list);
    return length;
}

static double largest(int count, va_list *list) {
    double best = -1e9;
    while (count-- > 0) {
        double x = va_arg(*list, double);
        if (x > best) best = x;
    }
    return best;
}
static double two_groups(int first, int second, ...) {
    va_list list;
    va_start(list, second);
    double a = largest(first, &list), b = largest(second, &list);
    va_end(list);
    return a - b;
}

int main(void) {
    volatile int one = 1;
    CHECK(sum_ints(0) == 0 && sum_ints(1, -5) == -5 && sum_ints(3, one, 2, 3) == 18);
    CHECK(sum_ints(10, 1, 0, 0, 0, 0, 0, 0, 0, 0, one) == 19684);
    CHECK(sum_ints(12, 1, 0, 0, 0, 0, 0, 0, 0, -2, 0, 1, 7) == 177147 - 54 + 3 + 7);

    struct point p = {1.5, 2.25}, q = {-4, 8};
    struct large b = {{1, 2, 3, 4, INT64_C(1) << 33}};
    mix(describe("idlscpb", 5, 2.5, INT64_C(-1099511627776), "seven77", (signed char)-3, p, b));
    mix(describe("iiiiiiiiiii", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, one));
    mix(describe("ddddddddddd", 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.5, 10.5, -11.5));
    mix(describe("pppppdip", p, q, p, q, p, 0.125, -one, q));
    mix(describe("bsbidl", b, "", b, -9, -0.5, INT64_MAX));
    mix(describe("ididididididididididi", 1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5, 5.5, 6, 6.5, 7, 7.5, 8, 8.5, 9, 9.5, 10, 10.5, 11));
    CHECK(describe("d", 1.5) == 7 * 131 + 12 && describe("") == 7 && describe("c", -1) == 7 * 131 - 1);

    char text[80];
    CHECK(format(text, sizeof text, "%d|%-5s|%05.1f|%x|%c|%ld|%%|%+d", -42, "ab", 3.25, 255u, 'z', 1234567890123L, one) == 39);
    CHECK(strcmp(text, "-42|ab   |003.2|ff|z|1234567890123|%|+1") == 0);
    CHECK(format(text, 6, "%s", "truncated") == 9 && strcmp(text, "trunc") == 0);
    CHECK(two_groups(2, 3, 1.5, -2.0, 0.25, 0.5, -7.0) == 1.0);
    CHECK(two_groups(9, 1, 1., 2., 3., 4., 5., 6., 7., 8., 9., 20.) == -11);
    return finish("varargs_mixed", UINT64_C(0x67cee0979f674295));
}
