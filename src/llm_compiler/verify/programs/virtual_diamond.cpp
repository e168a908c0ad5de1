/* Exercises: virtual calls through single, multiple, virtual (diamond) bases, thunks, covariant results, dynamic_cast, typeid, destructors. */
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <typeinfo>

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


struct Top {
    int top;
    explicit Top(int t) : top(t) {}
    virtual ~Top() { mix(uint64_t(top) * 3); }
    virtual int who() const { return 1; }
    virtual Top *self() { return this; }
    int call() const { return who() * 100 + top; }
};
struct Left : virtual Top {
    int left = 10;
    explicit Left(int t) : Top(t) { mix(uint64_t(Left::who())); }
    ~Left() override { mix(uint64_t(left) * 5); }
    int who() const override { return 2 + left; }
    virtual int only_left(int x) { return x - left; }
};
struct Right : virtual Top {
    int right = 20;
    explicit Right(int t) : Top(t) {}
    Right *self() override { return this; }
    virtual int only_right(int x) { return x * right - top; }
};
struct Bottom : Left, Right {
    int bottom = 30;
    explicit Bottom(int t) : Top(t), Left(t + 1), Right(t + 2) {}
    ~Bottom() override { mix(uint64_t(bottom) * 7); }
    int who() const override { return 4 + bottom; }
    Bottom *self() override { return this; }
    int only_right(int x) override { return x - right + bottom; }
};
struct Last final : Bottom {
    explicit Last(int t) : Top(t), Bottom(t * 2) {}
    int who() const override { return Bottom::who() * 2; }
    int only_left(int x) override { return Left::only_left(x) * -1; }
};
struct First { int tag = 9; virtual int number() const = 0; virtual ~First() = default; };
struct Second { int mark = 8; virtual int number() const { return -mark; } virtual ~Second() = default; };
struct Both : First, Second { int own = 7; int number() const override { return tag * 100 + mark * 10 + own; } };

__attribute__((noinline)) int ask(const Top &t) { return t.call(); }
static int cast(Top *t) {
    int r = 0;
    if (auto *l = dynamic_cast<Left *>(t)) r += l->only_left(3);
    if (auto *x = dynamic_cast<Right *>(t)) r += 1000 * x->only_right(2);
    if (dynamic_cast<Last *>(t)) r += 1000000;
    if (dynamic_cast<First *>(t)) r = -1;
    return r;
}

int main() {
    {
        Top a(1);
        Left b(2);
        Right c(3);
        Bottom d(4);
        Last e(5);
        CHECK(ask(a) == 101 && ask(b) == 1202 && ask(c) == 103 && ask(d) == 3404 && ask(e) == 6805);
        Top *all[] = {&a, &b, &c, &d, &e};
        static const int casts[] = {0, -7, 37000, 11993 - 7 - 11993 + 12000, 1000000 + 12000 + 7};
        for (int i = 0; i < 5; i++) {
            CHECK(cast(all[i]) == casts[i]);
            CHECK(all[i]->self() == all[i]);
            mix(uint64_t(all[i]->who()));
            for (int j = 0; j < 5; j++) CHECK((typeid(*all[i]) == typeid(*all[j])) == (i == j));
        }
        Right &r = d;
        r.right -= 5;
        CHECK(r.self() == static_cast<Right *>(&d) && d.self()->bottom == 30 && r.only_right(0) == 15);
        bool thrown = false;
        try {
            mix(uint64_t(dynamic_cast<Last &>(r).bottom));
        } catch (const std::bad_cast &) {
            thrown = true;
        }
        CHECK(thrown);
        CHECK(dynamic_cast<Left *>(&r) == static_cast<Left *>(&d) && dynamic_cast<void *>(&r) == &d);
    }
    Top *owned = new Last(6);
    uint64_t before = digest;
    delete owned;
    CHECK(digest != before);
    Both both;
    const First *f = &both;
    const Second *s = &both;
    CHECK(f->number() == 987 && s->number() == 987 && s->Second::number() == -8 && static_cast<const Both *>(s)->own == 7);
    int (Second::*pointer)() const = &Second::number;
    CHECK((both.*pointer)() == 987 && (Second().*pointer)() == -8);
    return finish("virtual_diamond", UINT64_C(0x255c187699c1afa3));
}
