/* Exercises: loop-carried dependences of distance 1, 2, 3 and 4, reductions, recurrences, possible aliasing, remainders. */
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


static int data[70];
static float singles[70];

static void reset(void) {
    for (int i = 0; i < 70; i++) {
        data[i] = (i * 7919) % 101 - 50;
        singles[i] = (float)((i * 31) % 17) * 0.5f;
    }
}

/* p and q may overlap: a vectoriser must check. */
__attribute__((noinline)) void add_shifted(int *p, const int *q, int n) {
    for (int i = 0; i < n; i++) p[i] = q[i] + 3;
}

static void prefix(int *p, int n) {
    for (int i = 1; i < n; i++) p[i] += p[i - 1];
}

static void distance(int *p, int n, int d) {
    for (int i = d; i < n; i++) p[i] = p[i - d] * 2 - p[i];
}

static void reduce(const int *p, int n, int out[6]) {
    int sum = 0, low = INT32_MAX, high = INT32_MIN, bits = 0, odd = 0, last = -1;
    for (int i = 0; i < n; i++) {
        sum += p[i];
        low = p[i] < low ? p[i] : low;
        high = p[i] > high ? p[i] : high;
        bits ^= p[i];
        odd += p[i] & 1;
        if (p[i] == 0) last = i;
    }
    out[0] = sum;
    out[1] = low;
    out[2] = high;
    out[3] = bits;
    out[4] = odd;
    out[5] = last;
}

static uint64_t fibonacci(int n) {
    uint64_t previous = 0, current = 1;
    while (n-- > 0) {
        uint64_t next = previous + current;
        previous = current;
        current = next;
    }
    return previous;
}

static int reversed(const int *p, int n) {
    int h = 0;
    for (int i = n - 1; i >= 0; i -= 3) h = h * 5 % 10007 + p[i];
    return h;
}

static void interleave(int *p, int n) {
    for (int i = 0; i + 1 < n; i += 2) {
        int t = p[i];
        p[i] = p[i + 1] - 1;
        p[i + 1] = t + 1;
    }
}

int main(void) {
    for (int n = 0; n <= 40; n++) {
        reset();
        add_shifted(data + 1, data, n); /* each reads what the last wrote */
        for (int i = 0; i <= n; i++) CHECK(data[i] == -50 + 3 * i);
        reset();
        add_shifted(data, data + 4, n);
        mix((uint64_t)data[n / 2]);
        reset();
        add_shifted(data + 4, data, n);
        mix((uint64_t)data[n]);
    }
    for (int d = 1; d <= 4; d++) {
        reset();
        distance(data, 20 + d, d);
        for (int i = 0; i < 25; i++) mix((uint64_t)data[i]);
    }
    for (int n = 0; n < 70; n++) {
        int out[6];
        reset();
        reduce(data, n, out);
        for (int k = 0; k < 6; k++) mix((uint64_t)out[k]);
        mix((uint64_t)reversed(data, n));
        interleave(data, n);
        for (int i = 0; i <= n; i++) mix((uint64_t)data[i]);
        prefix(data, 70);
        mix((uint64_t)data[69] + (uint64_t)data[n]);
    }
    reset();
    int out[6];
    reduce(data, 2, out);
    CHECK(out[0] == -59 && out[1] == -50 && out[2] == -9 && out[5] == -1);
    reduce(data, 0, out);
    CHECK(out[0] == 0 && out[1] == INT32_MAX && out[2] == INT32_MIN && out[5] == -1);
    volatile int ninety = 90;
    CHECK(fibonacci(ninety) == UINT64_C(2880067194370816120) && fibonacci(0) == 0 && fibonacci(1) == 1);

    float sum = 0; /* multiples of 0.5: exact in any order */
    for (int i = 0; i < 70; i++) sum += singles[i];
    CHECK(sum * 2 == (float)(int)(sum * 2));
    mix((uint64_t)(sum * 2));
    return finish("loop_dependences", UINT64_C(0x0b30814f147b22f8));
}
