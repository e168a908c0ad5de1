// flags: -std=c++20
/* Exercises: C++20 tasks: awaiters, symmetric transfer, exceptions through co_await, thread_local across suspension, a scheduler, custom frames. */
#include <cinttypes>
#include <coroutine>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <exception>
#include <optional>
#include <thread>
#include <utility>

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

static thread_local int per_thread = 5;
static int frames;
struct Scheduler {
    std::deque<std::coroutine_handle<>> ready;
    void run() {
        while (!ready.empty()) {
            auto h = ready.front();
            ready.pop_front();
            h.resume();
        }
    }
};
static Scheduler scheduler;
struct Yield {
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> h) const { scheduler.ready.push_back(h); }
    void await_resume() const noexcept {}
};
template <class T>
struct Task {
    struct promise_type {
        std::optional<T> result;
        std::exception_ptr error;
        std::coroutine_handle<> waiting = std::noop_coroutine();
        static void *operator new(size_t size) { frames++; return std::malloc(size); }
        static void operator delete(void *p) { frames--; std::free(p); }
        Task get_return_object() { return Task{std::coroutine_handle<promise_type>::from_promise(*this)}; }
        std::suspend_always initial_suspend() noexcept { return {}; }
        struct Final {
            bool await_ready() noexcept { return false; }
            std::coroutine_handle<> await_suspend(std::coroutine_handle<promise_type> h) noexcept { return h.promise().waiting; }
            void await_resume() noexcept {}
        };
        Final final_suspend() noexcept { return {}; }
        void return_value(T v) { result = std::move(v); }
        void unhandled_exception() { error = std::current_exception(); }
    };
    std::coroutine_handle<promise_type> handle;
    explicit Task(std::coroutine_handle<promise_type> h) : handle(h) {}
    Task(Task &&o) noexcept : handle(std::exchange(o.handle, {})) {}
    ~Task() { if (handle) handle.destroy(); }
    bool await_ready() const noexcept { return false; }
    std::coroutine_handle<> await_suspend(std::coroutine_handle<> caller) noexcept {
        handle.promise().waiting = caller;
        return handle;
    }
    T await_resume() {
        if (handle.promise().error) std::rethrow_exception(handle.promise().error);
        return std::move(*handle.promise().result);
    }
    T run() {
        handle.resume();
        scheduler.run();
        return await_resume();
    }
};

static Task<int> leaf(int value, bool pause) {
    int kept = value * 3;
    if (pause) co_await Yield{};
    co_return kept + 1;
}
static Task<int> sum_of(int n) {
    int sum = 0;
    for (int i = 0; i < n; i++) sum += co_await leaf(i, i % 2 == 1);
    co_return sum;
}
static Task<int> failing(int at) {
    for (int i = 0; i < 10; i++) {
        co_await Yield{};
        if (i == at) throw i;
    }
    co_return -1;
}
static Task<int> catching(int at) {
    int result = 0;
    try {
        result = co_await failing(at);
    } catch (int e) {
        result = 100 + e;
    }
    co_await Yield{};
    co_return result;
}
/* Deep chains need symmetric transfer: each level resumes the next by a tail call. */
static Task<uint64_t> deep(int depth) {
    if (depth == 0) co_return 1;
    uint64_t below = co_await deep(depth - 1);
    co_return below * 3 + uint64_t(depth);
}
static Task<int> with_thread_local() {
    per_thread = 7;
    int before = per_thread;
    co_await Yield{};
    per_thread += 10;
    int *address = &per_thread;
    co_await Yield{};
    co_return before * 1000 + *address;
}
struct Switcher {
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> h) const { std::thread([h] { h.resume(); }).join(); }
    void await_resume() const noexcept {}
};
static Task<int> across_threads() {
    per_thread = 50;
    int first = per_thread;
    co_await Switcher{}; /* goes on in another thread, whose variable is another one */
    int second = per_thread;
    per_thread = 60;
    co_return first * 100 + second;
}
struct Maybe {
    bool ready;
    int value;
    bool await_ready() const noexcept { return ready; }
    bool await_suspend(std::coroutine_handle<>) const noexcept { return false; }
    int await_resume() const noexcept { return value; }
};
static Task<int> conditional(int n) {
    int odd = 0, even = 0;
    for (int i = 0; i < n; i++) {
        int v = co_await Maybe{i % 3 == 0, i};
        (v & 1 ? odd : even) += v;
    }
    co_return odd * 100 + even;
}
static Task<int> first_of(Task<int> a, Task<int> b, bool second) {
    if (second) co_return co_await std::move(b);
    co_return co_await std::move(a);
}

int main() {
    CHECK(leaf(5, false).run() == 16);
    CHECK(leaf(5, true).run() == 16);
    CHECK(sum_of(6).run() == 3 * 15 + 6);
    CHECK(catching(4).run() == 104);
    CHECK(catching(40).run() == -1);
    mix(deep(300).run());
    CHECK(with_thread_local().run() == 7017);
    CHECK(across_threads().run() == 5005);
    CHECK(per_thread == 50);
    CHECK(conditional(10).run() == 2520);
    CHECK(first_of(leaf(1, true), leaf(2, false), true).run() == 7);
    CHECK(first_of(leaf(1, true), leaf(2, false), false).run() == 4);
    { auto never = sum_of(3); }
    { auto half = sum_of(4); half.handle.resume(); scheduler.ready.clear(); }
    CHECK(frames == 0);
    for (int i = 0; i < 6; i++) mix(uint64_t(conditional(i * 3).run()));
    return finish("coroutine_tasks", UINT64_C(0xc5b718f9fac8079b));
}
