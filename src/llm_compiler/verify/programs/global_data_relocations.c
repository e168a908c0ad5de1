/* Exercises: global data: structs of pointers, relocated tables, string tables, const and mutable statics, common storage, back links. */
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

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


struct city {
    const char *name;
    const struct city *neighbours[3];
    int population;
    int (*tax)(int);
};
static int flat(int x) { return x * 2; }
static int steep(int x) { return x > 100 ? x * 5 - 300 : x; }
static const struct city north, south, east;
static const struct city north = {"north", {&south, &east, NULL}, 120, flat};
static const struct city south = {"south", {&north, NULL, NULL}, 300, steep};
static const struct city east = {"east", {&south, &north, &east}, 45, flat};
static const struct city *const atlas[] = {&north, &south, &east, &north};

/* Equal strings may be merged, equal tails too; their contents must stay. */
static const char *const words[] = {"reader", "ader", "der", "reader", "", "er"};
static char writable[] = "reader";
static int numbers[8] = {[2] = 20, [5] = 50, [7] = -70};
int *cursor = &numbers[5];
static int *const ends[2] = {numbers, numbers + 8};
static const unsigned char table2[3][4] = {{1, 2, 3, 4}, {5, 6, 7, 8}, {9, 10, 11, 12}};
static const unsigned char *const rows[] = {table2[2], table2[0] + 1, &table2[1][3]};
uint64_t tentative;
static _Bool switched;
static double ratios[4] = {0.5, -0.25};
static const wchar_t wide[] = L"w\u00efde";
static struct {
    char tag;
    int64_t value;
    struct { short s; float f; } inner[2];
} bundle = {'t', -5, {{1, 1.5f}, {-2, 0.25f}}};

static int next_ticket(void) {
    static int ticket = 40;
    static int step;
    step++;
    return ticket += step;
}
static int visit(const struct city *c, int depth) {
    int sum = c->tax(c->population);
    mix((uint64_t)sum + strlen(c->name));
    if (depth == 0) return sum;
    for (int i = 0; i < 3 && c->neighbours[i]; i++) sum += visit(c->neighbours[i], depth - 1) * (i + 1);
    return sum;
}
static const char *name_of(int code) {
    static const char *const names[] = {"zero", "one", "two"};
    return code >= 0 && code < 3 ? names[code] : code < 0 ? "negative" : "many";
}

int main(void) {
    for (int i = 0; i < 4; i++) mix((uint64_t)visit(atlas[i], i));
    CHECK(visit(&south, 0) == 1200 && visit(&north, 1) == 240 + 1200 + 90 * 2);
    CHECK(atlas[0] == atlas[3] && atlas[0] != atlas[1] && east.neighbours[2] == &east);
    for (int i = 0; i < 6; i++) {
        mix(strlen(words[i]));
        for (const char *p = words[i]; *p; p++) mix((uint64_t)*p);
    }
    CHECK(strcmp(words[0], words[3]) == 0 && strcmp(words[0] + 2, words[1]) == 0 && words[4][0] == '\0');
    writable[0] = 'l';
    CHECK(strcmp(writable, "leader") == 0 && strcmp(words[0], "reader") == 0 && sizeof writable == 7);

    CHECK(*cursor == 50 && cursor[2] == -70 && cursor[-3] == 20 && numbers[0] == 0);
    *cursor++ += 5;
    *cursor-- = 6;
    cursor -= 3;
    CHECK(numbers[5] == 55 && numbers[6] == 6 && cursor == &numbers[2] && ends[1] - ends[0] == 8);
    int sum = 0;
    for (int *p = ends[0]; p < ends[1]; p++) sum = sum * 2 + *p;
    CHECK(sum == (20 * 32 + 55 * 4 + 6 * 2 - 70));
    CHECK(rows[0][0] == 9 && rows[1][2] == 4 && rows[1][0] == 2 && rows[2][0] == 8);
    for (int r = 0; r < 3; r++)
        for (int c = 0; c < 4; c++) mix(table2[r][c] * (unsigned)(r + 1));
    CHECK(tentative == 0 && !switched && ratios[2] == 0 && ratios[1] == -0.25);
    tentative = ~tentative;
    switched = tentative > 5;
    ratios[3] = ratios[0] - ratios[1];
    CHECK(switched && tentative + 1 == 0 && ratios[3] == 0.75);
    CHECK(wide[1] == 0xef && wide[4] == 0 && sizeof wide / sizeof *wide == 5);
    CHECK(bundle.tag == 't' && bundle.value == -5 && bundle.inner[1].s == -2 && bundle.inner[1].f == 0.25f && bundle.inner[0].f == 1.5f);
    CHECK(next_ticket() == 41 && next_ticket() == 43 && next_ticket() == 46);
    volatile int code = 1;
    CHECK(strcmp(name_of(code), "one") == 0 && strcmp(name_of(-code), "negative") == 0 && strcmp(name_of(code + 2), "many") == 0);
    return finish("global_data_relocations", UINT64_C(0x35c4a83270411cf1));
}
