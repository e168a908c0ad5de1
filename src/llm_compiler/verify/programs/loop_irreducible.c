/* Exercises: irreducible control flow: goto into loops from several places, two-entry cycles, a loop built from gotos. */
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


/* A cycle of A and B, entered at either. */
static int two_entries(int at_b, int n) {
    int trace = 0;
    if (at_b) goto b;
a:
    trace = trace * 3 + 1;
    if (--n <= 0) goto out;
    if (n % 5 == 3) goto a;
b:
    trace = trace * 2 + n;
    trace &= 0xffffff;
    if (n > 0) {
        n -= 2;
        if (n % 3 == 1) goto b;
        goto a;
    }
out:
    return trace * 16 + (n & 15);
}

/* A while loop whose body is entered in the middle from three different places. */
int middle(int where, int limit, int *log) {
    int i = 0, sum = 0;
    switch (where) {
    case 1: i = 2; goto first;
    case 2: i = 4; sum = 100; goto second;
    case 3: sum = -50; goto third;
    }
    while (i < limit) {
        sum += i;
    first:
        sum ^= 0x33;
        if (i == 7) break;
    second:
        sum -= i * 2;
        if (sum < -200) return sum;
    third:
        log[i & 7] += sum;
        i++;
    }
    return sum + 1000 * i;
}

static unsigned collatz(unsigned x) {
    unsigned steps = 0;
test:
    if (x == 1) goto done;
    steps++;
    if (x % 2 == 0) goto even;
    x = 3 * x + 1;
    goto test;
even:
    x /= 2;
    goto test;
done:
    return steps;
}

static uint32_t tangle(uint32_t seed, int fuel) {
    uint32_t x = seed;
    if (x & 1) goto p;
    if (x & 2) goto q;
r:
    if (fuel-- <= 0) return x;
    x = x * 5 + 3;
    if (x & 4) goto p;
q:
    if (fuel-- <= 0) return x ^ 0xaaaa;
    x = (x >> 3) | (x << 29);
    if (x & 8) goto r;
p:
    if (fuel-- <= 0) return ~x;
    x -= 0x1234567;
    if (x % 3 == 0) goto q;
    if (x % 3 == 1) goto r;
    goto p;
}

int main(void) {
    CHECK(two_entries(0, 1) == 16 && two_entries(1, 0) == 0);
    for (int n = 0; n < 30; n++) {
        mix((uint64_t)two_entries(0, n));
        mix((uint64_t)two_entries(1, n));
    }
    for (int where = 0; where < 5; where++) {
        for (int limit = 0; limit < 12; limit += 2) {
            int log[8] = {0};
            mix((uint64_t)middle(where, limit, log));
            for (int i = 0; i < 8; i++) mix((uint64_t)log[i]);
        }
    }
    int log[8] = {0};
    CHECK(middle(0, 0, log) == 0);
    CHECK(middle(3, 1, log) == 1000 - 50 && log[0] == -50);
    CHECK(collatz(1) == 0 && collatz(27) == 111 && collatz(97) == 118 && collatz(8) == 3);
    for (uint32_t seed = 0; seed < 20; seed++)
        for (int fuel = 0; fuel < 40; fuel += 3) mix(tangle(seed * 2654435761u, fuel));
    CHECK(tangle(1, 0) == ~1u && tangle(2, 0) == (2u ^ 0xaaaa) && tangle(4, 0) == 4);
    CHECK(tangle(4, 1) == ~23u);
    return finish("loop_irreducible", UINT64_C(0x2a0af7f5eaf54554));
}
