/* Exercises: functions that return twice, in loops: setjmp, _setjmp, sigsetjmp, one by another name; what they count, print and return. */
#define _GNU_SOURCE
#include <inttypes.h>
#include <setjmp.h>
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

static jmp_buf top, inner_mark;
static sigjmp_buf with_mask;
static int errors, entered;

/* The same function under a name that says nothing: the attribute alone tells. */
extern int checkpoint(jmp_buf where) __asm__("_setjmp") __attribute__((returns_twice));

static void step(int n) {
    char line[200];
    snprintf(line, sizeof line, "step %d after %d errors", n, errors);
    puts(line);
    mix(strlen(line));
    if (errors < n) longjmp(top, 1);
}

/* Every attempt starts over until as many errors as steps were made. */
static int retried(void) {
    while (setjmp(top) != 0) errors++;
    for (int n = 1; n <= 3; n++) step(n);
    return errors;
}

__attribute__((noinline)) static void leave(int value) {
    entered++;
    longjmp(inner_mark, value);
}

/* setjmp as the head of a do loop, of a for loop, inside a switch, and in a nested loop. */
static int in_do_loop(int rounds) {
    volatile int left = rounds, sum = 0;
    do {
        int code = _setjmp(inner_mark);
        if (code == 0) leave((int)left);
        sum += code;
    } while (--left > 0);
    return sum;
}

static int in_nested_loop(int rows, int columns) {
    volatile int total = 0;
    for (volatile int r = 0; r < rows; r++)
        for (volatile int c = 0; c < columns; c++) {
            switch (setjmp(inner_mark)) {
            case 0: leave(r * 10 + c + 1); break;
            case 1: total += 1000; break;
            case 12: total += 100; break;
            default: total += r * 10 + c; break;
            }
        }
    return total;
}

static int by_another_name(int limit) {
    volatile int tries = 0;
    while (checkpoint(inner_mark) < limit) {
        tries++;
        leave(tries);
    }
    return tries * 2;
}

static int with_signal_mask(int times) {
    volatile int count = 0;
    for (;;) {
        int code = sigsetjmp(with_mask, 1);
        mix((uint64_t)code);
        if (code >= times) return count * 100 + code;
        count++;
        siglongjmp(with_mask, code + 1);
    }
}

/* The array lives in the frame that setjmp returns to again. */
static unsigned long array_in_frame(unsigned n) {
    volatile unsigned long squares[8];
    volatile unsigned i = 0;
    for (unsigned k = 0; k < 8; k++) squares[k] = 0;
    setjmp(inner_mark);
    while (i < n) {
        squares[i % 8] += (unsigned long)i * i + 1;
        i++;
        if (i % 3 == 0) leave(7);
    }
    unsigned long sum = 0;
    for (unsigned k = 0; k < 8; k++) sum = sum * 31 + squares[k];
    return sum;
}

struct scope {
    struct scope *outer;
    jmp_buf jump;
    int depth;
};
static struct scope *innermost;

static int walk(int depth, int fail_at, int hops) {
    struct scope mine = {.outer = innermost, .depth = depth};
    innermost = &mine;
    volatile int caught = 0;
    int code = setjmp(mine.jump);
    if (code != 0) {
        caught = code;
        innermost = mine.outer;
        if (caught > 1 && mine.outer) longjmp(mine.outer->jump, caught - 1);
        return 1000 * depth + caught;
    }
    int result;
    if (depth == fail_at) longjmp(innermost->jump, hops);
    result = depth < 9 ? walk(depth + 1, fail_at, hops) + 1 : 5;
    innermost = mine.outer;
    return result;
}

int main(void) {
    int got = retried();
    printf("%d\n", got);
    CHECK(got == 3);
    mix((uint64_t)got);
    CHECK(in_do_loop(5) == 15);
    CHECK(entered == 5);
    got = in_nested_loop(3, 4);
    mix((uint64_t)got);
    CHECK(got == 1000 + 100 + 1 + 2 + 3 + 10 + 12 + 13 + 20 + 21 + 22 + 23);
    CHECK(by_another_name(4) == 8);
    CHECK(with_signal_mask(6) == 606);
    mix(array_in_frame(20));
    mix(array_in_frame(2));
    CHECK(walk(0, 4, 1) == 4001 + 4);
    CHECK(walk(0, 4, 3) == 2001 + 2);
    CHECK(walk(0, 20, 1) == 5 + 9);
    mix((uint64_t)walk(2, 9, 4));
    mix((uint64_t)entered);
    return finish("setjmp_in_loops", UINT64_C(0xb61cbbe46b89d3c6));
}
