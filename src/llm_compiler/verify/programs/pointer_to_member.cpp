/* Exercises: pointers to members: data, functions, virtual functions, through bases with offsets, comparison, tables, null. */
#include <cinttypes>
#include <cstdint>
#include <cstdio>

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


struct Meter {
    int volts = 1, amps = 2;
    double scale = 0.5;
    int read(int x) { return volts * x + amps; }
    int twice(int x) { return read(x) * 2; }
    virtual int mode(int x) { return x - volts; }
    virtual ~Meter() = default;
};
struct Padding { int64_t pad[3] = {7, 8, 9}; virtual int64_t sum() { return pad[0] + pad[1] - pad[2]; } virtual ~Padding() = default; };
struct Wide : Padding, Meter {
    int extra = 100;
    int mode(int x) override { return x + extra; }
    int own(int x) { return extra - x; }
};
using Method = int (Meter::*)(int);
using WideMethod = int (Wide::*)(int);

__attribute__((noinline)) static int apply(Meter &m, Method f, int x) { return (m.*f)(x); }
__attribute__((noinline)) static int apply_wide(Wide *w, WideMethod f, int x) { return f ? (w->*f)(x) : -1; }
static int total(Meter *list, int n, int Meter::*field) {
    int sum = 0;
    for (int i = 0; i < n; i++) sum += list[i].*field;
    return sum;
}
static Method pick(int i) {
    static const Method methods[] = {&Meter::read, &Meter::twice, &Meter::mode, nullptr};
    return methods[i & 3];
}
template <typename T, typename R> static R get(const T &object, R T::*field) { return object.*field; }

int main() {
    Meter m;
    Wide w;
    w.volts = 4;
    for (int i = 0; i < 3; i++)
        for (int x = -3; x < 6; x++) {
            mix(uint64_t(apply(m, pick(i), x)));
            mix(uint64_t(apply(w, pick(i), x)));
        }
    CHECK(apply(m, pick(0), 5) == 7 && apply(m, pick(1), 5) == 14 && apply(m, pick(2), 5) == 4);
    CHECK(apply(w, pick(0), 5) == 22 && apply(w, pick(1), 5) == 44 && apply(w, pick(2), 5) == 105);
    WideMethod converted = pick(1);
    CHECK(apply_wide(&w, converted, 1) == 12 && apply_wide(&w, &Wide::own, 30) == 70 && apply_wide(&w, nullptr, 3) == -1);
    CHECK(apply_wide(&w, &Wide::mode, 1) == 101 && apply_wide(&w, static_cast<WideMethod>(&Meter::mode), 2) == 102);
    Method down = static_cast<Method>(&Wide::own);
    CHECK(apply(w, down, 1) == 99);
    CHECK(pick(0) == &Meter::read && pick(0) != pick(1) && pick(3) == nullptr && converted == WideMethod(&Meter::twice));

    Meter list[3];
    list[1].amps = -9;
    list[2].volts = 50;
    CHECK(total(list, 3, &Meter::volts) == 52 && total(list, 3, &Meter::amps) == -5);
    int Wide::*field = &Meter::amps;
    w.*field += 40;
    CHECK(w.amps == 42 && get(w, &Wide::extra) == 100 && get(m, &Meter::scale) == 0.5 && w.sum() == 6);
    int Meter::*none = nullptr;
    int Meter::*some = &Meter::volts;
    CHECK(none == nullptr && some != none && m.*some == 1);
    return finish("pointer_to_member", UINT64_C(0xb90d1c03dccb501b));
}
