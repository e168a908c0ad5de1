/* Exercises: loops with calls that change state, exits from calls, invariants that are not, unswitchable conditions. */
#include <inttypes.h>
#include <stdbool.h>
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


static int budget;
static int calls;
static int *volatile escaped;

static bool spend(int amount) {
    calls++;
    if (amount > budget) return false;
    budget -= amount;
    return true;
}

__attribute__((noinline)) int external_rule(int i) { return (i * 5 + budget) % 7; }

static int spend_all(const int *amounts, int count) {
    int i;
    for (i = 0; i < count && spend(amounts[i]); i++) {
        if (external_rule(i) == 3) budget++;
        if (budget == 13) return -i;
    }
    return i;
}

/* `limit` is in memory and changes within the loop. */
static int moving_limit(int *limit) {
    int trips = 0;
    for (int i = 0; i < *limit; i++) {
        trips++;
        if (i % 4 == 0 && *limit < 30) *limit += 2;
        if (i % 9 == 8) (*escaped)--;
    }
    return trips;
}

static long unswitch(const int *p, int n, bool negate, bool skip_odd, int divisor) {
    long total = 0;
    for (int i = 0; i < n; i++) {
        if (skip_odd && (p[i] & 1)) continue;
        int value = divisor ? p[i] / divisor : p[i]; /* must not be hoisted above the test */
        if (negate) value = -value;
        total += value * (i + 1);
        if (total > 5000) {
            total = 5000 + i;
            break;
        }
    }
    return total;
}

static int guarded_load(const int *p, int n, const int *optional) {
    int sum = 0;
    for (int i = 0; i < n; i++) {
        if (optional) sum += *optional;
        sum += p[i];
    }
    return sum;
}

int main(void) {
    static const int amounts[] = {4, 9, 2, 7, 7, 1, 3, 8, 2, 6, 5, 4};
    for (int first = 0; first < 80; first++) {
        budget = first;
        calls = 0;
        int stopped = spend_all(amounts, 12);
        mix((uint64_t)stopped);
        mix((uint64_t)(budget * 64 + calls));
        CHECK(stopped <= calls && calls <= 12);
    }
    budget = 3;
    calls = 0;
    CHECK(spend_all(amounts, 12) == 0 && calls == 1 && budget == 3);

    for (int start = 0; start < 40; start++) {
        int limit = start;
        escaped = &limit;
        int trips = moving_limit(&limit);
        mix((uint64_t)(trips * 100 + limit));
        CHECK(start == 0 ? trips == 0 : trips >= limit);
    }

    for (int flags = 0; flags < 4; flags++)
        for (int divisor = -2; divisor <= 2; divisor++)
            for (int n = 0; n <= 12; n += 3)
                mix((uint64_t)unswitch(amounts, n, flags & 1, flags & 2, divisor));
    CHECK(unswitch(amounts, 3, false, false, 0) == 4 + 18 + 6);
    CHECK(unswitch(amounts, 3, true, true, 0) == -10);
    CHECK(unswitch(amounts, 4, false, false, 3) == 1 + 6 + 0 + 8);

    volatile int bonus = 10;
    int copy = bonus;
    CHECK(guarded_load(amounts, 4, NULL) == 22);
    CHECK(guarded_load(amounts, 4, &copy) == 62);
    CHECK(guarded_load(NULL, 0, NULL) == 0);
    return finish("loop_side_exits", UINT64_C(0x04e59b32564deb22));
}
