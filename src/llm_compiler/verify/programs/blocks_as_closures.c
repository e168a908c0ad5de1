/* flags: -fblocks */
/* Exercises: blocks: captured copies, __block variables, blocks as arguments and in tables, nested blocks; the few runtime symbols are defined here. */
#include <inttypes.h>
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

void *_NSConcreteStackBlock[32], *_NSConcreteGlobalBlock[32];
void _Block_object_assign(void *to, const void *from, const int flags);
void _Block_object_dispose(const void *object, const int flags);
void _Block_object_assign(void *to, const void *from, const int flags) { (void)flags; *(const void **)to = from; }
void _Block_object_dispose(const void *object, const int flags) { (void)object; (void)flags; }

typedef int (^unary)(int);
__attribute__((noinline)) static int apply(unary f, int x) { return f(x); }
__attribute__((noinline)) static int fold(const int *values, int n, int start, int (^step)(int, int)) {
    for (int i = 0; i < n; i++) start = step(start, values[i]);
    return start;
}
__attribute__((noinline)) static void each(int n, void (^body)(int)) { for (int i = 0; i < n; i++) body(i); }
static unary global_block = ^(int x) { return x * 7; };

static int captured_by_copy(int a) {
    unary f = ^(int x) { return x + a; };
    a += 100;
    return apply(f, 1) + a;
}
static int shared_variable(int n) {
    __block int sum = 0, calls = 0;
    each(n, ^(int i) {
        sum += i * i;
        calls++;
    });
    return sum * 100 + calls;
}
static int nested_blocks(int a, int b) {
    __block int count = 0;
    int (^outer)(int) = ^(int x) {
        int (^inner)(int) = ^(int y) {
            count += 1;
            return y * a + x;
        };
        return inner(x + b) + inner(b);
    };
    int result = outer(3) - outer(-2);
    return result * 10 + count;
}
struct triple { long a; short b; char c[10]; };
static long captures_struct(struct triple t) {
    long (^f)(void) = ^{ return t.a * t.b + t.c[2]; };
    t.a = 0;
    return f();
}

int main(void) {
    static const int values[] = {3, 1, 4, 1, 5, 9, 2, 6};
    CHECK(apply(global_block, 6) == 42);
    CHECK(captured_by_copy(5) == 6 + 105);
    int base = 10;
    CHECK(fold(values, 8, 0, ^(int a, int b) { return a * 2 + b + base; }) == fold(values, 8, 0, ^(int a, int b) { return b + base + a + a; }));
    mix((uint64_t)fold(values, 8, 1, ^(int a, int b) { return a > b ? a - b : b * base - a; }));
    CHECK(shared_variable(5) == 3005);
    CHECK(nested_blocks(2, 3) == ((2 * 6 + 3 + 2 * 3 + 3) - (2 * 1 - 2 + 2 * 3 - 2)) * 10 + 4);
    struct triple t = {1000, 3, "abcdef"};
    CHECK(captures_struct(t) == 3000 + 'c');
    unary table[] = {^(int x) { return x + 1; }, ^(int x) { return x * base; }, global_block};
    int x = 2;
    for (int i = 0; i < 9; i++) x = table[i % 3](x) % 1000;
    mix((uint64_t)x);
    return finish("blocks_as_closures", UINT64_C(0x22d073b801ab2c2e));
}
