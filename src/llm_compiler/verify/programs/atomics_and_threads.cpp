/* Exercises: std::atomic of several types and orders, std::thread with lambdas, mutex and lock_guard, condition_variable, call_once. */
#include <atomic>
#include <cinttypes>
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <mutex>
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


static std::atomic<int> sum{0};
static std::atomic<int64_t> highest{-1};
static std::atomic<bool> stop{false};
static std::once_flag once;
static int initialised, guarded;
static std::mutex mutex;

class Channel {
    int items[4], head = 0, count = 0;
    std::mutex m;
    std::condition_variable changed;
public:
    void send(int x) {
        std::unique_lock<std::mutex> lock(m);
        changed.wait(lock, [this] { return count < 4; });
        items[(head + count++) % 4] = x;
        changed.notify_all();
    }
    int receive() {
        std::unique_lock<std::mutex> lock(m);
        while (count == 0) changed.wait(lock);
        int x = items[head];
        head = (head + 1) % 4;
        count--;
        changed.notify_all();
        return x;
    }
};
static void raise(int64_t x) {
    int64_t seen = highest.load(std::memory_order_relaxed);
    while (seen < x && !highest.compare_exchange_weak(seen, x, std::memory_order_acq_rel, std::memory_order_relaxed)) {}
}
struct Small { short a, b; };

struct Node { Node *next; int value; };
static std::atomic<Node *> stack{nullptr};
static void push(Node *n) {
    n->next = stack.load(std::memory_order_relaxed);
    while (!stack.compare_exchange_weak(n->next, n, std::memory_order_release, std::memory_order_relaxed)) {}
}

int main() {
    static Node nodes[3][20];
    std::thread workers[3];
    for (int t = 0; t < 3; t++)
        workers[t] = std::thread([t] {
            std::call_once(once, [] { initialised += 5; });
            for (int i = 0; i < 100; i++) {
                sum.fetch_add(i * (t + 1), std::memory_order_relaxed);
                raise((i * 37 + t * 11) % 101);
                if (i < 20) nodes[t][i].value = t * 100 + i, push(&nodes[t][i]);
                std::lock_guard<std::mutex> lock(mutex);
                guarded = guarded + t + 1;
            }
        });
    for (auto &w : workers) w.join();
    CHECK(sum == 4950 * 6 && highest == 100 && initialised == 5 && guarded == 600);
    int pushed = 0, total = 0;
    for (Node *n = stack; n; n = n->next) pushed++, total += n->value;
    CHECK(pushed == 60 && total == 190 * 3 + 2000 + 4000);

    Channel requests, answers;
    std::thread server([&] {
        for (int x; (x = requests.receive()) >= 0;) answers.send(x * x - 1);
        stop.store(true, std::memory_order_release);
    });
    int received = 0;
    for (int i = 0; i < 30; i++) {
        requests.send(i);
        received = (received * 7 + answers.receive()) % 100003;
        mix(uint64_t(received));
    }
    requests.send(-1);
    server.join();
    CHECK(stop.load(std::memory_order_acquire));

    std::atomic<Small> small{Small{1, 2}};
    Small expected{1, 3};
    CHECK(!small.compare_exchange_strong(expected, Small{9, 9}) && expected.b == 2);
    CHECK(small.compare_exchange_strong(expected, Small{9, 8}) && small.load().a == 9 && small.exchange(Small{0, 0}).b == 8);
    std::atomic<uint8_t> byte{250};
    CHECK(byte.fetch_add(10) == 250 && byte == 4 && (byte |= 3) == 7 && byte.fetch_sub(8) == 7 && byte == 255 && --byte == 254);
    int array[5] = {1, 2, 3, 4, 5};
    std::atomic<int *> cursor{array};
    CHECK(*cursor.fetch_add(3) == 1 && *cursor == 4 && *--cursor == 3 && *(cursor += 2) == 5);
    std::atomic_flag flag = ATOMIC_FLAG_INIT;
    CHECK(!flag.test_and_set() && flag.test_and_set());
    flag.clear();
    CHECK(!flag.test_and_set(std::memory_order_acq_rel));
    return finish("atomics_and_threads", UINT64_C(0x4c371d1b8bc7a10b));
}
