#include <cstdio>
#include <stdexcept>
struct Log { const char *name; Log(const char *n) : name(n) { std::printf("+%s\n", n); } ~Log() { std::printf("-%s\n", name); } };
static Log first("first");
Log second("second");
thread_local Log per_thread("thread"); thread_local int plain_thread = 3;
template <class T> T twice(T x) { return x + x; }
template <class T> struct Box { T value; static int made; Box(T v) : value(v) { made++; } T get() const { return value; } };
template <class T> int Box<T>::made = 5;
inline int shared_counter() { static int calls = 0; return ++calls; }
struct Shape { virtual ~Shape() {} virtual int area() const = 0; };
struct Square : Shape { int side; Square(int s) : side(s) {} int area() const override { return side * side; } };
struct Wide : Square { using Square::Square; int area() const override { return side * 2; } };
struct Failure { int code; };
static int risky(int x) {
    if (x == 1) throw 42;
    if (x == 2) throw std::runtime_error("bad");
    if (x == 3) throw Failure{x};
    return x;
}
static int guarded(int x) {
    Log inner("inner");
    try { return risky(x); }
    catch (int code) { return code; }
    catch (const std::exception &error) { std::printf("%s\n", error.what()); return -1; }
    catch (...) { return -2; }
}
static Log &lazy() { static Log once("once"); return once; }
int main() {
    std::printf("%d %g\n", twice(21), twice(1.5));
    Box<int> a(3); Box<double> b(2.5);
    std::printf("%d %g %d %d\n", a.get(), b.get(), Box<int>::made, Box<double>::made);
    std::printf("%d %d\n", shared_counter(), shared_counter());
    Shape *shapes[] = {new Square(3), new Wide(4)};
    for (Shape *shape : shapes) { std::printf("%d\n", shape->area()); delete shape; }
    for (int i = 0; i < 4; i++) std::printf("%d\n", guarded(i));
    std::printf("%s %s %s\n", lazy().name, lazy().name, per_thread.name);
    return 0;
}
