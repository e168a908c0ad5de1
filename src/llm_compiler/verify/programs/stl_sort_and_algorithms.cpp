/* Exercises: std::sort, stable_sort, partial_sort, nth_element, heaps, partition, unique, accumulate, permutations, set operations. */
#include <algorithm>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <numeric>
#include <vector>

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


struct Item { int key, order; };
static std::vector<int> numbers(int n, uint32_t seed) {
    std::vector<int> v;
    for (int i = 0; i < n; i++) v.push_back(int((seed = seed * 1664525u + 1013904223u) >> 20) - 2048);
    return v;
}
static void absorb(const std::vector<int> &v) { for (int x : v) mix(uint64_t(x)); }

int main() {
    for (int n : {0, 1, 2, 15, 16, 17, 100}) {
        std::vector<int> v = numbers(n, uint32_t(n) + 5), w = v, h = v, p = v;
        std::sort(v.begin(), v.end());
        CHECK(std::is_sorted(v.begin(), v.end()));
        absorb(v);
        std::sort(w.begin(), w.end(), [](int a, int b) { return a > b; });
        CHECK(std::equal(v.rbegin(), v.rend(), w.begin()));
        std::make_heap(h.begin(), h.end());
        for (auto end = h.end(); end != h.begin(); --end) {
            CHECK(*h.begin() == v[size_t(end - h.begin()) - 1]);
            std::pop_heap(h.begin(), end);
        }
        CHECK(h == v);
        if (n > 2) {
            std::nth_element(p.begin(), p.begin() + n / 3, p.end());
            CHECK(p[size_t(n / 3)] == v[size_t(n / 3)]);
            std::partial_sort(p.begin(), p.begin() + n / 2, p.end(), std::greater<int>());
            CHECK(p[0] == v.back() && std::equal(p.begin(), p.begin() + n / 2, w.begin()));
        }
    }
    std::vector<Item> items;
    for (int i = 0; i < 60; i++) items.push_back({(i * 17) % 7 - 3, i});
    std::stable_sort(items.begin(), items.end(), [](const Item &a, const Item &b) { return a.key < b.key; });
    for (size_t i = 1; i < items.size(); i++) CHECK(items[i - 1].key < items[i].key || (items[i - 1].key == items[i].key && items[i - 1].order < items[i].order));
    auto range = std::equal_range(items.begin(), items.end(), Item{2, 0}, [](const Item &a, const Item &b) { return a.key < b.key; });
    CHECK(range.second - range.first == 8 || range.second - range.first == 9);

    std::vector<int> v(20), odd, both;
    std::iota(v.begin(), v.end(), -5);
    CHECK(std::accumulate(v.begin(), v.end(), 0) == 90 && std::inner_product(v.begin(), v.end(), v.begin(), 0) == 1070);
    std::copy_if(v.begin(), v.end(), std::back_inserter(odd), [](int x) { return x % 2 != 0; });
    CHECK(odd.size() == 10 && std::count_if(v.begin(), v.end(), [](int x) { return x > 9; }) == 5);
    std::rotate(v.begin(), v.begin() + 6, v.end());
    CHECK(v[0] == 1 && v[14] == -5 && v.back() == 0);
    auto middle = std::stable_partition(v.begin(), v.end(), [](int x) { return x % 3 == 0; });
    CHECK(middle - v.begin() == 6 && v[0] == 3 && v[5] == 0);
    std::set_intersection(odd.begin(), odd.end(), odd.begin() + 2, odd.end(), std::back_inserter(both));
    CHECK(both.size() == 8 && std::includes(odd.begin(), odd.end(), both.begin(), both.end()));
    std::vector<int> repeats{1, 1, 2, 2, 2, 3, 1, 1};
    repeats.erase(std::unique(repeats.begin(), repeats.end()), repeats.end());
    CHECK((repeats == std::vector<int>{1, 2, 3, 1}));
    repeats.erase(std::remove(repeats.begin(), repeats.end(), 1), repeats.end());
    CHECK(repeats.size() == 2 && *std::max_element(repeats.begin(), repeats.end()) == 3);
    std::vector<int> p{1, 2, 3, 4};
    int permutations = 0;
    do {
        mix(uint64_t(p[0] * 1000 + p[1] * 100 + p[2] * 10 + p[3]));
        permutations++;
    } while (std::next_permutation(p.begin(), p.end()));
    CHECK(permutations == 24 && p[0] == 1);
    std::reverse(odd.begin(), odd.end());
    std::transform(odd.begin(), odd.end(), odd.begin(), [](int x) { return x * x - 1; });
    std::partial_sum(odd.begin(), odd.end(), odd.begin());
    absorb(odd);
    CHECK(std::lower_bound(both.begin(), both.end(), 4) - both.begin() == 3 && std::binary_search(both.begin(), both.end(), 5) && !std::binary_search(both.begin(), both.end(), 4));
    return finish("stl_sort_and_algorithms", UINT64_C(0x56684e8144e4ac59));
}
