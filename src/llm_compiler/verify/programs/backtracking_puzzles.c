/* Exercises: N queens (arrays and bit masks), subset sums, a sudoku solver, knight's walk, all by backtracking recursion. */
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


static int columns[12], nodes;
static int queens(int row, int n) {
    int found = 0;
    nodes++;
    if (row == n) return 1;
    for (int c = 0; c < n; c++) {
        int ok = 1;
        for (int r = 0; r < row && ok; r++) {
            int gap = columns[r] - c;
            if (gap == 0 || gap == row - r || gap == r - row) ok = 0;
        }
        if (!ok) continue;
        columns[row] = c;
        found += queens(row + 1, n);
    }
    return found;
}
static unsigned queens_by_bits(unsigned all, unsigned taken, unsigned left, unsigned right) {
    unsigned found = 0;
    if (taken == all) return 1;
    for (unsigned free = all & ~(taken | left | right); free; free &= free - 1) {
        unsigned bit = free & -free;
        found += queens_by_bits(all, taken | bit, (left | bit) << 1, (right | bit) >> 1);
    }
    return found;
}
static int subsets(const int *items, int n, int target) {
    if (target == 0) return 1;
    if (n == 0 || target < 0) return 0;
    return subsets(items + 1, n - 1, target - items[0]) + subsets(items + 1, n - 1, target);
}
static unsigned char cells[16];
static int fits(int at, int digit) {
    int row = at / 4, column = at % 4, box = row / 2 * 8 + column / 2 * 2;
    for (int i = 0; i < 4; i++) {
        if (cells[row * 4 + i] == digit || cells[i * 4 + column] == digit) return 0;
        if (cells[box + i / 2 * 4 + i % 2] == digit) return 0;
    }
    return 1;
}
static int solve(int at) {
    while (at < 16 && cells[at]) at++;
    if (at == 16) return 1;
    int solutions = 0;
    for (int digit = 1; digit <= 4; digit++) {
        if (!fits(at, digit)) continue;
        cells[at] = (unsigned char)digit;
        mix((uint64_t)(at * 5 + digit));
        solutions += solve(at + 1);
        cells[at] = 0;
    }
    return solutions;
}
static signed char board[5][5];
static int tour(int r, int c, int step) {
    static const signed char moves[8][2] = {{1, 2}, {2, 1}, {2, -1}, {1, -2}, {-1, -2}, {-2, -1}, {-2, 1}, {-1, 2}};
    if (r < 0 || r >= 5 || c < 0 || c >= 5 || board[r][c]) return 0;
    board[r][c] = (signed char)step;
    if (step == 25) return 1;
    for (int m = 0; m < 8; m++)
        if (tour(r + moves[m][0], c + moves[m][1], step + 1)) return 1;
    board[r][c] = 0;
    return 0;
}

int main(void) {
    static const int expected[] = {1, 1, 0, 0, 2, 10, 4, 40};
    for (volatile int n = 1; n < 8; n++) {
        nodes = 0;
        CHECK(queens(0, n) == expected[n] && queens_by_bits((1u << n) - 1, 0, 0, 0) == (unsigned)expected[n]);
        mix((uint64_t)nodes);
    }
    static const int items[] = {3, 34, 4, 12, 5, 2, 7, 9, 1, 6};
    for (int target = 0; target < 40; target++) mix((uint64_t)subsets(items, 10, target));
    CHECK(subsets(items, 6, 9) == 2 && subsets(items, 6, 30) == 0 && subsets(items, 3, 41) == 1 && subsets(items, 0, 0) == 1);
    CHECK(solve(0) == 288);
    cells[0] = 1, cells[6] = 3, cells[9] = 2, cells[15] = 4;
    mix((uint64_t)solve(0));
    CHECK(tour(0, 0, 1) == 1);
    for (int i = 0; i < 25; i++) mix((uint64_t)board[i / 5][i % 5]);
    return finish("backtracking_puzzles", UINT64_C(0x7c5e8f8a7c3cdd81));
}
