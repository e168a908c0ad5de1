/* Exercises: struct arguments and results of every calling class (registers, mixed, memory), arrays in structs, chains of copies. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>

static int failed_line;
static uint64_t digest = UINT64_C(0xcbf29ce484222325);

#define CHECK(condition) \
    do { \
        if (!(condition) && failed_line == 0) failed_line = __LINE__ < 255 ? __LINE__ : 255; \
    } while (0)

__attribute__((noinline)) void mix(uint64_t value) {
    digest = (digest ^ value) * UINT64_C(0x100000001b3);
    digest ^= digest >> 29;
}

static int finish(const char *name, uint64_t expected) {
    printf("%s %016" PRIx64 "\n", name, digest);
    CHECK(digest == expected);
    return failed_line;
}


struct one { signed char c; };
struct two { int a, b; };
struct three { short s[3]; };
struct mixed { double d; int i; };
struct floats { float x, y, z; };
struct big { int64_t v[6]; char tag; };
struct nested { struct two pair; struct floats f; union { int i; float r; } u; };

static struct one make_one(int c) { return (struct one){(signed char)c}; }
static struct two swap_two(struct two p) { return (struct two){p.b, p.a}; }
__attribute__((noinline)) struct three rotate_three(struct three t) { return (struct three){{t.s[1], t.s[2], t.s[0]}}; }
__attribute__((noinline)) struct mixed scale(struct mixed m, double by) {
    m.d *= by;
    m.i -= (int)by;
    return m;
}
static struct floats cross(struct floats a, struct floats b) {
    return (struct floats){a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x};
}
__attribute__((noinline)) struct big shift_big(struct big b, int by) {
    struct big r = b;
    for (int i = 0; i < 6; i++) r.v[i] = b.v[(i + by) % 6] + by;
    r.tag = (char)(b.tag + 1);
    b.v[0] = 999; /* the callee's copy */
    return r;
}
static struct nested change(struct nested n, struct one c, struct big b) {
    n.pair = swap_two(n.pair);
    n.pair.a += c.c;
    n.f.y = (float)b.v[2];
    n.u.i ^= (int)b.v[5];
    return n;
}
/* More arguments than registers, of different kinds. */
__attribute__((noinline)) static int64_t many(int a, double b, struct two c, struct mixed d, long e, float f, struct floats g, short h,
                                              struct one i, struct big j, unsigned char k, int64_t l, double m, int n) {
    return a + (int64_t)(b * 2) * 3 + c.a * 5 - c.b * 7 + (int64_t)d.d * 11 + d.i * 13 + e * 17 + (int64_t)f * 19 + (int64_t)(g.x - g.z) * 23 +
           h * 29 + i.c * 31 + j.v[3] * 37 + k * 41 + l * 43 + (int64_t)m * 47 + n * 53;
}
static struct big sum_list(const struct big *list, int n) {
    struct big total = {{0}, 'a'};
    for (int i = 0; i < n; i++) {
        struct big item = list[i];
        for (int k = 0; k < 6; k++) total.v[k] += item.v[k];
        total.tag = total.tag < item.tag ? item.tag : total.tag;
    }
    return total;
}

int main(void) {
    volatile int three = 3;
    struct two p = swap_two((struct two){1, three});
    CHECK(p.a == 3 && p.b == 1);
    struct three t = {{1, 2, (short)(three - 6)}};
    t = rotate_three(rotate_three(t));
    CHECK(t.s[0] == -3 && t.s[1] == 1 && t.s[2] == 2);
    struct mixed m = scale((struct mixed){2.5, 100}, three);
    CHECK(m.d == 7.5 && m.i == 97);
    struct floats x = {1, 0, 0}, y = {0, 2, 0}, z = cross(x, y), back = cross(y, x);
    CHECK(z.x == 0 && z.y == 0 && z.z == 2 && back.z == -2);
    struct big b = {{10, 20, 30, 40, 50, 60}, 'q'};
    for (int by = 0; by < 7; by++) {
        struct big r = shift_big(b, by);
        CHECK(r.v[0] == b.v[by % 6] + by && r.v[5] == b.v[(5 + by) % 6] + by && r.tag == 'r');
        for (int i = 0; i < 6; i++) mix((uint64_t)r.v[i]);
    }
    CHECK(b.v[0] == 10 && b.tag == 'q');
    b = shift_big(shift_big(b, 1), 2); /* result and argument are one object */
    CHECK(b.v[0] == 43 && b.v[3] == 13 && b.v[5] == 33 && b.tag == 's');
    struct nested n = {{7, 8}, {1, 2, 3}, {.i = 0x55}};
    struct nested changed = change(n, make_one(-three), b);
    CHECK(changed.pair.a == 5 && changed.pair.b == 7 && changed.f.x == 1 && changed.f.y == (float)b.v[2] && changed.f.z == 3);
    CHECK(changed.u.i == (0x55 ^ 33) && n.pair.a == 7 && n.f.y == 2);
    int64_t total = many(1, 2.5, p, m, -4, 6, (struct floats){9, 8, 7}, -5, make_one(-128), b, 250, INT64_C(1) << 40, -3, three);
    CHECK(total == 1 + 15 + 15 - 7 + 77 + 1261 - 68 + 114 + 46 - 145 - 3968 + 37 * 13 + 10250 + (INT64_C(43) << 40) - 141 + 159);
    struct big list[5];
    for (int i = 0; i < 5; i++) list[i] = shift_big(b, i);
    struct big sum = sum_list(list, 5);
    for (int i = 0; i < 6; i++) mix((uint64_t)sum.v[i]);
    CHECK(sum.tag == 't' && sum_list(list, 0).tag == 'a' && sum_list(list, 1).v[0] == 43);
    return finish("aggregate_return", UINT64_C(0x170813b9f76e0123));
}
