/* Exercises: tables of function pointers, callbacks with context, qsort and bsearch, pointers compared and returned, dispatch by struct. */
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


typedef int (*binary)(int, int);
static int add(int a, int b) { return a + b; }
static int subtract(int a, int b) { return a - b; }
static int multiply(int a, int b) { return a * b; }
int power(int a, int b) { return b <= 0 ? 1 : a * power(a, b - 1); }
static int first(int a, int b) { return (void)b, a; }

static const struct operation {
    char sign;
    binary apply;
    int neutral;
} operations[] = {{'+', add, 0}, {'-', subtract, 0}, {'*', multiply, 1}, {'^', power, 1}, {'1', first, -1}};

static binary lookup(char sign) {
    for (unsigned i = 0; i < sizeof operations / sizeof *operations; i++)
        if (operations[i].sign == sign) return operations[i].apply;
    return NULL;
}
static int fold(const int *p, int n, binary f, int start) {
    while (n-- > 0) start = f(start, *p++);
    return start;
}
static binary choose(int which) { return which < 0 ? subtract : which == 0 ? add : multiply; }

struct item {
    const char *name;
    int rank;
};
static int comparisons;
static int by_rank(const void *a, const void *b) {
    const struct item *x = a, *y = b;
    comparisons++;
    return x->rank != y->rank ? (x->rank > y->rank) - (x->rank < y->rank) : strcmp(x->name, y->name);
}
static int by_name_down(const void *a, const void *b) { return -strcmp(((const struct item *)a)->name, ((const struct item *)b)->name); }

struct shape;
struct methods {
    int (*area)(const struct shape *);
    void (*grow)(struct shape *, int);
};
struct shape {
    const struct methods *methods;
    int width, height;
};
static int square_area(const struct shape *s) { return s->width * s->width; }
static int box_area(const struct shape *s) { return s->width * s->height; }
static void grow_both(struct shape *s, int by) { s->width += by, s->height += by; }
static void grow_width(struct shape *s, int by) { s->width += by * 2; }
static const struct methods square = {square_area, grow_width}, box = {box_area, grow_both};

static void each(int n, void (*visit)(int, void *), void *context) {
    for (int i = 0; i < n; i++) visit(i, context);
}
static void collect(int i, void *context) {
    int *out = context;
    out[0] += i;
    out[1] = out[1] * 3 + i;
}
static int (*(*volatile chain)(int))(int, int) = choose;

int main(void) {
    const int values[] = {2, 3, 1, 2};
    for (int i = 0; i < 5; i++) {
        const struct operation *o = &operations[i];
        mix((uint64_t)fold(values, 4, o->apply, o->neutral));
        mix((uint64_t)o->apply(i + 2, i - 1));
    }
    CHECK(fold(values, 4, lookup('-'), 0) == -8 && fold(values, 4, lookup('*'), 1) == 12 && lookup('?') == NULL);
    CHECK(lookup('+') == add && lookup('-') != add && chain(-1)(5, 9) == -4 && chain(0)(5, 9) == 14 && chain(1)(5, 9) == 45);
    CHECK(power(2, 10) == 1024 && power(-3, 3) == -27 && fold(values, 2, power, 2) == 64);

    struct item items[] = {{"pear", 3}, {"fig", 1}, {"apple", 3}, {"kiwi", -2}, {"plum", 9}, {"date", 1}};
    qsort(items, 6, sizeof *items, by_rank);
    static const char *const order[] = {"kiwi", "date", "fig", "apple", "pear", "plum"};
    for (int i = 0; i < 6; i++) CHECK(strcmp(items[i].name, order[i]) == 0);
    CHECK(comparisons >= 5);
    const struct item key = {"apple", 3}, missing = {"apple", 4};
    CHECK(bsearch(&key, items, 6, sizeof *items, by_rank) == items + 3 && bsearch(&missing, items, 6, sizeof *items, by_rank) == NULL);
    qsort(items, 6, sizeof *items, by_name_down);
    for (int i = 0; i < 6; i++) mix((uint64_t)items[i].rank * 100 + (uint64_t)items[i].name[0]);
    CHECK(items[0].rank == 9 && items[5].rank == 3);

    struct shape shapes[] = {{&square, 3, 0}, {&box, 3, 4}, {&square, 5, 5}};
    int area = 0;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 3; i++) {
            shapes[i].methods->grow(&shapes[i], round);
            area += shapes[i].methods->area(&shapes[i]) * (i + 1);
            mix((uint64_t)area);
        }
        shapes[round].methods = shapes[round].methods == &box ? &square : &box;
    }
    int out[2] = {0, 0};
    each(5, collect, out);
    CHECK(out[0] == 10 && out[1] == ((1 * 3 + 2) * 3 + 3) * 3 + 4);
    return finish("function_pointer_tables", UINT64_C(0x3b50f200f289e3b9));
}
