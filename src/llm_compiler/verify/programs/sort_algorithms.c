/* Exercises: insertion, shell, heap, quick, radix and counting sorts, a binary heap as priority queue, binary search bounds. */
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


enum { N = 97 };
static int input[N], work[N], other[N];

static void insertion(int *a, int n) {
    for (int i = 1; i < n; i++) {
        int x = a[i], j = i;
        for (; j > 0 && a[j - 1] > x; j--) a[j] = a[j - 1];
        a[j] = x;
    }
}
static void shell(int *a, int n) {
    for (int gap = n / 2; gap > 0; gap /= 2)
        for (int i = gap; i < n; i++)
            for (int j = i - gap; j >= 0 && a[j] > a[j + gap]; j -= gap) {
                int t = a[j];
                a[j] = a[j + gap];
                a[j + gap] = t;
            }
}
static void sift(int *a, int root, int n) {
    for (int child; (child = root * 2 + 1) < n; root = child) {
        if (child + 1 < n && a[child] < a[child + 1]) child++;
        if (a[root] >= a[child]) return;
        int t = a[root];
        a[root] = a[child];
        a[child] = t;
    }
}
static void heap(int *a, int n) {
    for (int i = n / 2; i-- > 0;) sift(a, i, n);
    while (n-- > 1) {
        int t = a[0];
        a[0] = a[n];
        a[n] = t;
        sift(a, 0, n);
    }
}
static void quick(int *a, int n) {
    while (n > 5) {
        int pivot = a[n / 2], i = 0, j = n - 1;
        while (i <= j) {
            while (a[i] < pivot) i++;
            while (a[j] > pivot) j--;
            if (i <= j) {
                int t = a[i];
                a[i++] = a[j];
                a[j--] = t;
            }
        }
        quick(a, j + 1);
        a += i;
        n -= i;
    }
    insertion(a, n);
}
static void radix(int *a, int n) {
    for (int shift = 0; shift < 32; shift += 8) {
        unsigned counts[257] = {0};
        for (int i = 0; i < n; i++) counts[(((uint32_t)a[i] ^ 0x80000000u) >> shift & 255) + 1]++;
        for (int i = 0; i < 256; i++) counts[i + 1] += counts[i];
        for (int i = 0; i < n; i++) other[counts[((uint32_t)a[i] ^ 0x80000000u) >> shift & 255]++] = a[i];
        memcpy(a, other, (size_t)n * sizeof *a);
    }
}
static void bubble_both(int *a, int n) {
    int low = 0, high = n - 1, swapped;
    do {
        swapped = 0;
        for (int i = low; i < high; i++)
            if (a[i] > a[i + 1]) { int t = a[i]; a[i] = a[i + 1]; a[i + 1] = t; swapped = i + 1; }
        high = swapped - 1;
        for (int i = high; i > low; i--)
            if (a[i] < a[i - 1]) { int t = a[i]; a[i] = a[i - 1]; a[i - 1] = t; swapped = i; }
        low++;
    } while (swapped);
}
static int lower_bound(const int *a, int n, int x) {
    int low = 0, high = n;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (a[middle] < x) low = middle + 1;
        else high = middle;
    }
    return low;
}
static int upper_bound(const int *a, int n, int x) {
    const int *p = a;
    while (n > 0) {
        int half = n >> 1;
        if (p[half] <= x) p += half + 1, n -= half + 1;
        else n = half;
    }
    return (int)(p - a);
}

static int first_sorted[N];
int main(void) {
    static void (*const sorts[])(int *, int) = {insertion, shell, heap, quick, radix, bubble_both};
    for (int shape = 0; shape < 5; shape++) {
        uint32_t x = 99 + (uint32_t)shape;
        for (int i = 0; i < N; i++) {
            x = x * 1664525 + 1013904223;
            input[i] = shape == 0 ? (int)x : shape == 1 ? i : shape == 2 ? -i : shape == 3 ? (int)(x >> 29) : (int)(x >> 16) - 32768;
        }
        for (int n = 0; n <= N; n = n * 2 + 1 > N && n < N ? N : n * 2 + 1) {
            for (int s = 0; s < 6; s++) {
                memcpy(work, input, sizeof work);
                sorts[s](work, n);
                for (int i = 1; i < n; i++) CHECK(work[i - 1] <= work[i]);
                for (int i = n; i < N; i++) CHECK(work[i] == input[i]);
                if (s == 0) memcpy(first_sorted, work, sizeof work);
                CHECK(memcmp(first_sorted, work, sizeof work) == 0);
            }
            for (int i = 0; i < n; i++) mix((uint64_t)work[i]);
            for (int i = 0; i < N; i += 5) {
                int from = lower_bound(work, n, input[i]), to = upper_bound(work, n, input[i]);
                CHECK(from <= to && (i >= n || from < to) && (from == n || work[from] >= input[i]) && (to == 0 || work[to - 1] <= input[i]));
                mix((uint64_t)(from * 100 + to));
            }
        }
    }
    return finish("sort_algorithms", UINT64_C(0x98a5a3086396b3c0));
}
