/* Exercises: matrix multiply in two orders, powers, determinant, edit distance, knapsack, longest common subsequence, coin change. */
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


enum { N = 7 };
static int64_t a[N][N], b[N][N], c[N][N], d[N][N];

static void multiply_ijk(int64_t x[N][N], int64_t y[N][N], int64_t out[N][N]) {
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            out[i][j] = 0;
            for (int k = 0; k < N; k++) out[i][j] += x[i][k] * y[k][j];
        }
}
static void multiply_tiled(int64_t x[N][N], int64_t y[N][N], int64_t out[N][N]) {
    memset(out, 0, sizeof c);
    for (int kk = 0; kk < N; kk += 3)
        for (int i = 0; i < N; i++)
            for (int k = kk; k < kk + 3 && k < N; k++) {
                int64_t t = x[i][k];
                for (int j = 0; j < N; j++) out[i][j] += t * y[k][j];
            }
}
static int64_t determinant(int n, int64_t m[N][N]) {
    int64_t previous = 1, sign = 1; /* fraction-free elimination */
    for (int k = 0; k < n - 1; k++) {
        if (m[k][k] == 0) {
            int r = k + 1;
            while (r < n && m[r][k] == 0) r++;
            if (r == n) return 0;
            for (int j = 0; j < n; j++) {
                int64_t t = m[k][j];
                m[k][j] = m[r][j];
                m[r][j] = t;
            }
            sign = -sign;
        }
        for (int i = k + 1; i < n; i++)
            for (int j = k + 1; j < n; j++) m[i][j] = (m[i][j] * m[k][k] - m[i][k] * m[k][j]) / previous;
        previous = m[k][k];
    }
    return sign * m[n - 1][n - 1];
}
static int edit_distance(const char *s, const char *t) {
    int n = (int)strlen(t), row[32];
    for (int j = 0; j <= n; j++) row[j] = j;
    for (int i = 1; *s; i++, s++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            int change = diagonal + (*s != t[j - 1]);
            diagonal = row[j];
            int least = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
            row[j] = change < least ? change : least;
        }
    }
    return row[n];
}
static int common(const char *s, const char *t, char *out) {
    static int length[32][32];
    int n = (int)strlen(s), m = (int)strlen(t);
    for (int i = n; i >= 0; i--)
        for (int j = m; j >= 0; j--)
            length[i][j] = i == n || j == m ? 0 : s[i] == t[j] ? 1 + length[i + 1][j + 1] : length[i + 1][j] >= length[i][j + 1] ? length[i + 1][j] : length[i][j + 1];
    for (int i = 0, j = 0; i < n && j < m;) {
        if (s[i] == t[j]) *out++ = s[i++], j++;
        else if (length[i + 1][j] >= length[i][j + 1]) i++;
        else j++;
    }
    *out = '\0';
    return length[0][0];
}
static int knapsack(const int *weights, const int *values, int n, int capacity) {
    int best[64] = {0};
    for (int i = 0; i < n; i++)
        for (int w = capacity; w >= weights[i]; w--)
            if (best[w - weights[i]] + values[i] > best[w]) best[w] = best[w - weights[i]] + values[i];
    return best[capacity];
}
static uint64_t ways(const int *coins, int n, int total) {
    uint64_t count[201] = {1};
    for (int i = 0; i < n; i++)
        for (int t = coins[i]; t <= total; t++) count[t] += count[t - coins[i]];
    return count[total];
}

int main(void) {
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) a[i][j] = (i * 5 + j * 3) % 7 - 3, b[i][j] = i == j ? 2 : (i - j) % 3;
    multiply_ijk(a, b, c);
    multiply_tiled(a, b, d);
    CHECK(memcmp(c, d, sizeof c) == 0);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) mix((uint64_t)c[i][j]);
    CHECK(c[0][0] == a[0][0] * 2 + a[0][1] * 1 + a[0][2] * 2 + a[0][4] * 1 + a[0][5] * 2);
    for (int n = 1; n <= N; n++) {
        memcpy(d, b, sizeof d);
        mix((uint64_t)determinant(n, d));
    }
    int64_t small[N][N] = {{0, 2, 1}, {3, -1, 4}, {5, 6, -2}};
    CHECK(determinant(3, small) == 75);
    int64_t singular[N][N] = {{0, 1}, {0, 5}};
    CHECK(determinant(2, singular) == 0);
    CHECK(edit_distance("kitten", "sitting") == 3 && edit_distance("", "abc") == 3 && edit_distance("flaw", "lawn") == 2 && edit_distance("same", "same") == 0);
    char out[32];
    CHECK(common("AGGTAB", "GXTXAYB", out) == 4 && strcmp(out, "GTAB") == 0 && common("abc", "xyz", out) == 0 && out[0] == 0);
    static const int weights[] = {1, 3, 4, 5, 9}, values[] = {1, 4, 5, 7, 14};
    for (int capacity = 0; capacity < 25; capacity++) mix((uint64_t)knapsack(weights, values, 5, capacity));
    CHECK(knapsack(weights, values, 4, 7) == 9 && knapsack(weights, values, 5, 0) == 0 && knapsack(weights, values, 5, 22) == 31);
    static const int coins[] = {1, 2, 5, 10, 20, 50, 100, 200};
    CHECK(ways(coins, 8, 200) == 73682 && ways(coins + 1, 2, 3) == 0 && ways(coins, 3, 10) == 10);
    return finish("matrix_and_dynamic_programming", UINT64_C(0x2ffdd8766a644a2a));
}
