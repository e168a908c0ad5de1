/* Exercises: optnone, noinline, flatten, noduplicate, convergent, nomerge, no tail calls, unpredictable branches, artificial barriers. */
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

static int events[128];
static int num_events;
__attribute__((noinline)) static void note(int what) { if (num_events < 128) events[num_events++] = what; }

__attribute__((optnone, noinline)) static int untouched(int n) {
    int sum = 0;
    for (int i = 0; i < n; i++) sum += i & 1 ? i : -i * 2;
    return sum;
}
__attribute__((convergent, noinline)) static int together(int lane, int value) {
    note(lane * 100 + value);
    return lane ^ value;
}
__attribute__((noduplicate, noinline)) static int once(int value) {
    note(value + 1000);
    return value * 2 + 1;
}
static int branches(int n) {
    int result = 0;
    for (int i = 0; i < n; i++) {
        if (i % 3 == 0) result += together(i, 1);
        else if (i % 3 == 1) result += together(i, 2);
        else result -= once(i);
        if (__builtin_unpredictable(i & 4)) result ^= once(result & 7);
    }
    return result;
}
__attribute__((noreturn, noinline, cold)) static void unreachable_end(int line) {
    printf("reached %d\n", line);
    __builtin_trap();
}
static int merged_or_not(int a) {
    switch (a) {
    case 1: __attribute__((nomerge)) note(7); break;
    case 2: __attribute__((nomerge)) note(7); break;
    case 3: __attribute__((nomerge)) note(8); return -1;
    case 9: unreachable_end(__LINE__);
    case 10: unreachable_end(__LINE__);
    default: note(9); break;
    }
    return a * 5;
}
static inline int helper_a(int x) { return x * 3 + 1; }
static inline int helper_b(int x) { return helper_a(x) - (x >> 1); }
__attribute__((flatten)) static int flat(int x) { return helper_a(helper_b(x)) + helper_b(helper_a(x)); }
__attribute__((disable_tail_calls, noinline)) static int no_tail(int n) { return n <= 0 ? 3 : no_tail(n - 2); }
__attribute__((not_tail_called, noinline)) static int not_a_tail(int n) { return n * 9 - 4; }
static int calls_it(int n) { return not_a_tail(n + 1); }
__attribute__((minsize)) static unsigned small(unsigned x) { for (int i = 0; i < 5; i++) x = (x << 3 | x >> 29) + (unsigned)i; return x; }
__attribute__((always_inline)) static inline int inlined(int x) { return x < 0 ? -x : x; }
__attribute__((hot)) static int hot_loop(const int *p, int n) { int s = 0; while (n-- > 0) s += inlined(*p++); return s; }
static int loop_hints(int *values, int n) {
    int sum = 0;
#pragma clang loop unroll(disable)
    for (int i = 0; i < n; i++) sum += values[i] * i;
#pragma clang loop vectorize(enable) interleave_count(2)
    for (int i = 0; i < n; i++) values[i] = values[i] * 2 + 1;
#pragma clang loop unroll_count(3)
    for (int i = n; i-- > 0;) sum ^= (int)((unsigned)values[i] << (i % 5));
#pragma clang loop distribute(enable)
    for (int i = 1; i < n; i++) { values[i] += values[i - 1]; sum += values[i] & 3; }
    return sum;
}

int main(void) {
    CHECK(untouched(10) == 25 - 40);
    mix((uint64_t)(unsigned)branches(17));
    for (int a = 0; a < 5; a++) mix((uint64_t)(unsigned)merged_or_not(a));
    CHECK(merged_or_not(3) == -1);
    CHECK(flat(5) == 3 * (16 - 2) + 1 + (3 * 16 + 1) - 8);
    CHECK(no_tail(9) == 3);
    CHECK(calls_it(2) == 23);
    mix(small(12345));
    int values[13];
    for (int i = 0; i < 13; i++) values[i] = (i * 7 % 11) - 5;
    CHECK(hot_loop(values, 11) == 30);
    mix((uint64_t)(unsigned)hot_loop(values, 13));
    mix((uint64_t)(unsigned)loop_hints(values, 13));
    for (int i = 0; i < 13; i++) mix((uint64_t)(unsigned)values[i]);
    CHECK(num_events > 20);
    for (int i = 0; i < num_events; i++) mix((uint64_t)(unsigned)events[i]);
    return finish("optimiser_barriers", UINT64_C(0xe304facf13a65327));
}
