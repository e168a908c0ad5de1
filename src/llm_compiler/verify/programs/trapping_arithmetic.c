/* flags: -ftrapv */
/* Exercises: signed overflow that traps, in a child and caught by a handler; arithmetic that must not trap. */
#define _GNU_SOURCE
#include <inttypes.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

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

static sigjmp_buf back;
static void on_trap(int number) { siglongjmp(back, number); }

__attribute__((noinline)) static int add(int a, int b) { return a + b; }
__attribute__((noinline)) static int subtract(int a, int b) { return a - b; }
__attribute__((noinline)) static long multiply(long a, long b) { return a * b; }
__attribute__((noinline)) static int negate(int a) { return -a; }
__attribute__((noinline)) static int sum_up(const int *values, int n) {
    int sum = 0;
    for (int i = 0; i < n; i++) sum += values[i];
    return sum;
}
static volatile int reached;
__attribute__((noinline)) static int traps(int which) {
    static const int large[] = {INT_MAX - 5, 3, 2, 1, 7};
    reached = 0;
    if (sigsetjmp(back, 1) != 0) return 1;
    volatile long result = 0;
    switch (which) {
    case 0: result = add(INT_MAX, 1); break;
    case 1: result = subtract(INT_MIN, 1); break;
    case 2: result = multiply(LONG_MAX / 2, 3); break;
    case 3: result = negate(INT_MIN); break;
    case 4: result = sum_up(large, 5); break;
    case 5: result = add(INT_MAX, 0); break;
    case 6: result = subtract(-1, INT_MAX); break;
    case 7: result = multiply(LONG_MIN / 2, 2); break;
    case 8: result = negate(INT_MAX); break;
    case 9: result = sum_up(large, 3); break;
    }
    reached = 1;
    mix((uint64_t)result);
    return 0;
}

int main(void) {
    struct sigaction action = {.sa_handler = on_trap};
    sigaction(SIGILL, &action, NULL);
    sigaction(SIGTRAP, &action, NULL);
    sigaction(SIGABRT, &action, NULL);
    for (int which = 0; which < 5; which++) {
        CHECK(traps(which) == 1);
        CHECK(!reached);
    }
    for (int which = 5; which < 10; which++) {
        CHECK(traps(which) == 0);
        CHECK(reached);
    }
    unsigned u = UINT_MAX;
    u += 5;
    CHECK(u == 4);
    return finish("trapping_arithmetic", UINT64_C(0xf92cf588d10e2070));
}
