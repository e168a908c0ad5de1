/* Exercises: an LZ coder with hash chains and a bit writer/reader, run-length and Huffman-like prefix codes, all decoded back. */
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


static unsigned char input[600], packed[2000], output[700];
static struct { unsigned char *p; uint32_t bits; int count; } stream;

static void put(uint32_t value, int width) {
    stream.bits |= value << stream.count;
    for (stream.count += width; stream.count >= 8; stream.count -= 8, stream.bits >>= 8) *stream.p++ = (unsigned char)stream.bits;
}
static uint32_t get(int width) {
    for (; stream.count < width; stream.count += 8) stream.bits |= (uint32_t)*stream.p++ << stream.count;
    uint32_t value = stream.bits & ((1u << width) - 1);
    stream.bits >>= width;
    stream.count -= width;
    return value;
}
static void put_number(uint32_t n) { /* Elias gamma */
    int width = 31 - __builtin_clz(n);
    put(0, width);
    put(1, 1);
    put(n & ((1u << width) - 1), width);
}
static uint32_t get_number(void) {
    int width = 0;
    while (!get(1)) width++;
    return 1u << width | get(width);
}

static int compress(const unsigned char *p, int n) {
    static short last[256], before[600];
    memset(last, -1, sizeof last);
    stream.p = packed;
    stream.bits = 0;
    stream.count = 0;
    for (int i = 0; i < n;) {
        int best = 0, from = 0;
        unsigned h = 0;
        if (i + 2 < n) {
            h = (p[i] * 33u ^ p[i + 1] * 7u ^ p[i + 2]) & 255;
            int tries = 12;
            for (int at = last[h]; at >= 0 && tries-- > 0; at = before[at]) {
                int length = 0;
                while (i + length < n && length < 130 && p[at + length] == p[i + length]) length++;
                if (length > best) best = length, from = at;
            }
        }
        int take = best >= 3 ? best : 1;
        if (take > 1) {
            put(1, 1);
            put_number((uint32_t)best - 2);
            put_number((uint32_t)(i - from));
        } else {
            put(0, 1);
            put(p[i], 8);
        }
        for (; take > 0; take--, i++) {
            if (i + 2 >= n) continue;
            h = (p[i] * 33u ^ p[i + 1] * 7u ^ p[i + 2]) & 255;
            before[i] = last[h];
            last[h] = (short)i;
        }
    }
    put(0, 7);
    return (int)(stream.p - packed);
}
static int expand(int n) {
    int at = 0;
    stream.p = packed;
    stream.bits = 0;
    stream.count = 0;
    while (at < n) {
        if (get(1)) {
            int length = (int)get_number() + 2, distance = (int)get_number();
            if (distance > at) return -1;
            while (length-- > 0) output[at] = output[at - distance], at++;
        } else {
            output[at++] = (unsigned char)get(8);
        }
    }
    return at;
}
static int run_length(const unsigned char *p, int n) {
    int size = 0;
    for (int i = 0, run; i < n; i += run) {
        for (run = 1; i + run < n && run < 255 && p[i + run] == p[i]; run++) {}
        packed[size++] = (unsigned char)run;
        packed[size++] = p[i];
    }
    return size;
}

int main(void) {
    for (int shape = 0; shape < 5; shape++) {
        uint32_t x = 1;
        for (int i = 0; i < 600; i++) {
            x = x * 69069 + 1;
            input[i] = (unsigned char)(shape == 0 ? 'a' : shape == 1 ? "abracadabra"[i % 11] : shape == 2 ? x >> 24 : shape == 3 ? (x >> 30) * 5 : (x >> 28) ? i / 50 : 200);
        }
        for (int n = 0; n <= 600; n = n * 3 + 1) {
            memset(output, 0xcc, sizeof output);
            int size = compress(input, n);
            CHECK(expand(n) == n && memcmp(output, input, (size_t)n) == 0);
            mix((uint64_t)size);
            for (int i = 0; i < size; i++) mix(packed[i]);
            if (shape < 2 && n > 300) CHECK(size < 40);
        }
        int size = run_length(input, 600), at = 0;
        for (int i = 0; i < size; i += 2)
            for (int r = packed[i]; r > 0; r--) CHECK(input[at++] == packed[i + 1]);
        CHECK(at == 600);
        mix((uint64_t)size);
    }
    stream.p = packed, stream.bits = 0, stream.count = 0;
    for (uint32_t n = 1; n < 60; n++) put_number(n * n);
    put(0, 7);
    stream.p = packed, stream.bits = 0, stream.count = 0;
    for (uint32_t n = 1; n < 60; n++) CHECK(get_number() == n * n);
    return finish("lz_compressor_roundtrip", UINT64_C(0x9de4aaab34cdefad));
}
