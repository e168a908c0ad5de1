/* Exercises: std::string operations, map, unordered_map, set, deque, list splice, stringstream-free formatting, iteration order. */
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <list>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <unordered_map>

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


static std::string repeat(const std::string &s, int n) {
    std::string r;
    while (n-- > 0) r += s;
    return r;
}
static std::string replace_all(std::string s, const std::string &from, const std::string &to) {
    for (size_t at = 0; (at = s.find(from, at)) != std::string::npos; at += to.size()) s.replace(at, from.size(), to);
    return s;
}
static void absorb(const std::string &s) { for (char c : s) mix(uint64_t(c)); }

int main() {
    std::string s = "short", t = repeat("0123456789", 4);
    CHECK(s.size() == 5 && t.size() == 40 && t.substr(8, 4) == "8901" && s + "er" == "shorter");
    std::swap(s, t);
    CHECK(t == "short" && s[39] == '9');
    s.erase(5, 30);
    s.insert(2, "__");
    CHECK(s == "01__23456789" && s.find("56") == 7 && s.rfind('_') == 3 && s.find("x") == std::string::npos);
    CHECK(s.compare("01__") > 0 && std::string("abc") < std::string("abd") && std::string("ab") < std::string("abc") && t >= "short");
    CHECK(replace_all("a-b--c", "-", "<>") == "a<>b<><>c" && replace_all("aaa", "aa", "b") == "ba");
    CHECK(std::to_string(-1234567) + std::to_string(89u) == "-123456789" && std::stoi("77x") == 77);
    bool thrown = false;
    try {
        mix(uint64_t(t.at(5)));
    } catch (const std::out_of_range &) {
        thrown = true;
    }
    CHECK(thrown);
    for (int i = 0; i < 40; i += 3) {
        t.insert(size_t(i) % t.size(), 1, char('a' + i % 26));
        if (i % 4 == 3) t.pop_back();
        absorb(t);
    }

    std::map<std::string, int> words;
    std::string text = "to be or not to be that is the question to be";
    for (size_t at = 0; at < text.size();) {
        size_t end = std::min(text.find(' ', at), text.size());
        ++words[text.substr(at, end - at)];
        at = end + 1;
    }
    CHECK(words.size() == 8 && words["be"] == 3 && words["to"] == 3 && words.begin()->first == "be" && words.rbegin()->first == "to");
    CHECK(words.erase("is") == 1 && words.count("is") == 0 && words.lower_bound("o")->first == "or");
    for (auto &[word, n] : words) {
        absorb(word);
        mix(uint64_t(n));
    }
    std::unordered_map<int, int> squares;
    for (int i = -30; i < 30; i++) squares[i * i] += i;
    CHECK(squares.size() == 31 && squares[900] == -30 && squares[4] == 0 && squares.find(5) == squares.end());
    int64_t sum = 0;
    for (const auto &p : squares) sum += int64_t(p.first) * (p.second + 1);
    CHECK(sum == 9455 - 900 * 30);
    std::multiset<int> bag{5, 1, 5, 3, 1, 5};
    CHECK(bag.count(5) == 3 && *bag.begin() == 1 && std::distance(bag.begin(), bag.upper_bound(3)) == 3);
    std::deque<int> d;
    for (int i = 0; i < 700; i++) i % 3 ? d.push_back(i) : d.push_front(-i);
    for (int i = 0; i < 100; i++) d.pop_front(), d.pop_back();
    CHECK(d.size() == 500 && d.front() == -399 && d.back() == 548 && d[133] == 0);
    std::list<int> a{1, 2, 3}, b{10, 20};
    a.splice(std::next(a.begin()), b);
    a.reverse();
    a.remove_if([](int x) { return x == 20; });
    int packed = 0;
    for (int x : a) packed = packed * 100 + x;
    CHECK(packed == 3021001 && b.empty());
    a.sort();
    CHECK(a.front() == 1 && a.back() == 10);
    return finish("stl_strings_and_maps", UINT64_C(0xecbd24c638526c2d));
}
