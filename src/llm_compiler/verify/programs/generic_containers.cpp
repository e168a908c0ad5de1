/* Exercises: own growable array, ring buffer, bitset sieve, B-tree-like sorted set, LRU cache, matrix templates, without the STL. */
#include <cinttypes>
#include <cstdint>
#include <cstdio>
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


template <typename T> class Array {
    T *p = nullptr;
    int n = 0, room = 0;
public:
    Array() = default;
    Array(const Array &o) { for (int i = 0; i < o.n; i++) push(o.p[i]); }
    Array &operator=(Array o) { swap(o); return *this; }
    ~Array() { delete[] p; }
    void swap(Array &o) { auto q = p; p = o.p; o.p = q; int t = n; n = o.n; o.n = t; t = room; room = o.room; o.room = t; }
    void push(const T &x) {
        if (n == room) {
            room = room ? room * 3 / 2 + 1 : 2;
            T *q = new T[size_t(room)];
            for (int i = 0; i < n; i++) q[i] = p[i];
            delete[] p;
            p = q;
        }
        p[n++] = x;
    }
    void insert(int at, const T &x) { push(x); for (int i = n - 1; i > at; i--) p[i] = p[i - 1]; p[at] = x; }
    void erase(int at) { for (int i = at; i < n - 1; i++) p[i] = p[i + 1]; n--; }
    T &operator[](int i) { return p[i]; }
    const T &operator[](int i) const { return p[i]; }
    int size() const { return n; }
    int capacity() const { return room; }
};
template <typename T, unsigned N> class Ring {
    T items[N];
    unsigned in = 0, out = 0;
public:
    bool put(T x) { if (in - out == N) return false; items[in++ % N] = x; return true; }
    bool get(T *x) { if (in == out) return false; *x = items[out++ % N]; return true; }
    unsigned size() const { return in - out; }
};
template <int N> class Bits {
    uint32_t words[(N + 31) / 32] = {};
public:
    void set(int i) { words[i >> 5] |= 1u << (i & 31); }
    void clear(int i) { words[i >> 5] &= ~(1u << (i & 31)); }
    void flip(int i) { words[i >> 5] ^= 1u << (i & 31); }
    bool operator[](int i) const { return words[i >> 5] >> (i & 31) & 1; }
    int count() const { int c = 0; for (uint32_t w : words) for (; w; w &= w - 1) c++; return c; }
    int next(int from) const { for (; from < N; from++) if ((*this)[from]) return from; return -1; }
};
template <typename K, typename V, int N> class Cache {
    struct Slot { K key; V value; unsigned age; bool used; } slots[N] = {};
    unsigned clock = 0;
public:
    int hits = 0, misses = 0;
    template <typename F> V get(K key, F load) {
        int oldest = 0;
        for (int i = 0; i < N; i++) {
            if (slots[i].used && slots[i].key == key) { hits++; slots[i].age = ++clock; return slots[i].value; }
            if (!slots[i].used || (slots[oldest].used && slots[i].age < slots[oldest].age)) { if (slots[oldest].used) oldest = i; }
        }
        misses++;
        slots[oldest] = {key, load(key), ++clock, true};
        return slots[oldest].value;
    }
};
static int position(const Array<int> &a, int x) {
    int low = 0, high = a.size();
    while (low < high) { int m = (low + high) / 2; if (a[m] < x) low = m + 1; else high = m; }
    return low;
}

int main() {
    Array<int> sorted;
    int added = 0;
    for (int i = 0; i < 200; i++) {
        int x = (i * i * 7 + i) % 113, at = position(sorted, x);
        if (at == sorted.size() || sorted[at] != x) sorted.insert(at, x), added++;
    }
    CHECK(added == sorted.size() && sorted.capacity() >= added && sorted[0] == 0);
    for (int i = 1; i < sorted.size(); i++) CHECK(sorted[i - 1] < sorted[i]);
    Array<int> copy = sorted;
    for (int i = copy.size() - 1; i >= 0; i -= 2) copy.erase(i);
    CHECK(copy.size() == added / 2 && sorted.size() == added);
    for (int i = 0; i < copy.size(); i++) mix(uint64_t(copy[i]));
    sorted = copy;
    CHECK(sorted.size() == copy.size() && &sorted[0] != &copy[0]);
    Array<Array<int>> triangle;
    for (int r = 0; r < 12; r++) {
        Array<int> row;
        for (int c = 0; c <= r; c++) row.push(c == 0 || c == r ? 1 : triangle[r - 1][c - 1] + triangle[r - 1][c]);
        triangle.push(row);
    }
    CHECK(triangle[11][5] == 462 && triangle[10][5] == 252 && triangle[4][2] == 6);
    Ring<short, 5> ring;
    short got = 0;
    int lost = 0, empty = 0;
    for (int i = 0; i < 60; i++) {
        if (i % 7 < 4) lost += !ring.put(short(i * 3 - 50));
        else if (ring.get(&got)) mix(uint64_t(got));
        else empty++;
    }
    CHECK(ring.size() <= 5 && lost > 0 && empty == 0);
    mix(uint64_t(lost) * 16 + ring.size());
    Bits<1000> composite;
    for (int i = 2; i < 1000; i++)
        if (!composite[i]) for (int j = i * i; j < 1000; j += i) composite.set(j);
    CHECK(1000 - 2 - composite.count() == 168 && !composite[997] && composite[999] && composite.next(5) == 6 && composite.next(997) == 998);
    composite.flip(5);
    composite.clear(6);
    CHECK(composite.next(5) == 5 && composite.next(6) == 8);
    Cache<int, int64_t, 4> cache;
    int64_t sum = 0;
    for (int i = 0; i < 100; i++) sum = sum * 3 % 1000003 + cache.get((i * i) % 9, [](int k) { return int64_t(k) * k - 4; });
    CHECK(cache.hits + cache.misses == 100 && cache.hits > 20);
    mix(uint64_t(cache.hits));
    mix(uint64_t(sum));
    return finish("generic_containers", UINT64_C(0x7f1dd5646a24fb52));
}
