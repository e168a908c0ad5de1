/* Exercises: exception_ptr, nested_exception-like chains, function try blocks in constructors, array construction that fails, noexcept, throwing in new. */
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <stdexcept>
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


static int live, made, throw_at;

struct Part {
    int id;
    Part() : id(++made) {
        if (id == throw_at) throw std::runtime_error("part");
        live++;
    }
    ~Part() { live--; mix(uint64_t(id)); }
};
struct Member {
    Part part;
    int value;
    explicit Member(int v) try : part(), value(v) {
        if (v < 0) throw std::out_of_range("negative");
    } catch (const std::runtime_error &) {
        mix(77);
        throw std::logic_error("translated");
    } catch (const std::out_of_range &) {
        mix(78); /* rethrown at the end */
    }
};
struct Placed {
    int x;
    static int allocated;
    static void *operator new(size_t n) { allocated++; return ::operator new(n); }
    static void operator delete(void *p) { allocated--; ::operator delete(p); }
    explicit Placed(int v) : x(v) { if (v == 13) throw v; }
};
int Placed::allocated = 0;

static int array_of_parts(int fail_at) {
    made = 0;
    throw_at = fail_at;
    try {
        Part parts[5];
        return parts[4].id * 10 + live;
    } catch (const std::exception &e) {
        return -live * 100 - int(strlen(e.what()));
    }
}
static int heap_parts(int fail_at) {
    made = 0;
    throw_at = fail_at;
    Part *p = nullptr;
    try {
        p = new Part[4];
        throw p[2].id;
    } catch (int id) {
        delete[] p;
        return id;
    } catch (...) {
        return p == nullptr ? -1 : -2;
    }
}
static int member(int v, int fail_at) {
    made = 0;
    throw_at = fail_at;
    try {
        Member m(v);
        return m.value + live;
    } catch (const std::out_of_range &) {
        return 1000 + live;
    } catch (const std::logic_error &e) {
        return 2000 + live + e.what()[0];
    }
}
__attribute__((noinline)) int safe(int x) noexcept {
    try {
        if (x > 3) throw x;
        return x;
    } catch (int y) {
        return -y;
    }
}
static std::exception_ptr keep(int x) {
    try {
        if (x & 1) throw std::invalid_argument("odd");
        throw x;
    } catch (...) {
        return std::current_exception();
    }
}
static int unpack(const std::exception_ptr &p) {
    try {
        std::rethrow_exception(p);
    } catch (const std::invalid_argument &e) {
        return e.what()[0];
    } catch (int x) {
        return x;
    }
    return -1;
}
static int unwind_depth(int n) {
    Part p;
    if (n == 0) throw 'x';
    return unwind_depth(n - 1) + p.id;
}

int main() {
    for (int at = 0; at < 7; at++) {
        mix(uint64_t(array_of_parts(at)));
        CHECK(live == 0);
        mix(uint64_t(heap_parts(at)));
        CHECK(live == 0);
    }
    CHECK(array_of_parts(0) == 55 && array_of_parts(3) == -4 && heap_parts(0) == 3 && heap_parts(4) == -1);
    CHECK(member(5, 0) == 6 && member(-5, 0) == 1000 && member(5, 1) == 2000 + 't' && live == 0);
    CHECK(safe(3) == 3 && safe(4) == -4 && noexcept(safe(1)));
    CHECK(unpack(keep(7)) == 'o' && unpack(keep(8)) == 8);
    int caught = 0;
    for (int v = 11; v < 15; v++) {
        try {
            Placed *p = new Placed(v);
            CHECK(p->x == v && Placed::allocated == 1);
            delete p;
        } catch (int e) {
            caught += e;
        }
        CHECK(Placed::allocated == 0);
    }
    CHECK(caught == 13);
    made = throw_at = 0;
    try {
        unwind_depth(6);
        CHECK(false);
    } catch (char c) {
        CHECK(c == 'x' && made == 7 && live == 0);
    }
    return finish("exceptions_resources", UINT64_C(0x4c2ae07447577ff6));
}
