// flags: -std=c++20
// prints 0 1 4 9 16 30: a plain generator, read until it is done
#include <coroutine>
#include <cstdio>
#include <utility>

struct Generator {
    struct promise_type {
        int value = 0;
        Generator get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
        std::suspend_always initial_suspend() noexcept { return {}; }
        std::suspend_always final_suspend() noexcept { return {}; }
        std::suspend_always yield_value(int v) noexcept { value = v; return {}; }
        void return_void() noexcept {}
        void unhandled_exception() {}
    };
    std::coroutine_handle<promise_type> handle;
};

static Generator squares(int n) {
    for (int i = 0; i < n; i++) co_yield i * i;
}

int main() {
    Generator g = squares(5);
    int sum = 0;
    for (g.handle.resume(); !g.handle.done(); g.handle.resume()) {
        std::printf("%d ", g.handle.promise().value);
        sum += g.handle.promise().value;
    }
    g.handle.destroy();
    std::printf("%d\n", sum);
    return sum == 30 ? 0 : 1;
}
