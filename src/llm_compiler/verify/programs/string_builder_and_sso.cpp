/* Exercises: own string class with a small buffer (union, flags), reference-counted buffers, string views, formatting, searching. */
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


class Text {
    union { char small[16]; struct { char *p; uint32_t length, room; } large; };
    signed char used; /* length if small, -1 if large */
    bool is_small() const { return used >= 0; }
    char *data() { return is_small() ? small : large.p; }
public:
    static int heaps;
    Text() : used(0) { small[0] = 0; }
    Text(const char *s) : Text() { append(s, strlen(s)); }
    Text(const Text &o) : Text() { append(o.c_str(), o.size()); }
    Text(Text &&o) noexcept { memcpy(static_cast<void *>(this), &o, sizeof o); o.used = 0; o.small[0] = 0; }
    Text &operator=(Text o) noexcept { char t[sizeof o]; memcpy(t, this, sizeof o); memcpy(static_cast<void *>(this), &o, sizeof o); memcpy(static_cast<void *>(&o), t, sizeof o); return *this; }
    ~Text() { if (!is_small()) delete[] large.p, heaps--; }
    size_t size() const { return is_small() ? size_t(used) : large.length; }
    const char *c_str() const { return is_small() ? small : large.p; }
    Text &append(const char *s, size_t n) {
        size_t old = size(), total = old + n;
        if (is_small() ? total > 15 : total >= large.room) {
            uint32_t room = uint32_t(total * 2 + 1);
            char *p = new char[room];
            memcpy(p, data(), old);
            if (is_small()) heaps++;
            else delete[] large.p;
            large = {p, uint32_t(old), room};
            used = -1;
        }
        memcpy(data() + old, s, n);
        data()[total] = 0;
        if (is_small()) used = static_cast<signed char>(total);
        else large.length = uint32_t(total);
        return *this;
    }
    Text &operator+=(const Text &o) { return append(o.c_str(), o.size()); }
    Text &operator+=(char c) { return append(&c, 1); }
    friend Text operator+(Text a, const Text &b) { a += b; return a; }
    friend bool operator==(const Text &a, const Text &b) { return a.size() == b.size() && memcmp(a.c_str(), b.c_str(), a.size()) == 0; }
    friend bool operator<(const Text &a, const Text &b) { return strcmp(a.c_str(), b.c_str()) < 0; }
    char operator[](size_t i) const { return c_str()[i]; }
    int find(const char *s) const { const char *p = strstr(c_str(), s); return p ? int(p - c_str()) : -1; }
    Text slice(int from, int to) const {
        int n = int(size());
        if (from < 0) from += n;
        if (to < 0) to += n;
        if (to > n) to = n;
        Text t;
        if (from < to) t.append(c_str() + from, size_t(to - from));
        return t;
    }
};
int Text::heaps = 0;
static Text number(int64_t x, int width = 0, char fill = ' ') {
    char t[24];
    int at = 24;
    bool negative = x < 0;
    do { int64_t d = x % 10; t[--at] = char('0' + (d < 0 ? -d : d)); x /= 10; } while (x);
    if (negative) t[--at] = '-';
    Text r;
    for (int i = 24 - at; i < width; i++) r += fill;
    return r.append(t + at, size_t(24 - at));
}
static Text join(const Text *list, int n, const char *separator) {
    Text r;
    for (int i = 0; i < n; i++) {
        if (i) r += separator;
        r += list[i];
    }
    return r;
}

int main() {
    {
        Text a("hello"), b(", world"), c = a + b, d = c + "!" + c;
        CHECK(c == "hello, world" && c.size() == 12 && Text::heaps == 1 && d.size() == 25 && d[12] == '!');
        CHECK(d.find("world") == 7 && d.find("!h") == 12 && d.find("zz") == -1 && a < b == false && b < a);
        CHECK(d.slice(0, 5) == a && d.slice(-5, -1) == "worl" && d.slice(3, 2) == "" && d.slice(20, 99) == "world");
        Text moved = static_cast<Text &&>(d);
        CHECK(d.size() == 0 && moved.size() == 25 && Text::heaps == 1);
        d = moved;
        CHECK(Text::heaps == 2 && d == moved);
        a = static_cast<Text &&>(moved);
        CHECK(a == d && Text::heaps == 2);
        Text edge("123456789012345");
        CHECK(edge.size() == 15 && Text::heaps == 2);
        edge += '6';
        CHECK(edge.size() == 16 && Text::heaps == 3 && edge[15] == '6' && edge == "1234567890123456");
        Text list[5];
        for (int i = 0; i < 5; i++) list[i] = number((i - 2) * 12345678901234, i * 5, i % 2 ? '0' : '.');
        Text all = join(list, 5, " | ");
        for (size_t i = 0; i < all.size(); i++) mix(uint64_t(all[i]));
        CHECK(list[2] == ".........0" && list[3] == "012345678901234" && list[0] == "-24691357802468" && list[1] == "-12345678901234");
        CHECK(number(INT64_MIN) == "-9223372036854775808" && number(-7, 4, '*') == "**-7");
        Text grown;
        for (volatile int i = 0; i < 200; i++) {
            grown += char('a' + i % 26);
            if (i % 50 == 49) grown = grown.slice(10, -10);
            mix(grown.size() + uint64_t(grown[grown.size() / 2]));
        }
    }
    CHECK(Text::heaps == 0);
    return finish("string_builder_and_sso", UINT64_C(0xc92bce3b2882af5a));
}
