/* Exercises: std::variant with visit, optional, any-like erasure by hand, tuple, pair, structured bindings, bad access exceptions. */
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <tuple>
#include <variant>

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


struct Circle { int radius; };
struct Box { int width, height; };
using Shape = std::variant<Circle, Box, std::string, double>;
template <typename... F> struct Overload : F... { using F::operator()...; };
template <typename... F> Overload(F...) -> Overload<F...>;

static int measure(const Shape &s) {
    return std::visit(Overload{[](const Circle &c) { return c.radius * c.radius * 3; }, [](const Box &b) { return b.width * b.height; },
                               [](const std::string &t) { return -int(t.size()); }, [](double d) { return int(d * 4); }}, s);
}
static Shape grow(Shape s, int by) {
    if (auto *c = std::get_if<Circle>(&s)) c->radius += by;
    else if (auto *b = std::get_if<Box>(&s)) std::swap(b->width, b->height), b->width -= by;
    else if (std::holds_alternative<std::string>(s)) std::get<std::string>(s).append(size_t(by), '!');
    else s = Circle{int(std::get<double>(s))};
    return s;
}
static std::optional<int> parse_digit(char c) {
    if (c < '0' || c > '9') return std::nullopt;
    return c - '0';
}
static std::optional<int> parse(const char *s) {
    int v = 0;
    for (; *s; s++) {
        auto d = parse_digit(*s);
        if (!d) return {};
        v = v * 10 + *d;
    }
    return v;
}
static std::tuple<int, int, bool> divide(int a, int b) { return b ? std::make_tuple(a / b, a % b, true) : std::make_tuple(0, a, false); }

class Erased {
    struct Concept { virtual ~Concept() = default; virtual int value() const = 0; virtual Concept *clone() const = 0; };
    template <typename T> struct Model final : Concept {
        T t;
        explicit Model(T x) : t(x) {}
        int value() const override { return int(t) - int(sizeof(T)); }
        Concept *clone() const override { return new Model(*this); }
    };
    Concept *c;
public:
    template <typename T, typename = std::enable_if_t<std::is_arithmetic_v<T>>> explicit Erased(T t) : c(new Model<T>(t)) {}
    Erased(const Erased &o) : c(o.c->clone()) {}
    Erased &operator=(Erased o) { std::swap(c, o.c); return *this; }
    ~Erased() { delete c; }
    int value() const { return c->value(); }
};

int main() {
    Shape shapes[] = {Circle{5}, Box{3, 7}, std::string("twelve bytes and more than that"), 2.75, Shape()};
    static const int sizes[] = {75, 21, -31, 11, 0};
    for (int i = 0; i < 5; i++) {
        CHECK(measure(shapes[i]) == (i == 4 ? measure(Circle{0}) : sizes[i]));
        for (int by = 0; by < 4; by++) {
            shapes[i] = grow(shapes[i], by);
            mix(uint64_t(measure(shapes[i])) + shapes[i].index());
        }
    }
    CHECK(shapes[3].index() == 0 && std::get<Circle>(shapes[3]).radius == 8 && shapes[2].index() == 2);
    int thrown = 0;
    try {
        thrown += std::get<Box>(shapes[0]).width;
    } catch (const std::bad_variant_access &) {
        thrown = 100;
    }
    CHECK(thrown == 100);
    std::swap(shapes[0], shapes[2]);
    CHECK(shapes[0].index() == 2 && shapes[2].index() == 0 && measure(shapes[0]) == -37);

    CHECK(parse("120").value() == 120 && !parse("1x") && parse("").value_or(-1) == 0 && parse("z").value_or(-1) == -1);
    std::optional<std::string> name, copy;
    CHECK(!name && name == copy && name < std::optional<std::string>("a"));
    name.emplace(3, 'q');
    copy = name;
    name.reset();
    CHECK(copy && *copy == "qqq" && !name.has_value() && copy->size() == 3);
    auto [quotient, rest, ok] = divide(-17, 5);
    CHECK(quotient == -3 && rest == -2 && ok && !std::get<2>(divide(1, 0)) && std::get<1>(divide(9, 0)) == 9);
    CHECK(std::make_pair(1, 'b') < std::make_pair(1, 'c') && std::tie(quotient, rest) < std::make_tuple(-3, 0));
    Erased a(5), b(2.9), c(short(-4));
    CHECK(a.value() == 1 && b.value() == -6 && c.value() == -6);
    b = a;
    a = Erased(int64_t(100));
    CHECK(b.value() == 1 && a.value() == 92);
    return finish("variant_optional_any", UINT64_C(0xb4ad72342753360f));
}
