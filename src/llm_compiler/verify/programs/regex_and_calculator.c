/* Exercises: a backtracking matcher (. * + ? ^ $ classes), a precedence-climbing calculator with variables and errors. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
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


static int match_here(const char *pattern, const char *text);
static const char *unit_end(const char *p) {
    if (*p == '\\' && p[1]) return p + 2;
    if (*p != '[') return p + 1;
    for (p++; *p && *p != ']'; p++) {}
    return p + (*p == ']');
}
static int unit_matches(const char *p, char c) {
    if (c == '\0') return 0;
    switch (*p) {
    case '.': return 1;
    case '\\': return p[1] == 'd' ? c >= '0' && c <= '9' : p[1] == c;
    case '[': {
        int negate = p[1] == '^', found = 0;
        for (p += 1 + negate; *p && *p != ']'; p++) {
            if (p[1] == '-' && p[2] != ']') {
                if (c >= p[0] && c <= p[2]) found = 1;
                p += 2;
            } else if (*p == c) found = 1;
        }
        return found != negate;
    }
    }
    return *p == c;
}
static int match_many(const char *unit, const char *rest, const char *text, int least, int most) {
    int n = 0;
    while (n < most && unit_matches(unit, text[n])) n++;
    for (; n >= least; n--)
        if (match_here(rest, text + n)) return 1;
    return 0;
}
static int match_here(const char *pattern, const char *text) {
    if (*pattern == '\0') return 1;
    if (pattern[0] == '$' && pattern[1] == '\0') return *text == '\0';
    const char *end = unit_end(pattern);
    switch (*end) {
    case '*': return match_many(pattern, end + 1, text, 0, 1000);
    case '+': return match_many(pattern, end + 1, text, 1, 1000);
    case '?': return match_many(pattern, end + 1, text, 0, 1);
    }
    return unit_matches(pattern, *text) && match_here(end, text + 1);
}
static int search(const char *pattern, const char *text) {
    if (*pattern == '^') return match_here(pattern + 1, text) ? 0 : -1;
    for (int i = 0;; i++) {
        if (match_here(pattern, text + i)) return i;
        if (text[i] == '\0') return -1;
    }
}

static const char *at;
static int failed, variables[26];
static int level(char c) {
    switch (c) {
    case '|': return 1;
    case '&': return 2;
    case '<': case '>': case '=': return 3;
    case '+': case '-': return 4;
    case '*': case '/': case '%': return 5;
    case '^': return 6;
    default: return 0;
    }
}
static int expression(int lowest);
static int primary(void) {
    while (*at == ' ') at++;
    if (*at == '-') return at++, -expression(6);
    if (*at == '!') return at++, !primary();
    if (*at == '(') {
        at++;
        int v = expression(1);
        if (*at == ')') at++;
        else failed = 1;
        return v;
    }
    if (*at >= 'a' && *at <= 'z') {
        int which = *at++ - 'a';
        if (*at == ':') return at++, variables[which] = expression(1);
        return variables[which];
    }
    if (*at < '0' || *at > '9') return failed = 2, 0;
    int v = 0;
    while (*at >= '0' && *at <= '9') v = v * 10 + *at++ - '0';
    return v;
}
static int expression(int lowest) {
    int left = primary();
    for (;;) {
        while (*at == ' ') at++;
        char op = *at;
        int l = level(op);
        if (failed || l < lowest || l == 0) return left;
        at++;
        int right = expression(op == '^' ? l : l + 1);
        switch (op) {
        case '+': left += right; break;
        case '-': left -= right; break;
        case '*': left *= right; break;
        case '/': case '%':
            if (right == 0) failed = 3;
            else left = op == '/' ? left / right : left % right;
            break;
        case '<': left = left < right; break;
        case '>': left = left > right; break;
        case '=': left = left == right; break;
        case '&': left = left && right; break;
        case '|': left = left || right; break;
        case '^': {
            int p = 1;
            while (right-- > 0) p *= left;
            left = p;
        }
        }
    }
}
static int evaluate(const char *text) {
    at = text;
    failed = 0;
    int v = expression(1);
    if (!failed && *at) failed = 4;
    return failed ? -1000 - failed : v;
}

int main(void) {
    static const struct { const char *pattern, *text; int where; } matches[] = {
        {"abc", "xxabcx", 2}, {"^abc", "xabc", -1}, {"a.c$", "abcadc", 3}, {"ab*c", "xacabbbc", 1}, {"ab+c", "xacabbbc", 3}, {"colou?r", "the color", 4},
        {"[0-9]+\\.[0-9]+", "v 12.50", 2}, {"[^a-z]", "abcXd", 3}, {"\\d\\d$", "1a23", 2}, {"x*", "aaa", 0}, {"", "q", 0}, {"a[", "a", -1},
        {".*b.*d", "aabccd", 0}, {"q$", "qqr", -1}, {"(a+)?", "b", -1}, {"[a-c]*d", "ffabcd", 2}, {"\\.", "a.b", 1}, {"a*a*a*b", "aaaaaaaa", -1}};
    for (unsigned i = 0; i < sizeof matches / sizeof *matches; i++) {
        int where = search(matches[i].pattern, matches[i].text);
        CHECK(where == matches[i].where);
        mix((uint64_t)where);
    }
    static const struct { const char *text; int value; } sums[] = {
        {"1+2*3", 7}, {"(1+2)*3", 9}, {"10-4-3", 3}, {"2^3^2", 512}, {"-2^2", -4}, {"7/2*2+7%4", 9}, {"x:5*2", 10}, {"x*x-1", 99}, {"1<2&3>4|5=5", 1},
        {"!0+!7", 1}, {"0|3", 1}, {"4|0", 1}, {"0|0", 0}, {"2&0", 0}, {"9&8", 1}, {"1/0", -1003}, {"(1", -1001}, {"1+", -1002}, {"1 2", -1004}, {" 8 - 3 * 2 ", 2}, {"y:x:3", 3}, {"x+y*10", 33}, {"100-99<1", 0}, {"-7/2", -3}, {"-7%3", -1}};
    for (unsigned i = 0; i < sizeof sums / sizeof *sums; i++) {
        int value = evaluate(sums[i].text);
        CHECK(value == sums[i].value);
        mix((uint64_t)value);
    }
    return finish("regex_and_calculator", UINT64_C(0xcdcb26f240bce041));
}
