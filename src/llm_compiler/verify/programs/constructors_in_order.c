/* Exercises: constructors and destructors with priorities, aliases, weak symbols, sections with start and stop symbols, ifuncs, common storage, used statics. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
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

static char order[16];
static int placed;
static void place(char c) { if (placed < 15) order[placed++] = c; }
static int checked, destroyed;

__attribute__((constructor(300))) static void third(void) { place('c'); }
__attribute__((constructor(102))) static void first(void) { place('a'); }
__attribute__((constructor)) static void last(void) { place('d'); }
__attribute__((constructor(201))) static void second(void) { place('b'); }
static int table[4];
__attribute__((constructor(250))) static void fill(void) { for (int i = 0; i < 4; i++) table[i] = placed * 10 + i; }

__attribute__((destructor(300))) static void undo_third(void) { if (checked && destroyed++ != 1) _exit(201); }
__attribute__((destructor(102))) static void undo_first(void) { if (checked && destroyed++ != 2) _exit(202); }
__attribute__((destructor)) static void undo_last(void) { if (checked && destroyed++ != 0) _exit(203); }

/* A registry made by the linker. */
struct entry { const char *name; int (*run)(int); };
static int twice(int x) { return x * 2; }
static int square(int x) { return x * x; }
static int negate(int x) { return -x; }
#define ENTRY(f) static const struct entry entry_##f __attribute__((used, retain, section("constructors_entries"))) = {#f, f}
ENTRY(twice);
ENTRY(square);
ENTRY(negate);
extern const struct entry __start_constructors_entries[], __stop_constructors_entries[];

int weak_value __attribute__((weak)) = 17;
__attribute__((weak, noinline)) int weak_function(int x) { return x + weak_value; }
extern int nobody_defines_this(int) __attribute__((weak));
int original(int x);
__attribute__((noinline)) int original(int x) { return x * 11; }
extern int other_name(int x) __attribute__((alias("original")));
static int hidden_counter __attribute__((used)) = 3;
int visible __attribute__((visibility("hidden"))) = 23;
int tentative;
const int constant_table[] = {1, 1, 2, 3, 5, 8};

static int implementation_a(int x) { return x + 1; }
static int implementation_b(int x) { return x + 2; }
static int (*resolve(void))(int) { return sizeof(void *) == 8 ? implementation_b : implementation_a; }
__attribute__((ifunc("resolve"))) int dispatched(int x);

int main(void) {
    CHECK(placed == 4);
    CHECK(order[0] == 'a' && order[1] == 'b' && order[2] == 'c' && order[3] == 'd');
    for (int i = 0; i < 4; i++) { CHECK(table[i] == 20 + i); mix((uint64_t)table[i]); }
    int sum = 0, entries = 0;
    for (const struct entry *e = __start_constructors_entries; e < __stop_constructors_entries; e++) {
        sum += e->run(7) * (e->name[0] == 'n' ? 100 : 1);
        entries++;
    }
    CHECK(entries == 3);
    CHECK(sum == 14 + 49 - 700);
    CHECK(weak_function(3) == 20);
    weak_value = 4;
    CHECK(weak_function(3) == 7);
    CHECK(!nobody_defines_this);
    CHECK(other_name(4) == 44);
    CHECK(other_name(2) + original(1) == 33);
    CHECK(++hidden_counter == 4 && visible == 23);
    tentative += 5;
    CHECK(tentative == 5);
    for (int i = 0; i < 6; i++) mix((uint64_t)(constant_table[i] * visible));
    CHECK(dispatched(5) == 7);
    for (int i = 0; i < 3; i++) sum += dispatched(i);
    CHECK(sum == -637 + 9);
    checked = 1;
    return finish("constructors_in_order", UINT64_C(0x7819f46fc2e07d27));
}
