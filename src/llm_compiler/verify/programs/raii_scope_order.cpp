/* Exercises: destruction order on every way out of a scope: return, break, continue, goto, switch, loops; temporaries; scope guards. */
#include <cinttypes>
#include <cstdint>
#include <cstdio>
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


static char trace[200];
static int traced;
static void note(char c) { if (traced < 199) trace[traced++] = c, trace[traced] = 0; }
struct Mark {
    char c;
    explicit Mark(char x) : c(x) { note(x); }
    Mark(const Mark &o) : c(char(o.c ^ 32)) { note('='); }
    ~Mark() { note(char(c == '.' ? ';' : c ^ 32)); }
    int value() const { return c; }
};
template <typename F> struct Finally { F f; ~Finally() { f(); } };
template <typename F> Finally(F) -> Finally<F>;

static int ways(int n) {
    Mark a('a');
    for (int i = 0; i < 4; i++) {
        Mark b('b');
        if (n == 0 && i == 1) continue;
        Mark c('c');
        if (n == 1 && i == 1) break;
        if (n == 2) return i;
        if (n == 3 && i == 2) goto out;
        switch (n + i) {
        case 4: { Mark d('d'); break; }
        case 5: { Mark e('e'); continue; }
        case 6: { Mark f('f'); goto out; }
        }
        if (i == 2) break;
    }
    note('1');
out:
    Mark z('z');
    return n;
}
static int temporaries(int x) {
    int r = Mark('p').value() + (x ? Mark('q').value() : Mark('r').value());
    note('2');
    if (Mark m('s'); x && m.value() == 's') note('3');
    else note('4');
    const Mark &kept = Mark('t');
    while (x-- > 0) {
        Mark w('w');
        r += w.value();
    }
    return r + kept.value();
}
static int guard(int n) {
    int result = n;
    Finally first{[&] { note('A'); result = -1; }};
    if (n > 2) return result;
    Finally second{[&] { note(char('0' + result)); }};
    result += 4;
    return result * 2;
}
static Mark make(bool first) {
    Mark a('x');
    if (first) return a;
    Mark b('y');
    return b;
}
static bool traced_as(const char *expected) {
    bool same = strcmp(trace, expected) == 0;
    for (const char *p = trace; *p; p++) mix(uint64_t(*p));
    traced = 0;
    trace[0] = 0;
    return same;
}

int main() {
    volatile int zero = 0;
    CHECK(ways(zero) == 0 && traced_as("abcCBbBbcCB1zZA"));
    CHECK(ways(zero + 1) == 1 && traced_as("abcCBbcCB1zZA"));
    CHECK(ways(zero + 2) == 0 && traced_as("abcCBA"));
    CHECK(ways(zero + 3) == 3 && traced_as("abcCBbcdDCBbcCBzZA"));
    CHECK(ways(zero + 4) == 4 && traced_as("abcdDCBbceECBbcfFCBzZA"));
    for (int n = 5; n < 9; n++) {
        mix(uint64_t(ways(n)));
        CHECK(!traced_as(""));
    }
    CHECK(temporaries(zero) == 'p' + 'r' + 't' && traced_as("prRP2s4StT"));
    mix(uint64_t(temporaries(2)));
    CHECK(!traced_as(""));
    CHECK(guard(1) == 10 && traced_as("5A") && guard(3) == 3 && traced_as("A") && guard(2) == 12 && traced_as("6A"));
    { Mark m = make(zero == 0); mix(uint64_t(m.value() & 95)); }
    CHECK(strncmp(trace, "x", 1) == 0);
    traced = 0;
    int last = 0;
    { Mark list[3] = {Mark('k'), Mark('l'), Mark('m')}; last = list[1].value(); }
    CHECK(last == 'l' && traced_as("klmMLK"));
    Mark *heap = new Mark[2]{Mark('u'), Mark('v')};
    delete[] heap;
    CHECK(traced_as("uvVU"));
    return finish("raii_scope_order", UINT64_C(0xd6ca9ed5a4e36ad0));
}
