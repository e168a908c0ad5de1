/* Exercises: return addresses and frame addresses asked for in loops, on cold paths and in repeated code: they stay those of the function that asks. */
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

#define ASK __builtin_return_address(0)
typedef void *(*asker)(int);

/* The address before, in and after a loop is the same: the loop belongs to this function. */
__attribute__((noinline)) static int in_a_loop(int n) {
    void *caller = ASK;
    int same = 0;
    for (int i = 0; i < n; i++) {
        if (ASK == caller) same += i + 1;
        mix((uint64_t)(i * n));
    }
    return same + (ASK == caller) * 1000;
}
__attribute__((noinline)) static int frames(int n) {
    void *mine = __builtin_frame_address(0);
    int same = 0;
    for (int i = 1; i <= n; i++) {
        void *now = __builtin_frame_address(0);
        same += now == mine ? i : -i;
        if (i % 4 == 3) mix((uint64_t)same);
    }
    return same;
}
static int rare;
__attribute__((cold, noinline)) static void unlikely(int n) { rare += n; }
__attribute__((noinline)) static int on_a_cold_path(int n) {
    void *caller = ASK;
    if (__builtin_expect(n > 5, 0)) {
        unlikely(n);
        unlikely(caller == ASK ? 100 : 1);
        for (int i = 0; i < n; i++) rare += ASK == caller ? 2 : 1000;
        return rare;
    }
    return ASK == caller;
}
/* The same stretch of code twice in one function, and in two. */
__attribute__((noinline)) static int repeated_a(const int *v, void **seen) {
    int sum = v[0] * 3 + v[1] * 5 - v[2];
    seen[0] = ASK;
    sum ^= v[3] << 2;
    sum += v[4] * v[5];
    mix((uint64_t)(unsigned)sum);
    return sum;
}
__attribute__((noinline)) static int repeated_b(const int *v, void **seen) {
    int sum = v[0] * 3 + v[1] * 5 - v[2];
    seen[0] = ASK;
    sum ^= v[3] << 2;
    sum += v[4] * v[5];
    mix((uint64_t)(unsigned)sum);
    return sum * 2;
}
__attribute__((noinline)) static void *caller_of(int n) { return n < 0 ? NULL : ASK; }
__attribute__((noinline)) static int distinct_callers(void) {
    void *a = caller_of(1);
    mix(1);
    void *b = caller_of(2);
    mix(2);
    return (a != b) + 2 * (a != NULL) + 4 * (caller_of(-1) == NULL);
}

int main(void) {
    CHECK(in_a_loop(6) == 21 + 1000);
    CHECK(in_a_loop(0) == 1000);
    CHECK(frames(9) == 45);
    CHECK(on_a_cold_path(3) == 1);
    CHECK(on_a_cold_path(7) == 7 + 100 + 14);
    static const int v[] = {4, 7, 1, 8, 2, 8};
    void *seen[2] = {NULL, NULL};
    int sum = repeated_a(v, &seen[0]);
    sum = sum * 10 + repeated_b(v, &seen[1]);
    CHECK(seen[0] != seen[1] && seen[0] != NULL);
    mix((uint64_t)(unsigned)sum);
    CHECK(distinct_callers() == 7);
    return finish("frames_and_callers", UINT64_C(0x3aa6c839477b34c0));
}
