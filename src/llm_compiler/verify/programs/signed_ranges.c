/* Exercises: values on both sides of zero everywhere: loops from negative to positive, negative indices and strides, signed division and shifts, bytes that are negative. */
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

enum { HALF = 24 };
static int32_t middle_store[2 * HALF + 1];
static int32_t *const middle = middle_store + HALF;
static int8_t bytes[64];
static int16_t shorts[64];

static void fill(int low, int high, int by) {
    for (int i = low; i < high; i++) middle[i] = i * by - (i < 0 ? 7 : 3);
}
static int64_t weigh(int low, int high) {
    uint64_t sum = 0;
    for (int i = low; i <= high; i++) sum = sum * 3 + (uint64_t)((int64_t)middle[i] * i);
    return (int64_t)sum;
}
static int count_between(const int32_t *v, int from, int to, int low, int high) {
    int n = 0;
    while (from < to) {
        if (v[from] >= low && v[from] < high) n++;
        from++;
    }
    return n;
}
static int backwards(const int32_t *last, int n) {
    unsigned sum = 0;
    for (int i = 0; i > -n; i--) sum = sum * 5 - (unsigned)last[i];
    return (int)sum;
}
static int strided(const int32_t *v, int start, int stride, int steps) {
    int sum = 0;
    for (int i = start; steps-- > 0; i += stride) sum ^= (int)((unsigned)v[i] + ((unsigned)sum << 1));
    return sum;
}
static int byte_sum(const int8_t *p, int n) {
    int sum = 0;
    for (int i = 0; i < n; i++) {
        int8_t c = p[i];
        if (c < 0) sum -= c >> 1;
        else if (c > 100) sum += c / 3;
        else sum += c % 5;
    }
    return sum;
}
static int look_up(const int32_t *table, int8_t key) { return table[key / 8]; }
static int short_steps(int16_t from, int16_t to) {
    int sum = 0;
    for (int16_t i = from; i < to; i = (int16_t)(i + 7)) sum += middle[i / 4] - i;
    return sum;
}
static int64_t mixed(int8_t a, int16_t b, int32_t c, int64_t d) {
    int64_t r = a < b ? c - d : d - c;
    if (a < 0) r += b / (a - 1);
    if (b <= a) r -= c >> 3;
    if (c >= d) r ^= a * b;
    if ((int64_t)a * b > c) r += d % 1000;
    return r;
}
static int divisions(int x) { return x / 3 * 1000 + x % 7 * 10 + (x >> 2) + x / -4 + x / 8 % 5; }
static int nearest(int x, const int *marks, int n) {
    int best = 0, distance = -1;
    for (int i = 0; i < n; i++) {
        int d = x - marks[i];
        if (d < 0) d = -d;
        if (distance < 0 || d < distance) { distance = d; best = i; }
    }
    return best * 100 + distance;
}
static int lower_bound(const int *v, int low, int high, int key) {
    while (low < high) {
        int half = low + (high - low) / 2;
        if (v[half] < key) low = half + 1;
        else high = half;
    }
    return low;
}
static int saturate(int x) { return x > 127 ? 127 : x < -128 ? -128 : x; }
static int steps_down(int x) { int n = 0; while (x > -10) { x -= x > 5 ? 4 : 3; n++; } return n * 100 + x; }
static double halves(int from, int to) { double s = 0; for (int i = from; i < to; i++) s += i * 0.5 * (i < 0 ? -1 : 2); return s; }

int main(void) {
    fill(-HALF, HALF + 1, 13);
    mix((uint64_t)weigh(-HALF, HALF));
    mix((uint64_t)weigh(-3, -1));
    CHECK(weigh(1, 0) == 0 && weigh(5, -5) == 0);
    CHECK(middle[-1] == -20 && middle[0] == -3 && middle[1] == 10);
    for (int low = -60; low < 60; low += 7) mix((uint64_t)count_between(middle, -HALF, HALF, low, low + 23));
    CHECK(count_between(middle, 3, -3, -1000, 1000) == 0);
    CHECK(count_between(middle, -2, 2, -20, 10) == 2);
    mix((uint64_t)(unsigned)backwards(middle, 9));
    mix((uint64_t)(unsigned)backwards(middle + HALF, 40));
    CHECK(backwards(middle, 0) == 0 && backwards(middle, -4) == 0);
    mix((uint64_t)(unsigned)strided(middle, -20, 5, 9));
    mix((uint64_t)(unsigned)strided(middle, 20, -5, 9));
    CHECK(strided(middle, 0, 1, -3) == 0);
    for (int i = 0; i < 64; i++) { bytes[i] = (int8_t)(i * 37 - 90); shorts[i] = (int16_t)(i * 1021 - 30000); }
    for (int n = 0; n < 64; n += 9) mix((uint64_t)(unsigned)byte_sum(bytes, n));
    for (int key = -128; key < 128; key += 11) mix((uint64_t)(unsigned)look_up(middle, (int8_t)key));
    mix((uint64_t)(unsigned)short_steps(-90, 90));
    CHECK(short_steps(5, -5) == 0);
    for (int i = 0; i < 63; i++) mix((uint64_t)mixed(bytes[i], shorts[i], shorts[63 - i] * 17 - i, bytes[i + 1] * 1000));
    for (int i = 0; i < 20; i++) mix((uint64_t)mixed(bytes[i], bytes[i + 1], bytes[i + 2], bytes[i + 3]));
    for (int x = -40; x < 40; x += 3) { mix((uint64_t)(unsigned)divisions(x)); mix((uint64_t)(unsigned)steps_down(x)); }
    static const int marks[] = {-50, -17, -16, -1, 0, 1, 16, 90};
    for (int x = -60; x < 100; x += 13) { mix((uint64_t)nearest(x, marks, 8)); mix((uint64_t)lower_bound(marks, 0, 8, x)); }
    CHECK(lower_bound(marks, 0, 8, -16) == 2 && lower_bound(marks, 0, 8, -51) == 0 && lower_bound(marks, 0, 8, 91) == 8);
    for (int x = -300; x < 300; x += 43) mix((uint64_t)(unsigned)saturate(x));
    CHECK(saturate(127) == 127 && saturate(128) == 127 && saturate(-128) == -128 && saturate(-129) == -128);
    mix((uint64_t)(int64_t)(halves(-9, 12) * 4));
    CHECK(halves(3, -3) == 0);
    return finish("signed_ranges", UINT64_C(0x6111bb4aa0346f20));
}
