/* Exercises: throw through frames with destructors, rethrow, catch by base and value, catch-all, nested tries, exceptions in loops. */
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <new>

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


struct Base { int code; explicit Base(int c) : code(c) {} virtual ~Base() {} virtual int kind() const { return 1; } };
struct Derived : Base { using Base::Base; int kind() const override { return 2; } };
struct Other { int a, b; };

struct Guard {
    int id;
    explicit Guard(int i) : id(i) { mix(uint64_t(i)); }
    ~Guard() { mix(uint64_t(id) * 1000 + uint64_t(std::uncaught_exceptions())); }
};

__attribute__((noinline)) int thrower(int what) {
    Guard g(what);
    switch (what) {
    case 0: return 5;
    case 1: throw 42;
    case 2: throw Derived(7);
    case 3: throw Base(8);
    case 4: throw Other{3, 4};
    case 5: throw "text";
    case 6: throw -1L;
    case 7: throw std::bad_alloc();
    }
    return -what;
}

static int middle(int what) {
    Guard outer(10);
    int result;
    {
        Guard inner(20);
        result = thrower(what) * 2;
    }
    return result + 1;
}

static int classify(int what) {
    try {
        return middle(what);
    } catch (int i) {
        return 100 + i;
    } catch (Derived &d) {
        return 200 + d.kind() * 10 + d.code;
    } catch (const Base &b) {
        return 300 + b.kind() * 10 + b.code;
    } catch (Other o) {
        return 400 + o.a * 10 - o.b;
    } catch (const char *s) {
        return 500 + s[0];
    } catch (const std::exception &) {
        return 600;
    } catch (...) {
        return 700;
    }
}

static int rethrown(int what) {
    int path = 0;
    try {
        try {
            path += middle(what);
        } catch (Base &b) {
            b.code += 1;
            path += 1000;
            throw;
        } catch (int i) {
            path += 2000;
            throw Derived(i);
        }
        path += 5;
    } catch (Derived &d) {
        path += d.code * 3;
    } catch (Base &b) {
        path += b.code * 7;
    } catch (...) {
        path -= 1;
    }
    return path;
}

static int in_loop(int n) {
    int sum = 0;
    for (int i = 0; i < n; i++) {
        try {
            Guard g(i + 50);
            if (i % 3 == 1) continue;
            if (i == 11) break;
            sum += thrower(i % 5 == 0 ? 0 : 1 + i % 2);
        } catch (int) {
            sum -= 10;
            continue;
        } catch (const Base &b) {
            sum += b.code;
        }
        sum *= 2;
    }
    return sum;
}

struct Fails {
    Guard first, second;
    explicit Fails(int n) : first(n), second(n > 2 ? throw n : n + 1) {}
};
static int constructor(int n) try {
    Fails f(n);
    return f.first.id * 10 + f.second.id;
} catch (int thrown) {
    return -thrown;
}

int main() {
    static const int expected[] = {11, 142, 227, 318, 426, 500 + 't', 700, 600, -15, -17};
    for (int what = 0; what < 10; what++) {
        CHECK(classify(what) == expected[what]);
        mix(uint64_t(rethrown(what)));
    }
    CHECK(rethrown(0) == 16 && rethrown(1) == 2126 && rethrown(2) == 1024 && rethrown(3) == 1063 && rethrown(4) == -1);
    for (int n = 0; n < 15; n++) mix(uint64_t(in_loop(n)));
    CHECK(in_loop(1) == 10 && in_loop(2) == 10 && in_loop(3) == 0);
    CHECK(constructor(1) == 12 && constructor(2) == 23 && constructor(3) == -3);
    CHECK(std::uncaught_exceptions() == 0);
    return finish("exceptions_nested", UINT64_C(0xd3ff2a17826d0bd1));
}
