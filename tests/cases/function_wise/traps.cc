// What makes taking a C++ unit apart hard: vtables, inline functions and variables, exceptions.
#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

namespace {
struct Hidden {
    explicit Hidden(int x) : value(x) { ++alive; }
    Hidden(const Hidden &other) : value(other.value) { ++alive; }
    ~Hidden() { --alive; }
    int value;
    static int alive;
};
int Hidden::alive = 0;
int thrower(int x) {
    Hidden guard(x);
    if (x > 3) throw std::runtime_error("more than three");
    return guard.value * 2;
}
}  // namespace

struct Shape {
    virtual ~Shape() = default;
    virtual double area() const = 0;
    virtual const char *name() const { return "shape"; }
};
struct Square : Shape {
    explicit Square(double s) : side(s) {}
    double area() const override { return side * side; }
    const char *name() const override { return "square"; }
    double side;
};
struct Circle final : Shape {
    explicit Circle(double r) : radius(r) {}
    double area() const override { return 3.0 * radius * radius; }
    double radius;
};

template <class T> struct Counted {
    static int &count() {
        static int number = start();
        return number;
    }
    static int start() { return static_cast<int>(sizeof(T)); }
};
template <class T> T largest(const std::vector<T> &all) {
    T found = all.front();
    for (const T &one : all)
        if (found < one) found = one;
    return found;
}
inline int shared_counter = 5;
inline int bump() { return ++shared_counter; }

static std::string join(const std::vector<std::string> &parts) {
    std::string text;
    for (const auto &part : parts) text += part + ",";
    return text;
}
static int global_from_call = bump();

int catches(int x) {
    try {
        return thrower(x);
    } catch (const std::runtime_error &error) {
        std::printf("caught %s\n", error.what());
        return -1;
    } catch (...) {
        return -2;
    }
}

int main() {
    Shape *shapes[] = {new Square(2), new Circle(1.5)};
    for (Shape *one : shapes) {
        std::printf("%s %.2f\n", one->name(), one->area());
        delete one;
    }
    std::printf("%d %d %d\n", catches(2), catches(5), Hidden::alive);
    Counted<long>::count() += 2;
    std::printf("%d %d\n", Counted<long>::count(), Counted<char>::count());
    std::printf("%d %.1f\n", largest<int>({3, 9, 4}), largest<double>({1.5, 0.5}));
    std::printf("%s %d %d\n", join({"a", "b", "c"}).c_str(), global_from_call, bump());
    auto twice = [](int x) { return [x](int y) { return x * y; }; };
    std::printf("%d\n", twice(6)(7));
    return 0;
}
