/* Exercises: copies, moves, elision, swaps, rule of five, self-assignment, temporaries and destruction order, counted exactly. */
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <utility>

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


static int copies, moves, destroyed, constructed;
struct Tracked {
    int value;
    int *cell;
    explicit Tracked(int v) : value(v), cell(new int(v * 2)) { constructed++; }
    Tracked(const Tracked &o) : value(o.value), cell(o.cell ? new int(*o.cell) : nullptr) { copies++; }
    Tracked(Tracked &&o) noexcept : value(o.value), cell(std::exchange(o.cell, nullptr)) { o.value = -1; moves++; }
    Tracked &operator=(const Tracked &o) {
        if (this != &o) { Tracked t(o); swap(t); }
        return *this;
    }
    Tracked &operator=(Tracked &&o) noexcept { swap(o); moves++; return *this; }
    ~Tracked() { destroyed++; mix(uint64_t(value)); delete cell; }
    void swap(Tracked &o) noexcept { std::swap(value, o.value); std::swap(cell, o.cell); }
    int read() const { return cell ? *cell + value : -5; }
};
static Tracked make(int v) { return Tracked(v); }
static Tracked choose(bool first, int a, int b) {
    Tracked x(a), y(b);
    if (first) return static_cast<Tracked &&>(x);
    return static_cast<Tracked &&>(y);
}
static int by_value(Tracked t) { t.value++; return t.read(); }
static int by_reference(const Tracked &t) { return t.read(); }
static Tracked &&pass(Tracked &&t) { return std::move(t); }
template <typename T> static int forward(T &&t) { return by_value(std::forward<T>(t)); }

struct Pair { Tracked a, b; Pair(int x, int y) : a(x), b(y) {} };

static bool counts(int c, int m, int d, int n) {
    bool same = copies == c && moves == m && destroyed == d && constructed == n;
    mix(uint64_t(copies * 1000 + moves * 100 + destroyed * 10 + constructed));
    copies = moves = destroyed = constructed = 0;
    return same;
}

int main() {
    { Tracked t = make(3); CHECK(t.read() == 9); }
    CHECK(counts(0, 0, 1, 1));
    { Tracked a = choose(true, 1, 2), b = choose(false, 1, 2); CHECK(a.value == 1 && b.value == 2 && b.read() == 6); }
    CHECK(counts(0, 2, 6, 4));
    { Tracked a(4); CHECK(by_value(a) == 13 && a.read() == 12 && by_value(std::move(a)) == 13 && a.value == -1 && a.read() == -5); }
    CHECK(counts(1, 1, 3, 1));
    { Tracked a(1), b(2), &same = a; a = b; CHECK(a.read() == 6 && a.cell != b.cell); a = same; b = Tracked(9); CHECK(b.value == 9 && b.read() == 27); }
    CHECK(counts(1, 1, 4, 3));
    { Pair p(5, 6), q(p), r(std::move(p)); std::swap(q.a, r.b); CHECK(q.a.value == 6 && r.b.value == 5 && p.b.value == -1); }
    CHECK(counts(2, 5, 7, 2));
    { Tracked a(7); CHECK(forward(a) == 22 && forward(Tracked(8)) == 25 && forward(std::move(a)) == 22 && by_reference(a) == -5); }
    CHECK(counts(1, 2, 5, 2));
    { const Tracked &kept = make(10); CHECK(kept.read() == 30); Tracked moved(pass(make(11))); CHECK(moved.read() == 33); }
    CHECK(counts(0, 1, 3, 2));
    for (volatile int i = 0; i < 4; i++) {
        Tracked t(i), u = i % 2 ? t : make(i * 5);
        if (i == 2) continue;
        u = std::move(t);
        mix(uint64_t(u.read()));
    }
    CHECK(counts(2, 3, 8, 6));
    return finish("move_and_copy_counts", UINT64_C(0x0c5457bee57be791));
}
