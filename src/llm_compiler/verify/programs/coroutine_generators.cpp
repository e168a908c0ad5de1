// flags: -std=c++20
/* Exercises: C++20 generators: co_yield in loops, nested and recursive ones, destroyed early, moved parameters, exceptions, iterators. */
#include <cinttypes>
#include <coroutine>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <utility>
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

template <class T>
struct Generator {
    struct promise_type {
        T value{};
        std::exception_ptr error;
        Generator get_return_object() { return Generator{std::coroutine_handle<promise_type>::from_promise(*this)}; }
        std::suspend_always initial_suspend() noexcept { return {}; }
        std::suspend_always final_suspend() noexcept { return {}; }
        std::suspend_always yield_value(T v) noexcept { value = v; return {}; }
        void return_void() noexcept {}
        void unhandled_exception() { error = std::current_exception(); }
    };
    std::coroutine_handle<promise_type> handle;
    explicit Generator(std::coroutine_handle<promise_type> h) : handle(h) {}
    Generator(Generator &&other) noexcept : handle(std::exchange(other.handle, {})) {}
    Generator(const Generator &) = delete;
    ~Generator() { if (handle) handle.destroy(); }
    bool next() {
        handle.resume();
        if (handle.promise().error) std::rethrow_exception(handle.promise().error);
        return !handle.done();
    }
    T value() const { return handle.promise().value; }
};

static int alive;
struct Counted {
    int id;
    explicit Counted(int i) : id(i) { alive++; }
    Counted(const Counted &o) : id(o.id) { alive++; }
    ~Counted() { alive--; mix(uint64_t(id)); }
};

static Generator<int> upto(int n) {
    for (int i = 0; i < n; i++) co_yield i * i + 1;
}
static Generator<uint64_t> fibonacci(uint64_t limit) {
    uint64_t a = 0, b = 1;
    while (a < limit) {
        co_yield a;
        uint64_t next = a + b;
        a = b;
        b = next;
    }
}
static Generator<int> guarded(Counted by_value, int n) {
    Counted local(by_value.id * 10);
    for (int i = 0; i < n; i++) {
        Counted inner(i + 500);
        co_yield by_value.id + local.id + i;
        if (i == 3) co_return;
    }
}
static Generator<int> failing(int at) {
    for (int i = 0;; i++) {
        if (i == at) throw i * 7;
        co_yield i;
    }
}
/* The yield stands between two loops and in a switch: several points to resume at. */
static Generator<char> spell(const char *text) {
    for (const char *p = text; *p; p++) {
        switch (*p) {
        case 'a': co_yield 'A'; co_yield 'a'; break;
        case 'z': co_return;
        case '-': continue;
        default: co_yield char(*p + 1);
        }
    }
    for (int i = 0; i < 3; i++) co_yield char('0' + i);
}
static Generator<int> tree(int depth, int base) {
    if (depth == 0) { co_yield base; co_return; }
    auto left = tree(depth - 1, base * 2);
    while (left.next()) co_yield left.value();
    co_yield -base;
    auto right = tree(depth - 1, base * 2 + 1);
    while (right.next()) co_yield right.value();
}
template <class T, class F>
static Generator<T> mapped(Generator<T> source, F f) {
    while (source.next()) co_yield f(source.value());
}

int main() {
    int sum = 0;
    { auto g = upto(5); while (g.next()) sum = sum * 3 + g.value(); }
    CHECK(sum == 1 * 81 + 2 * 27 + 5 * 9 + 10 * 3 + 17);
    mix(uint64_t(sum));
    { auto g = upto(0); CHECK(!g.next()); }
    int terms = 0;
    { auto g = fibonacci(1000); while (g.next()) { terms++; mix(g.value()); } }
    CHECK(terms == 17);
    {
        auto g = guarded(Counted(4), 9);
        int seen = 0;
        while (g.next()) { seen++; mix(uint64_t(g.value())); }
        CHECK(seen == 4);
    }
    CHECK(alive == 0);
    {
        auto g = guarded(Counted(6), 9);
        CHECK(g.next() && g.value() == 66);
        CHECK(g.next() && g.value() == 67);
        CHECK(alive == 3);
    }
    CHECK(alive == 0);
    int caught = 0, before = 0;
    try { auto g = failing(3); while (g.next()) before += g.value() + 1; } catch (int e) { caught = e; }
    CHECK(caught == 21 && before == 6);
    char text[32];
    int length = 0;
    { auto g = spell("bad-hat"); while (g.next()) text[length++] = g.value(); }
    text[length] = 0;
    puts(text);
    for (int i = 0; i < length; i++) mix(uint64_t(text[i]));
    CHECK(length == 11);
    { auto g = spell("xyza"); length = 0; while (g.next()) length++; }
    CHECK(length == 2);
    int nodes = 0, signs = 0;
    { auto g = tree(4, 1); while (g.next()) { nodes++; signs += g.value() < 0; mix(uint64_t(g.value())); } }
    CHECK(nodes == 31 && signs == 15);
    int offset = 100, total = 0;
    { auto g = mapped(upto(4), [&](int v) { return v * 2 + offset++; }); while (g.next()) total += g.value(); }
    CHECK(total == 2 * (1 + 2 + 5 + 10) + 100 + 101 + 102 + 103 && offset == 104);
    std::vector<Generator<int>> many;
    for (int i = 0; i < 6; i++) many.push_back(upto(i));
    int rounds = 0;
    for (bool any = true; any;) {
        any = false;
        for (auto &g : many)
            if (!g.handle.done() && g.next()) { any = true; mix(uint64_t(g.value())); rounds++; }
    }
    CHECK(rounds == 15);
    return finish("coroutine_generators", UINT64_C(0x9f4d0f6f9f0be52a));
}
