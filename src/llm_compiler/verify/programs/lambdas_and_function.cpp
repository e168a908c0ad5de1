/* Exercises: lambdas by value and reference, mutable, generic, recursive; std::function; closures that outlive; currying, composition. */
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <memory>
#include <vector>

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


using Unary = std::function<int(int)>;
static Unary adder(int n) { return [n](int x) { return x + n; }; }
static Unary compose(Unary f, Unary g) { return [f = std::move(f), g = std::move(g)](int x) { return f(g(x)); }; }
static auto counter(int start) { return [n = start, step = 1]() mutable { step += 2; return n += step; }; }
static Unary power(int n) { return n == 0 ? Unary([](int x) { return x; }) : compose(power(n - 1), [n](int x) { return x * 2 - n; }); }
template <typename F> static int apply_twice(F &&f, int x) { return f(f(x)); }
__attribute__((noinline)) static int callback(int (*f)(int, void *), void *context) { return f(3, context) - f(1, context); }
struct Functor {
    int calls = 0;
    int operator()(int x) { return x * ++calls; }
};
static int free_function(int x) { return x * x - 1; }

int main() {
    volatile int seven = 7;
    Unary f = adder(seven), g;
    CHECK(f(3) == 10 && !g && f);
    g = compose(f, [](int x) { return x * 3; });
    CHECK(g(2) == 13);
    f = [](int x) { return -x; };
    CHECK(g(2) == 13 && f(2) == -2 && compose(g, f)(1) == 4);
    g = free_function;
    CHECK(g(5) == 24);
    bool thrown = false;
    try {
        Unary()(1);
    } catch (const std::bad_function_call &) {
        thrown = true;
    }
    CHECK(thrown);
    for (int n = 0; n < 8; n++) mix(uint64_t(power(n)(n + 3)));
    CHECK(power(0)(9) == 9 && power(1)(9) == 17 && power(2)(9) == 31);

    auto c = counter(10), copy = c;
    CHECK(c() == 13 && c() == 18 && c() == 25 && copy() == 13);
    int total = 0, *where = &total;
    auto add = [&total, where](int x) { total += x; return *where; };
    CHECK(add(5) == 5 && add(-8) == -3 && total == -3);
    CHECK(apply_twice([&](auto x) { return x * x + total; }, 3) == 33);
    CHECK(apply_twice(Functor(), 5) == 10);
    Functor counted;
    std::function<int(int)> by_reference = std::ref(counted), by_value = counted;
    by_reference(1);
    by_reference(1);
    CHECK(counted.calls == 2 && by_reference(10) == 30 && by_value(10) == 10);

    std::function<uint64_t(unsigned)> factorial = [&](unsigned n) -> uint64_t { return n < 2 ? 1 : n * factorial(n - 1); };
    CHECK(factorial(15) == UINT64_C(1307674368000));
    auto gcd = [](auto self, unsigned a, unsigned b) -> unsigned { return b ? self(self, b, a % b) : a; };
    CHECK(gcd(gcd, 252, 105) == 21);
    int context = 4;
    CHECK(callback([](int x, void *p) { return x * *static_cast<int *>(p); }, &context) == 8);

    std::vector<Unary> chain;
    for (int i = 0; i < 6; i++)
        if (i % 2) chain.push_back([i, &context](int x) { return x - i * context; });
        else chain.emplace_back([p = std::make_shared<int>(i)](int x) { return x * ++*p; });
    for (int round = 0; round < 3; round++) {
        int x = 5;
        for (auto &link : chain) mix(uint64_t(x = link(x) % 10007));
        context--;
    }
    auto curried = [](int a) { return [a](int b) { return [a, b](int c) { return a * 100 + b * 10 - c; }; }; };
    CHECK(curried(seven)(5)(3) == 747);
    return finish("lambdas_and_function", UINT64_C(0x92d1c339e8e3a3af));
}
