/* Exercises: global constructors and destructors, function statics with guards, thread_local objects, constant initialisation, registration lists. */
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <thread>

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


static int sequence[8], count;
static int note(int x) { return sequence[count++ & 7] = x; }

struct Registered {
    static Registered *head;
    Registered *next;
    int id;
    explicit Registered(int i) : next(head), id(note(i)) { head = this; }
    ~Registered() { id = -1; }
};
Registered *Registered::head = nullptr;
static Registered first(11);
Registered second(22);
static const int computed = note(33) * 2;
constexpr int squares[] = {0, 1, 4, 9, 16};
template <int N> struct Lazy { static int value; };
template <int N> int Lazy<N>::value = N * 10;
inline int inline_variable = 5;
namespace { Registered third(44); }

static int constructions;
struct Slow {
    int v;
    explicit Slow(int x) : v(x) {
        constructions++;
        if (x < 0) throw x;
    }
};
static int guarded(int x) {
    static Slow s(x); /* only the first call that does not throw decides */
    return s.v;
}
static Slow &other() {
    static Slow s(guarded(0) + 1);
    return s;
}
struct PerThread {
    int v;
    PerThread() : v(100) {}
    ~PerThread() { finished += v; }
    static int finished;
};
int PerThread::finished = 0;
static thread_local PerThread local;
static thread_local int plain = 3;
static int touch(int by) {
    static thread_local int calls = by * 2;
    local.v += by;
    plain *= 2;
    return ++calls;
}
static int recursive_counter(int n) {
    static int depth_seen;
    if (n > depth_seen) depth_seen = n;
    return n == 0 ? depth_seen : recursive_counter(n - 1);
}

int main() {
    static const int order[] = {11, 22, 33, 44};
    CHECK(count == 4 && computed == 66);
    for (int i = 0; i < 4; i++) CHECK(sequence[i] == order[i]);
    int listed = 0;
    for (Registered *r = Registered::head; r; r = r->next) listed = listed * 100 + r->id;
    CHECK(listed == 442211 && &second == third.next);

    int thrown = 0;
    for (int x = -2; x < 4; x++) {
        try {
            mix(uint64_t(guarded(x)));
        } catch (int e) {
            thrown += e;
        }
    }
    CHECK(thrown == -3 && constructions == 3 && guarded(50) == 0);
    CHECK(other().v == 1 && &other() == &other() && constructions == 4);
    other().v = 9;
    CHECK(other().v == 9);

    CHECK(touch(1) == 3 && touch(5) == 4 && local.v == 106 && plain == 12);
    int in_thread = 0;
    std::thread t([&] {
        in_thread = touch(7) * 1000 + touch(1);
        in_thread += local.v * 10000 + plain;
    });
    t.join();
    CHECK(in_thread == 15 * 1000 + 16 + 108 * 10000 + 12 && PerThread::finished == 108 && local.v == 106);
    volatile int three = 3;
    CHECK(squares[three] == 9 && Lazy<4>::value == 40 && Lazy<-1>::value == -10 && inline_variable == 5);
    Lazy<4>::value -= three;
    CHECK(Lazy<4>::value == 37 && recursive_counter(6) == 6 && recursive_counter(2) == 6);
    return finish("static_init_order", UINT64_C(0x8e80dca3e6122cdf));
}
