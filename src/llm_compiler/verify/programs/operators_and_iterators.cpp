/* Exercises: operator overloading (arithmetic, compare, call, index, conversion, literals, increments), own iterators, ranges, initializer_list. */
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <initializer_list>

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


class Fraction {
    int64_t n, d;
    static int64_t gcd(int64_t a, int64_t b) { return b == 0 ? (a < 0 ? -a : a) : gcd(b, a % b); }
public:
    Fraction(int64_t a = 0, int64_t b = 1) : n(a), d(b) {
        int64_t g = gcd(n, d);
        if (d < 0) g = -g;
        if (g) n /= g, d /= g;
    }
    friend Fraction operator+(Fraction a, Fraction b) { return {a.n * b.d + b.n * a.d, a.d * b.d}; }
    friend Fraction operator-(Fraction a, Fraction b) { return {a.n * b.d - b.n * a.d, a.d * b.d}; }
    friend Fraction operator*(Fraction a, Fraction b) { return {a.n * b.n, a.d * b.d}; }
    friend Fraction operator/(Fraction a, Fraction b) { return {a.n * b.d, a.d * b.n}; }
    friend bool operator==(Fraction a, Fraction b) { return a.n == b.n && a.d == b.d; }
    friend bool operator!=(Fraction a, Fraction b) { return !(a == b); }
    friend bool operator<(Fraction a, Fraction b) { return a.n * b.d < b.n * a.d; }
    Fraction operator-() const { return {-n, d}; }
    Fraction &operator+=(Fraction o) { return *this = *this + o; }
    Fraction &operator++() { n += d; return *this; }
    Fraction operator--(int) { Fraction old = *this; n -= d; return old; }
    explicit operator double() const { return double(n) / double(d); }
    explicit operator bool() const { return n != 0; }
    uint64_t bits() const { return uint64_t(n) * 1000003 + uint64_t(d); }
};
static Fraction operator""_over_7(unsigned long long n) { return {int64_t(n), 7}; }

class Range {
    int from, to, step;
public:
    Range(int f, int t, int s = 1) : from(f), to(t), step(s) {}
    struct iterator {
        int at, to, step;
        int operator*() const { return at; }
        iterator &operator++() { at += step; return *this; }
        bool operator!=(const iterator &) const { return step > 0 ? at < to : at > to; }
    };
    iterator begin() const { return {from, to, step}; }
    iterator end() const { return {to, to, step}; }
};
template <typename R, typename F> static int64_t fold(const R &r, int64_t start, F f) {
    for (auto x : r) start = f(start, x);
    return start;
}
struct Grid {
    int cells[4][5] = {};
    struct Row { int *p; int &operator[](int i) { return p[i]; } };
    Row operator[](int r) { return {cells[r]}; }
    int &operator()(int r, int c) { return cells[r][c]; }
    Grid &operator<<(int x) { for (auto &row : cells) for (int &c : row) c = c * 2 + x; return *this; }
};
struct List {
    int sum = 0, n = 0;
    List(std::initializer_list<int> l) { for (int x : l) sum += x * ++n; }
    explicit List(int) : sum(-1) {}
};
struct Logical { bool v; Logical operator&&(Logical o) const { mix(v + 2u * o.v); return {v && o.v}; } };

int main() {
    Fraction h(1, 2), third(-2, -6), zero, sum;
    CHECK(h + third == Fraction(5, 6) && h - third == Fraction(1, 6) && third - h < zero && h * third == Fraction(2, 12) && h / third == Fraction(3, 2));
    CHECK(-h < third && !(third < -h) && h != third && double(h) == 0.5 && !zero && h && 14_over_7 == Fraction(2));
    for (int i = 1; i <= 12; i++) {
        sum += Fraction(i % 2 ? 1 : -1, i);
        mix(sum.bits());
    }
    CHECK(sum == Fraction(18107, 27720));
    CHECK(++h == Fraction(3, 2) && h-- == Fraction(3, 2) && h == Fraction(1, 2));
    auto horner = [](int64_t a, int64_t x) { return a * 3 + x; };
    CHECK(fold(Range(0, 5), 0, horner) == 58 && fold(Range(5, 0, -2), 1, horner) == 27 + 45 + 9 + 1 && fold(Range(3, 3), 9, horner) == 9);
    for (int step = -3; step <= 3; step++)
        if (step) mix(uint64_t(fold(Range(-step * 5, step * 4, step), 7, horner)));
    Grid g;
    g[1][2] = 5;
    g(3, 4) = -2;
    g << 1 << -3;
    CHECK(g[1][2] == 19 && g[3][4] == -9 && g(0, 0) == -1);
    CHECK((List{4, 5, 6}.sum == 32 && List(4).sum == -1 && List{}.n == 0 && List({7}).sum == 7));
    CHECK((Logical{true} && Logical{false}).v == false && (Logical{true} && Logical{true}).v);
    return finish("operators_and_iterators", UINT64_C(0x682fa41da5cbaf22));
}
