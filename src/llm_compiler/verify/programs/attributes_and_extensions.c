/* Exercises: cleanup attribute, statement expressions, expect, assume, unreachable, const/pure/noreturn functions, exit paths, _Generic, designators. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
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


static int cleaned;
static void clean(int *p) { cleaned = cleaned * 10 + *p; }
static int scoped(int n) {
    int first __attribute__((cleanup(clean))) = 1;
    for (int i = 2; i < 5; i++) {
        int inner __attribute__((cleanup(clean))) = i;
        if (n == i) return inner * 100;
        if (n == 10 * i) break;
        if (n == 9) continue;
        inner += 3;
    }
    return first - 2;
}
__attribute__((const, noinline)) static int square(int x) { return x * x; }
static int factor = 3;
__attribute__((pure, noinline)) static int scaled(int x) { return x * factor; }
__attribute__((noreturn, noinline, cold)) static void leave(int code) { _exit(code); }
static int checked(int x) {
    if (__builtin_expect(x < 0, 0)) leave(40 - x);
    return x - 1;
}
static int divide_assumed(unsigned x) {
    __builtin_assume(x % 4 == 0);
    return (int)(x / 4) - (int)(x & 3);
}
static int three_kinds(unsigned k) {
    switch (k) {
    case 0: return 5;
    case 1: return -6;
    case 2: return 70;
    }
    __builtin_unreachable();
}
#define LARGER(a, b) ({ __typeof__(a) a_ = (a); __typeof__(b) b_ = (b); a_ > b_ ? a_ : b_; })
#define SIZE_NAME(x) _Generic((x), int: 1, unsigned: 2, double: 3, const char *: 4, char *: 5, int64_t: 6, default: 9)
static int effects;
static int next(void) { return ++effects; }
static int conditional(int x) { return x ?: -7; }
static int child_status(int x) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) _exit(checked(x));
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child) return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -2;
}
struct options { int level; double ratio; int list[6]; struct { int x, y; } at; };

int main(void) {
    static const int order[][2] = {{2, 21}, {3, 531}, {4, 5641}, {20, 21}, {9, 2341}, {0, 5671}};
    static const int results[] = {200, 300, 400, -1, -1, -1};
    for (int i = 0; i < 6; i++) {
        cleaned = 0;
        CHECK(scoped(order[i][0]) == results[i]);
        CHECK(cleaned == order[i][1]);
        mix((uint64_t)cleaned);
    }
    int sum = 0;
    for (volatile int i = -5; i < 6; i++) {
        sum += square(i) - square(-i) + square(3);
        factor = i;
        sum = sum * 2 + scaled(5);
        factor++;
        sum -= scaled(5);
        mix((uint64_t)sum);
    }
    CHECK(square(-12) == 144 && checked(8) == 7 && divide_assumed(96) == 24);
    for (volatile unsigned k = 0; k < 3; k++) mix((uint64_t)three_kinds(k));
    CHECK(three_kinds(1) == -6 && three_kinds(2) == 70);
    CHECK(LARGER(next(), next()) == 2 && effects == 2 && LARGER(-1, -2) == -1 && LARGER(2.5, 2) == 2.5);
    CHECK(LARGER(LARGER(3, 9), LARGER(4, 5)) == 9);
    CHECK(SIZE_NAME(1) == 1 && SIZE_NAME(2u) == 2 && SIZE_NAME(0.5) == 3 && SIZE_NAME((char *)0) == 5 && SIZE_NAME(1.0f) == 9);
    CHECK(conditional(0) == -7 && conditional(4) == 4 && (next() ?: 5) == 3 && effects == 3);
    CHECK(child_status(30) == 29 && child_status(-2) == 42 && child_status(1) == 0);
    struct options o = {.ratio = 0.5, .list = {[1] = 7, 8, [5] = -1}, .at.y = 4};
    struct options p = o;
    p.list[2] -= 3;
    CHECK(o.level == 0 && o.list[2] == 8 && p.list[2] == 5 && o.list[5] == -1 && o.list[0] == 0 && o.at.x == 0 && p.at.y == 4 && o.ratio == 0.5);
    CHECK(((int[]){4, 5, 6}[effects - 1] == 6 && ((struct options){.level = 2}).level == 2));
    int values[] = {[0 ... 3] = 2, [4] = 9};
    CHECK(values[3] == 2 && values[4] == 9 && sizeof values / sizeof *values == 5);
    return finish("attributes_and_extensions", UINT64_C(0x173defc156fee578));
}
