/* Exercises: decisions at exact thresholds: intervals that touch, calendars, buckets, windows, pages, heaps with equal keys, merges of equal elements, budgets spent to the last unit. */
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

struct interval { int from, to; };

static int merge_intervals(struct interval *v, int n) {
    int kept = 0;
    for (int i = 1; i < n; i++) {
        if (v[i].from <= v[kept].to) {
            if (v[i].to > v[kept].to) v[kept].to = v[i].to;
        } else {
            v[++kept] = v[i];
        }
    }
    return n > 0 ? kept + 1 : 0;
}
static int overlap(struct interval a, struct interval b) { return a.from < b.to && b.from < a.to; }
static int touches(struct interval a, struct interval b) { return a.from <= b.to && b.from <= a.to; }
static int days_in(int year, int month) {
    if (month == 2) return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28;
    return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}
static int day_number(int year, int month, int day) {
    int days = day;
    for (int y = 1970; y < year; y++) days += days_in(y, 2) == 29 ? 366 : 365;
    for (int m = 1; m < month; m++) days += days_in(year, m);
    return days;
}
static int from_day_number(int days, int *month, int *day) {
    int year = 1970;
    for (;;) {
        int length = days_in(year, 2) == 29 ? 366 : 365;
        if (days <= length) break;
        days -= length;
        year++;
    }
    *month = 1;
    while (days > days_in(year, *month)) days -= days_in(year, (*month)++);
    *day = days;
    return year;
}
static int triangle(int a, int b, int c) {
    if (a <= 0 || b <= 0 || c <= 0 || a + b <= c || a + c <= b || b + c <= a) return 0;
    return a == b && b == c ? 3 : a == b || b == c || a == c ? 2 : 1;
}
static int grade(int points) { return points >= 90 ? 'A' : points >= 75 ? 'B' : points > 60 ? 'C' : points >= 50 ? 'D' : points < 0 ? '?' : 'F'; }
static void histogram(const int *v, int n, int *buckets, int num, int low, int width) {
    for (int i = 0; i < n; i++) {
        int b = (v[i] - low) / width;
        if (v[i] < low) b = 0;
        if (b >= num) b = num - 1;
        buckets[b]++;
    }
}
static int pages(int items, int size) { return items <= 0 ? 0 : (items - 1) / size + 1; }
static int longest_window(const int *v, int n, int budget) {
    int best = 0, start = 0, sum = 0;
    for (int end = 0; end < n; end++) {
        sum += v[end];
        while (sum > budget) sum -= v[start++];
        if (end - start + 1 > best) best = end - start + 1;
    }
    return best;
}
static int spend(int money, const int *prices, int n, int *left) {
    int bought = 0;
    for (int i = 0; i < n; i++)
        if (prices[i] <= money) { money -= prices[i]; bought |= 1 << i; }
    *left = money;
    return bought;
}
struct item { int key, order; };
static void stable_merge(const struct item *a, int na, const struct item *b, int nb, struct item *to) {
    int i = 0, k = 0;
    while (i < na || k < nb) {
        if (k >= nb || (i < na && a[i].key <= b[k].key)) *to++ = a[i++];
        else *to++ = b[k++];
    }
}
static void sift(int *heap, int n, int at) {
    for (;;) {
        int child = 2 * at + 1;
        if (child >= n) return;
        if (child + 1 < n && heap[child + 1] > heap[child]) child++;
        if (heap[at] >= heap[child]) return;
        int t = heap[at];
        heap[at] = heap[child];
        heap[child] = t;
        at = child;
    }
}
static int round_half_even(int tenths) { int q = tenths / 10, r = tenths % 10; return r > 5 || (r == 5 && q % 2 == 1) ? q + 1 : q; }
static int retries(int failures, int limit) { int n = 0; while (n < limit) { n++; if (n > failures) return n; } return -n; }
static int first_repeat(const char *s) { for (int i = 0; s[i]; i++) for (int k = 0; k < i; k++) if (s[k] == s[i]) return i; return -1; }

