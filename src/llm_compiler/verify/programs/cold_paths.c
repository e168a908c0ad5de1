/* flags: -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fstack-clash-protection */
/* Exercises: cold and unlikely paths (with calls, loops, variadic calls, allocas and addresses of locals), hardened buffers, error handling by goto. */
#include <inttypes.h>
#include <stdarg.h>
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

static char report[256];
static int reports;
__attribute__((cold, noinline, format(printf, 1, 2))) static void complain(const char *format, ...) {
    va_list list;
    va_start(list, format);
    size_t used = strlen(report);
    vsnprintf(report + used, sizeof report - used, format, list);
    va_end(list);
    reports++;
}
__attribute__((cold)) static int recover(int *value, int limit) {
    int steps = 0;
    while (*value > limit) { *value -= limit / 2 + 1; steps++; }
    complain("r%d;", steps);
    return steps;
}
static int parse_digits(const char *text, int *out) {
    int value = 0;
    for (const char *p = text; *p; p++) {
        if (__builtin_expect(*p < '0' || *p > '9', 0)) {
            char quoted[4] = {'\'', *p, '\'', 0};
            complain("%s@%d;", quoted, (int)(p - text));
            if (*p == '!') goto fatal;
            continue;
        }
        value = value * 10 + (*p - '0');
        if (__builtin_expect(value > 1000, 0)) {
            int steps = recover(&value, 1000);
            if (steps > 3) return -steps;
        }
    }
    *out = value;
    return 0;
fatal:
    complain("fatal %d;", value);
    *out = -value;
    return -1;
}
static int average(const int *values, int n) {
    if (__builtin_expect(n == 0, 0)) {
        complain("empty;");
        return 0;
    }
    long sum = 0;
    for (int i = 0; i < n; i++) {
        if (__builtin_expect_with_probability(values[i] < 0, 0, 0.999)) {
            int replaced = -values[i];
            complain("neg %d;", values[i]);
            recover(&replaced, 50);
            sum += replaced;
            continue;
        }
        sum += values[i];
    }
    return (int)(sum / n);
}
static int with_array(int n) {
    char line[64];
    char copy[64];
    int total = 0;
    for (int i = 0; i < n; i++) {
        snprintf(line, sizeof line, "%d:%x", i * 37, i * 1000);
        strcpy(copy, line);
        if (__builtin_expect(i % 5 == 4, 0)) {
            memset(copy, '0' + i % 10, 3);
            complain("%c", copy[1]);
        }
        for (char *p = copy; *p; p++) total = (int)((unsigned)total * 3 + (unsigned)*p);
    }
    return total;
}

int main(void) {
    int value = 0;
    CHECK(parse_digits("1234x5", &value) == -13);
    mix((uint64_t)(unsigned)value);
    CHECK(parse_digits("12!4", &value) == -1 && value == -12);
    CHECK(parse_digits("77", &value) == 0 && value == 77);
    mix((uint64_t)(unsigned)parse_digits("999999999", &value));
    static const int values[] = {10, -20, 30, -400, 50};
    mix((uint64_t)average(values, 5));
    CHECK(average(values, 1) == 10);
    CHECK(average(values, 0) == 0);
    mix((uint64_t)(unsigned)with_array(12));
    puts(report);
    for (char *p = report; *p; p++) mix((uint64_t)*p);
    mix((uint64_t)reports);
    return finish("cold_paths", UINT64_C(0xdf6b9dbf841cf32d));
}
