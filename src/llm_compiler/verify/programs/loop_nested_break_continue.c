/* Exercises: nested loops with break, continue, goto out of two levels, early return, several exits with different values. */
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


static int grid[9][11];

static int find(int wanted, int *row, int *column) {
    for (int r = 0; r < 9; r++) {
        if (grid[r][0] < 0) continue;
        for (int c = 0; c < 11; c++) {
            if (grid[r][c] == -5) break;
            if (grid[r][c] == wanted) {
                *row = r;
                *column = c;
                return r * 100 + c;
            }
        }
    }
    *row = *column = -1;
    return -1;
}

int count_primes(int limit) {
    int found = 0, n = 1;
next:
    for (n++; n < limit; n++) {
        for (int d = 2; d * d <= n; d++)
            if (n % d == 0) goto next;
        found++;
    }
    return found;
}

static long many_exits(const short *values, int count, long cap) {
    long sum = 0;
    int i = 0;
    while (1) {
        if (i >= count) return sum;
        if (values[i] == 0) break;
        if (values[i] < 0) {
            i += 2;
            if ((i & 1) == 0) sum--;
            continue;
        }
        sum += values[i++];
        if (sum > cap) goto overflow;
    }
    return sum * 1000 + i;
overflow:
    return -sum;
}

static int triangle(int n) {
    int total = 0;
    for (int i = 0; i < n; i++) {
        for (int j = i; j < n; j++) {
            if ((i + j) % 5 == 0) continue;
            for (int k = 0; k <= j - i; k++) {
                if (k > 3) break;
                total += i * 7 + j * 3 - k;
            }
            if (total > 4000) return total - n;
        }
    }
    return total;
}

int main(void) {
    for (int r = 0; r < 9; r++)
        for (int c = 0; c < 11; c++) grid[r][c] = r * 13 + c * c;
    grid[2][0] = -1;
    grid[4][6] = -5;
    int row, column;
    CHECK(find(0, &row, &column) == 0 && row == 0 && column == 0);
    CHECK(find(13 + 81, &row, &column) == 109 && row == 1 && column == 9);
    CHECK(find(8 * 13 + 100, &row, &column) == 810 && row == 8 && column == 10);
    CHECK(find(2 * 13 + 1, &row, &column) == -1 && row == -1 && column == -1);
    for (int wanted = -6; wanted < 220; wanted++) mix((uint64_t)find(wanted, &row, &column) ^ (uint64_t)column);

    volatile int limit = 100;
    CHECK(count_primes(limit) == 25);
    CHECK(count_primes(2) == 0 && count_primes(3) == 1 && count_primes(4) == 2);
    CHECK(count_primes(limit * 10) == 168);

    static const short values[] = {5, -1, 99, 7, 8, -3, 1, 30, 0, 4};
    for (int count = 0; count <= 10; count++)
        for (long cap = 0; cap <= 60; cap += 6) mix((uint64_t)many_exits(values, count, cap));
    CHECK(many_exits(values, 1, 100) == 5);
    CHECK(many_exits(values, 10, 100) == 50008);
    CHECK(many_exits(values, 10, 19) == -20 && many_exits(values, 10, 20) == -50);

    for (int n = 0; n < 40; n++) mix((uint64_t)triangle(n));
    CHECK(triangle(0) == 0 && triangle(1) == 0 && triangle(2) == 3 + 2 + 10);
    return finish("loop_nested_break_continue", UINT64_C(0xccfa68e56c0b0a86));
}