int main(void) {
    struct interval v[] = {{0, 5}, {5, 7}, {8, 9}, {9, 9}, {10, 20}, {12, 20}, {20, 21}, {23, 24}};
    CHECK(merge_intervals(v, 8) == 4);
    for (int i = 0; i < 4; i++) mix((uint64_t)(v[i].from * 100 + v[i].to));
    CHECK(v[0].to == 7 && v[1].to == 9 && v[2].to == 21 && v[3].from == 23);
    struct interval a = {1, 4}, b = {4, 6}, c = {5, 9};
    CHECK(!overlap(a, b) && touches(a, b) && overlap(b, c) && !touches(a, c) && !overlap(b, a) && touches(b, a));
    CHECK(days_in(2000, 2) == 29 && days_in(1900, 2) == 28 && days_in(2024, 2) == 29 && days_in(2023, 2) == 28 && days_in(2023, 12) == 31 && days_in(2023, 11) == 30);
    for (int year = 1970; year < 2030; year += 5)
        for (int month = 1; month <= 12; month++) {
            int days = day_number(year, month, 1), m = 0, d = 0;
            mix((uint64_t)days);
            CHECK(from_day_number(days, &m, &d) == year && m == month && d == 1);
            CHECK(from_day_number(days + days_in(year, month) - 1, &m, &d) == year && m == month && d == days_in(year, month));
        }
    CHECK(day_number(1970, 1, 1) == 1 && day_number(2000, 3, 1) == 11017 + 1);
    CHECK(triangle(1, 1, 1) == 3 && triangle(1, 2, 3) == 0 && triangle(3, 1, 2) == 0 && triangle(2, 3, 1) == 0 && triangle(2, 2, 3) == 2 && triangle(2, 3, 2) == 2 && triangle(3, 2, 2) == 2 && triangle(2, 3, 4) == 1);
    CHECK(triangle(0, 1, 1) == 0 && triangle(1, 0, 1) == 0 && triangle(1, 1, 0) == 0 && triangle(2, 2, 4) == 0 && triangle(4, 2, 2) == 0 && triangle(2, 4, 2) == 0);
    static const char expected[] = "AABBCCDDDFF?";
    static const int points[] = {100, 90, 89, 75, 74, 61, 60, 51, 50, 49, 0, -1};
    for (int i = 0; i < 12; i++) CHECK(grade(points[i]) == expected[i]);
    int values[] = {-5, 0, 9, 10, 19, 20, 29, 30, 31, 39, 40, 100}, buckets[4] = {0};
    histogram(values, 12, buckets, 4, 0, 10);
    CHECK(buckets[0] == 3 && buckets[1] == 2 && buckets[2] == 2 && buckets[3] == 5);
    CHECK(pages(0, 10) == 0 && pages(1, 10) == 1 && pages(10, 10) == 1 && pages(11, 10) == 2 && pages(20, 10) == 2 && pages(-1, 3) == 0);
    static const int costs[] = {3, 1, 2, 5, 1, 1, 1, 4};
    CHECK(longest_window(costs, 8, 8) == 4 && longest_window(costs, 8, 6) == 3 && longest_window(costs, 8, 7) == 4 && longest_window(costs, 8, 18) == 8 && longest_window(costs, 8, 17) == 7 && longest_window(costs, 8, 0) == 0);
    int left = -1;
    CHECK(spend(10, costs, 8, &left) == 0x77 && left == 1);
    mix((uint64_t)(spend(11, costs, 8, &left) * 100 + left));
    CHECK(spend(18, costs, 8, &left) == 255 && left == 0);
    struct item first[] = {{1, 0}, {2, 1}, {2, 2}, {5, 3}}, second[] = {{0, 4}, {2, 5}, {5, 6}, {5, 7}, {9, 8}}, merged[9];
    stable_merge(first, 4, second, 5, merged);
    int sequence = 0;
    for (int i = 0; i < 9; i++) { sequence = (sequence * 9 + merged[i].order) % 1000003; mix((uint64_t)merged[i].order); }
    CHECK(merged[0].order == 4 && merged[2].order == 1 && merged[4].order == 5 && merged[5].order == 3 && merged[6].order == 6);
    int heap[] = {4, 4, 4, 7, 7, 1, 4, 2, 7, 9};
    for (int i = 4; i >= 0; i--) sift(heap, 10, i);
    for (int n = 9; n > 0; n--) { int t = heap[0]; heap[0] = heap[n]; heap[n] = t; sift(heap, n, 0); }
    for (int i = 0; i < 10; i++) mix((uint64_t)heap[i]);
    for (int i = 0; i < 9; i++) CHECK(heap[i] <= heap[i + 1]);
    CHECK(round_half_even(25) == 2 && round_half_even(35) == 4 && round_half_even(24) == 2 && round_half_even(26) == 3 && round_half_even(36) == 4);
    CHECK(retries(0, 3) == 1 && retries(2, 3) == 3 && retries(3, 3) == -3 && retries(1, 0) == 0);
    CHECK(first_repeat("abcdea") == 5 && first_repeat("aa") == 1 && first_repeat("abc") == -1 && first_repeat("") == -1 && first_repeat("xyzzy") == 3);
    return finish("exact_thresholds", UINT64_C(0x4e01131a876b6a9f));
}
