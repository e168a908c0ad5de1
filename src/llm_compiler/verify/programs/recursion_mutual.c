/* Exercises: mutual recursion, tail calls, accumulators, deep and tree recursion, memo tables, recursion through pointers. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>

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


static int is_odd(unsigned n);
static int is_even(unsigned n) { return n == 0 ? 1 : is_odd(n - 1); }
static int is_odd(unsigned n) { return n == 0 ? 0 : is_even(n - 1); }

static uint64_t factorial_tail(unsigned n, uint64_t accumulator) {
    return n <= 1 ? accumulator : factorial_tail(n - 1, accumulator * n);
}

static uint64_t sum_not_tail(unsigned n) { return n == 0 ? 0 : n + sum_not_tail(n - 1); }

int ackermann(int m, int n) {
    if (m == 0) return n + 1;
    if (n == 0) return ackermann(m - 1, 1);
    return ackermann(m - 1, ackermann(m, n - 1));
}

static int hofstadter_male(int n);
static int hofstadter_female(int n) { return n == 0 ? 1 : n - hofstadter_male(hofstadter_female(n - 1)); }
static int hofstadter_male(int n) { return n == 0 ? 0 : n - hofstadter_female(hofstadter_male(n - 1)); }

static unsigned gcd(unsigned a, unsigned b) { return b == 0 ? a : gcd(b, a % b); }

static int hanoi(int discs, int from, int to, int via) {
    if (discs == 0) return 0;
    int moves = hanoi(discs - 1, from, via, to);
    mix((uint64_t)(from * 10 + to));
    return moves + 1 + hanoi(discs - 1, via, to, from);
}

static uint64_t memo[100];
static uint64_t catalan(unsigned n) {
    if (n == 0) return 1;
    if (memo[n]) return memo[n];
    uint64_t sum = 0;
    for (unsigned i = 0; i < n; i++) sum += catalan(i) * catalan(n - 1 - i);
    return memo[n] = sum;
}

typedef int (*walker)(void *self, int depth);
struct pair {
    walker left, right;
    int limit;
};
static int go_left(void *self, int depth) {
    struct pair *p = self;
    return depth >= p->limit ? 1 : p->right(self, depth + 1) * 2 + 1;
}
static int go_right(void *self, int depth) {
    struct pair *p = self;
    return depth >= p->limit ? 2 : p->left(self, depth + 2) * 3 - 1;
}

static unsigned permutations(int *items, int at, int count) {
    if (at == count) {
        uint64_t packed = 0;
        for (int i = 0; i < count; i++) packed = packed * 8 + (uint64_t)items[i];
        mix(packed);
        return 1;
    }
    unsigned found = 0;
    for (int i = at; i < count; i++) {
        int t = items[at];
        items[at] = items[i];
        items[i] = t;
        found += permutations(items, at + 1, count);
        items[i] = items[at];
        items[at] = t;
    }
    return found;
}

int main(void) {
    volatile unsigned thousand = 1000;
    CHECK(is_even(thousand) == 1 && is_odd(thousand) == 0 && is_odd(thousand + 1) == 1 && is_even(0) == 1);
    CHECK(factorial_tail(20, 1) == UINT64_C(2432902008176640000) && factorial_tail(0, 7) == 7);
    CHECK(sum_not_tail(thousand) == 500500);
    CHECK(ackermann(2, 3) == 9 && ackermann(3, 3) == 61 && ackermann(0, 0) == 1);
    for (int n = 0; n < 25; n++) mix((uint64_t)(hofstadter_female(n) * 100 + hofstadter_male(n)));
    CHECK(hofstadter_female(20) == 13 && hofstadter_male(20) == 12);
    CHECK(gcd(1071, 462) == 21 && gcd(17, 0) == 17 && gcd(0, 5) == 5 && gcd(270, 192) == 6);
    CHECK(hanoi(6, 1, 3, 2) == 63);
    CHECK(catalan(10) == 16796 && catalan(30) == UINT64_C(3814986502092304));
    struct pair p = {go_left, go_right, 10};
    for (p.limit = 0; p.limit < 12; p.limit++) mix((uint64_t)go_left(&p, 0));
    p.limit = 2;
    CHECK(go_left(&p, 0) == 2 * (3 * 1 - 1) + 1);
    int items[5] = {1, 2, 3, 4, 5};
    CHECK(permutations(items, 0, 5) == 120);
    CHECK(items[0] == 1 && items[4] == 5);
    return finish("recursion_mutual", UINT64_C(0x6e9f96314aca20b7));
}
