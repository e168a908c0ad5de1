/* Exercises: comdat groups: inline functions and variables with statics, templates with guards, virtual tables, thread_local in inline code, asm labels, extern templates, longjmp over C++ frames. */
#include <cinttypes>
#include <csetjmp>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>
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

inline int counter() { static int n = 0; return ++n; }
inline int shared = 40;
template <class T> struct Registry {
    static inline T items[8];
    static inline int count = 0;
    static int add(T item) { items[count] = item; return count++; }
};
template <class T> T &instance() { static T value{}; return value; }
struct Lazy { int created; Lazy() : created(counter()) {} };
inline Lazy &lazy() { static Lazy one; return one; }
inline thread_local int local_count = 3;
struct Shape { virtual ~Shape() = default; virtual int area() const = 0; virtual const char *name() const { return "shape"; } };
struct Square : Shape { int side; explicit Square(int s) : side(s) {} int area() const override { return side * side; } };
struct Named final : Square { using Square::Square; const char *name() const override { return "named"; } };
template <int N> struct Power { static constexpr int value = 3 * Power<N - 1>::value; static int get() { static int copy = value; return copy++; } };
template <> struct Power<0> { static constexpr int value = 1; static int get() { return 1; } };
extern template struct Power<4>;
template struct Power<4>;
extern "C" int plain_name(int x) __asm__("inline_and_comdat_plain");
extern "C" __attribute__((noinline)) int plain_name(int x) { return x * 13; }

static std::jmp_buf over;
static int constructed;
struct Trivial { int a, b; };
__attribute__((noinline)) static void jump_over(int depth, Trivial t) {
    constructed += t.a;
    if (depth == 0) std::longjmp(over, t.b);
    jump_over(depth - 1, Trivial{t.a + 1, t.b + depth});
}
static int jumps(int depth) {
    volatile int rounds = 0;
    for (int sum = 0;;) {
        int code = setjmp(over);
        if (code) { rounds = rounds + 1; if (rounds >= 3) return rounds * 1000 + code + sum; }
        jump_over(depth + rounds, Trivial{1, 2});
    }
}
/* A throw through a loop whose body sets a mark. */
static int throws_between(int n) {
    volatile int caught = 0;
    for (volatile int i = 0; i < n; i = i + 1) {
        try {
            if (setjmp(over) == 0) { if (i % 2) throw std::runtime_error("odd"); std::longjmp(over, 1); }
            caught = caught + 100;
        } catch (const std::runtime_error &e) {
            caught = caught + int(std::strlen(e.what()));
        }
    }
    return caught;
}

int main() {
    CHECK(counter() == 1 && counter() == 2);
    CHECK(lazy().created == 3 && lazy().created == 3);
    CHECK(counter() == 4);
    CHECK(++shared == 41);
    CHECK(Registry<int>::add(5) == 0 && Registry<int>::add(6) == 1 && Registry<std::string>::add("seven") == 0);
    CHECK(Registry<int>::items[1] == 6 && Registry<std::string>::items[0].size() == 5);
    instance<std::string>() += "text";
    instance<int>() += 9;
    CHECK(instance<std::string>() == "text" && instance<int>() == 9);
    local_count += 2;
    CHECK(local_count == 5);
    Shape *shapes[] = {new Square(3), new Named(4), new Square(5)};
    int sum = 0;
    for (Shape *s : shapes) { sum = sum * 100 + s->area() + int(std::strlen(s->name())); delete s; }
    CHECK(sum == (14 * 100 + 21) * 100 + 30);
    CHECK(Power<4>::get() == 81 && Power<4>::get() == 82 && Power<2>::get() == 9 && Power<0>::get() == 1);
    CHECK(plain_name(3) == 39);
    mix(uint64_t(jumps(4)));
    mix(uint64_t(constructed));
    CHECK(throws_between(5) == 306);
    return finish("inline_and_comdat", UINT64_C(0x57e01dbbdfa63cc5));
}
