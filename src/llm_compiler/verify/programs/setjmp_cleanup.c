/* Exercises: setjmp/longjmp: errors through frames, nested handlers, retry loops, volatile locals, values returned. */
#include <inttypes.h>
#include <setjmp.h>
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


static jmp_buf *handler;
static char trace[64];
static int traced;

static void note(char c) {
    if (traced < 63) trace[traced++] = c;
    trace[traced] = '\0';
}

__attribute__((noreturn, noinline)) static void raise_error(int code) {
    note('!');
    longjmp(*handler, code);
}

static int checked_divide(int a, int b) {
    if (b == 0) raise_error(3);
    if (a == -1) raise_error(0); /* setjmp then returns 1 */
    return a / b;
}

static int deep(int depth, int fail_at) {
    note((char)('a' + depth));
    if (depth == fail_at) raise_error(10 + depth);
    if (depth == 6) return 0;
    int below = deep(depth + 1, fail_at);
    note((char)('A' + depth));
    return below + depth;
}

__attribute__((noinline)) static int guarded(int (*run)(int, int), int a, int b) {
    jmp_buf here, *volatile outer = handler;
    volatile int attempts = 0;
    int code = setjmp(here);
    handler = &here;
    attempts = attempts + 1;
    if (code == 0) {
        int result = run(a, b);
        handler = outer;
        return result;
    }
    handler = outer;
    return -code * 100 - attempts;
}

static int nested(int a, int b) {
    int first = guarded(checked_divide, a, b);
    note('n');
    if (first < -100) raise_error(7);
    return first * 2;
}

__attribute__((noinline)) static int retry(int failures) {
    jmp_buf here, *volatile outer = handler;
    volatile int tries = 0, sum = 0;
    int code;
    switch (code = setjmp(here)) {
    case 0: note('0'); break;
    case 1: note('1'); sum += 1; break;
    case 2: note('2'); sum += 20; break;
    default: note('?'); sum += code;
    }
    handler = &here;
    tries = tries + 1;
    if (tries <= failures) longjmp(here, tries);
    handler = outer;
    return tries * 1000 + sum;
}

int main(void) {
    volatile int zero = 0;
    CHECK(guarded(checked_divide, 84, 2) == 42);
    CHECK(guarded(checked_divide, 84, zero) == -302);
    CHECK(guarded(checked_divide, -1, 5) == -102);
    CHECK(strcmp(trace, "!!") == 0);

    traced = 0;
    CHECK(guarded(deep, 0, 9) == 15 && strcmp(trace, "abcdefgFEDCBA") == 0);
    traced = 0;
    CHECK(guarded(deep, 0, 4) == -1402 && strcmp(trace, "abcde!") == 0);
    traced = 0;
    CHECK(guarded(deep, 3, 3) == -1302 && strcmp(trace, "d!") == 0);

    traced = 0;
    CHECK(guarded(nested, 30, 4) == 14 && strcmp(trace, "n") == 0);
    CHECK(guarded(nested, 30, zero) == -702 && strcmp(trace, "n!n!") == 0);

    traced = 0;
    CHECK(retry(0) == 1000 && retry(1) == 2001 && retry(2) == 3021 && retry(4) == 5028);
    CHECK(strcmp(trace, "00101201" "2??") == 0);
    for (int i = 0; i < 9; i++) {
        mix((uint64_t)guarded(deep, i / 2, i));
        mix((uint64_t)guarded(nested, i - 2, i % 3));
        mix((uint64_t)retry(i));
    }
    CHECK(handler == NULL);
    return finish("setjmp_cleanup", UINT64_C(0xf7740592344a388e));
}
