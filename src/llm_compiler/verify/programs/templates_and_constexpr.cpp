/* Exercises: templates: recursion, specialisation, variadic packs, folds, CRTP, if constexpr, constexpr evaluation against run time. */
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <type_traits>

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


constexpr uint64_t power(uint64_t b, unsigned e) { return e == 0 ? 1 : e % 2 ? b * power(b, e - 1) : power(b * b, e / 2); }
template <unsigned N> struct Fibonacci { static constexpr uint64_t value = Fibonacci<N - 1>::value + Fibonacci<N - 2>::value; };
template <> struct Fibonacci<0> { static constexpr uint64_t value = 0; };
template <> struct Fibonacci<1> { static constexpr uint64_t value = 1; };

template <typename T, int N> struct Vector {
    T v[N];
    constexpr T &operator[](int i) { return v[i]; }
    constexpr const T &operator[](int i) const { return v[i]; }
    friend constexpr Vector operator+(Vector a, const Vector &b) { for (int i = 0; i < N; i++) a[i] += b[i]; return a; }
    friend constexpr Vector operator-(Vector a, const Vector &b) { for (int i = 0; i < N; i++) a[i] -= b[i]; return a; }
    friend constexpr Vector operator*(Vector a, T s) { for (T &x : a.v) x *= s; return a; }
    friend constexpr bool operator<(const Vector &a, const Vector &b) {
        for (int i = 0; i < N; i++) if (a[i] != b[i]) return a[i] < b[i];
        return false;
    }
    constexpr T dot(const Vector &b) const { T s{}; for (int i = 0; i < N; i++) s += v[i] * b[i]; return s; }
};
template <typename... T> static int64_t sum(T... t) { return (int64_t(t) + ... + 0); }
template <typename... T> static int64_t alternate(T... t) { int64_t sign = -1, sum = 0; ((sign = -sign, sum += int64_t(t) * sign), ...); return sum; }
template <typename First, typename... Rest> static First largest(First f, Rest... rest) {
    if constexpr (sizeof...(rest) == 0) return f;
    else { First r = largest(First(rest)...); return r > f ? r : f; }
}
template <typename T> static int size_class(T) {
    if constexpr (std::is_floating_point_v<T>) return 100 + int(sizeof(T));
    else if constexpr (std::is_signed_v<T>) return 200 + int(sizeof(T));
    else return 300 + int(sizeof(T));
}
template <typename Self> struct Counter {
    int count = 0;
    int run(int n) { for (int i = 0; i < n; i++) count += self().step(i); return count; }
    Self &self() { return static_cast<Self &>(*this); }
};
struct Up : Counter<Up> { int step(int i) { return i * 2; } };
struct Down : Counter<Down> { int by = 3; int step(int i) { return by - i; } };
template <int... I> struct Indices {};
template <int N, int... I> struct Make : Make<N - 1, N - 1, I...> {};
template <int... I> struct Make<0, I...> { using type = Indices<I...>; };
template <int... I> static uint64_t weigh(const unsigned char *p, Indices<I...>) { return ((uint64_t(p[I]) << (I * 7)) ^ ...); }
struct Table {
    unsigned short t[64];
    constexpr Table() : t() { for (unsigned i = 0; i < 64; i++) t[i] = (unsigned short)((i * i * 37 + i) % 1009); }
};
static constexpr Table table;
template <typename T> static T gcd(T a, T b) { while (b != 0) { T t = a % b; a = b; b = t; } return a < 0 ? -a : a; }

int main() {
    static_assert(power(3, 13) == 1594323);
    volatile unsigned e = 13;
    CHECK(power(3, e) == 1594323 && power(2, e + 50) == UINT64_C(1) << 63 && power(7, 0) == 1);
    CHECK(Fibonacci<60>::value == UINT64_C(1548008755920));
    constexpr Vector<int, 3> a{{1, 2, 3}}, b{{4, -5, 6}};
    Vector<int, 3> c = a, d = b;
    c[1] = int(e) - 11;
    static_assert((a + b).dot(b) == 89);
    CHECK((c + d).dot(d) == 89 && (c - d)[1] == 7 && (c * 3 - d)[0] == -1 && c < d && !(d < c) && !(c < a));
    Vector<double, 2> f{{0.5, 4}};
    CHECK((f * 2.0).dot(f) == 32.5);
    CHECK(sum() == 0 && sum(1, 2u, (short)-3, 4LL) == 4 && alternate(10, 3, 2, 1) == 8 && largest(3, 9, -4, 8) == 9 && largest(-2.5) == -2.5);
    CHECK(size_class(1.0f) == 104 && size_class('a') % 100 == 1 && size_class(1u) == 304 && size_class(INT64_C(1)) == 208 && size_class(true) == 301);
    Up up;
    Down down;
    CHECK(up.run(int(e)) == 156 && down.run(int(e)) == 39 - 78);
    unsigned char bytes[8];
    for (unsigned k = 0; k < 30; k++) {
        for (unsigned i = 0; i < 8; i++) bytes[i] = (unsigned char)(i * 31 + k * e);
        mix(weigh(bytes, Make<8>::type()));
        CHECK(table.t[(k * 5) % 64] == ((k * 5 % 64) * (k * 5 % 64) * 37 + k * 5 % 64) % 1009);
    }
    CHECK(gcd(84, -36) == 12 && gcd<uint64_t>(UINT64_C(1) << 40, 3 << 20) == 1 << 20 && gcd((short)35, (short)49) == 7);
    return finish("templates_and_constexpr", UINT64_C(0xfee4a379d4d5eb40));
}
