/* Exercises: placement new, class operator new/delete, aligned objects, an arena, explicit destructor calls, unions with objects, launder. */
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <new>
#include <stddef.h>
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


static int live, pool_used, deleted_size;
alignas(16) static unsigned char arena[1024];

static void *take(size_t n, size_t align) {
    size_t at = (size_t(pool_used) + align - 1) / align * align;
    if (at + n > sizeof arena) return nullptr;
    pool_used = int(at + n);
    return arena + at;
}
struct Pooled {
    int a, b;
    Pooled(int x, int y) : a(x), b(y) { live++; }
    virtual ~Pooled() { live--; }
    virtual int value() const { return a - b; }
    static void *operator new(size_t n) { return take(n, alignof(max_align_t)); }
    static void operator delete(void *, size_t n) { deleted_size += int(n); }
};
struct Larger : Pooled {
    int64_t extra[3];
    explicit Larger(int x) : Pooled(x, 1), extra{x, x * 2, x * 3} {}
    int value() const override { return int(extra[2]) - a; }
};
struct alignas(64) Aligned { char c; int v; };

template <typename T, int N> class Stack {
    alignas(T) unsigned char raw[N * sizeof(T)];
    int n = 0;
    T *slot(int i) { return std::launder(reinterpret_cast<T *>(raw + size_t(i) * sizeof(T))); }
public:
    ~Stack() { while (n) pop(); }
    template <typename... A> T &push(A... a) { return *::new (raw + size_t(n++) * sizeof(T)) T(a...); }
    void pop() { slot(--n)->~T(); }
    T &operator[](int i) { return *slot(i); }
    int size() const { return n; }
};
struct Maybe {
    bool full = false;
    union { char none; Pooled p; };
    Maybe() : none(0) {}
    ~Maybe() { clear(); }
    void set(int a, int b) { clear(); ::new (&p) Pooled(a, b); full = true; }
    void clear() { if (full) p.~Pooled(); full = false; }
};
struct Fixed { int x; };

int main() {
    Pooled *first = new Pooled(9, 4), *second = new Larger(5);
    CHECK(first->value() == 5 && second->value() == 10 && live == 2 && pool_used >= int(sizeof(Pooled) + sizeof(Larger)));
    CHECK(reinterpret_cast<unsigned char *>(first) == arena && (reinterpret_cast<unsigned char *>(second) - arena) % 16 == 0);
    delete first;
    delete second;
    CHECK(live == 0 && deleted_size == int(sizeof(Pooled) + sizeof(Larger)));
    {
        Stack<Larger, 6> s;
        for (int i = 0; i < 6; i++) mix(uint64_t(s.push(i * 7 - 10).value()));
        CHECK(live == 6 && s[2].extra[1] == 8 && s.size() == 6);
        s.pop();
        s.pop();
        s.push(100);
        CHECK(live == 5 && s[4].value() == 200 && s[3].a == 11);
    }
    CHECK(live == 0);
    {
        Maybe m;
        CHECK(live == 0);
        m.set(8, 3);
        m.set(1, 3);
        CHECK(m.full && m.p.value() == -2 && live == 1);
        m.clear();
        CHECK(live == 0);
        m.set(0, 0);
    }
    CHECK(live == 0);
    Aligned *heap = new Aligned[3];
    CHECK(reinterpret_cast<uintptr_t>(heap) % 64 == 0 && sizeof(Aligned) == 64 && alignof(Aligned) == 64);
    heap[2].v = 17;
    CHECK(reinterpret_cast<char *>(&heap[2].v) - reinterpret_cast<char *>(heap) == 132);
    delete[] heap;
    Aligned local[2];
    CHECK(reinterpret_cast<uintptr_t>(&local[1]) % 64 == 0);
    int *zeroed = new int[8]();
    int bits = 0;
    for (int i = 0; i < 8; i++) bits |= zeroed[i]++;
    CHECK(bits == 0 && zeroed[7] == 1);
    delete[] zeroed;
    unsigned char bytes[sizeof(Fixed)];
    memset(bytes, 0xff, sizeof bytes);
    Fixed *f = new (bytes) Fixed{};
    CHECK(f->x == 0);
    CHECK(take(5000, 8) == nullptr && new (std::nothrow) int(3) != nullptr);
    return finish("placement_and_allocators", UINT64_C(0xe1cf7bf99d5edad8));
}
