/* Exercises: the targets' own vector intrinsics (SSE2, NEON): arithmetic, saturation, compares, shuffles, loads and stores, in loops and through memory; prefetch. */
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

#if defined(__x86_64__)
#include <emmintrin.h>
typedef __m128i vec;
static vec load(const void *p) { return _mm_loadu_si128((const __m128i *)p); }
static void store(void *p, vec v) { _mm_storeu_si128((__m128i *)p, v); }
static vec add_saturated(vec a, vec b) { return _mm_adds_epu8(a, b); }
static vec average(vec a, vec b) { return _mm_avg_epu8(a, b); }
static vec equal(vec a, vec b) { return _mm_cmpeq_epi8(a, b); }
static vec smaller(vec a, vec b) { return _mm_min_epu8(a, b); }
static vec zipped(vec a, vec b) { return _mm_unpacklo_epi8(a, b); }
static vec wide_product(vec a, vec b) { return _mm_mullo_epi16(a, b); }
static vec shifted(vec a) { return _mm_srli_epi16(a, 3); }
#elif defined(__aarch64__)
#include <arm_neon.h>
typedef uint8x16_t vec;
static vec load(const void *p) { return vld1q_u8((const uint8_t *)p); }
static void store(void *p, vec v) { vst1q_u8((uint8_t *)p, v); }
static vec add_saturated(vec a, vec b) { return vqaddq_u8(a, b); }
static vec average(vec a, vec b) { return vrhaddq_u8(a, b); }
static vec equal(vec a, vec b) { return vceqq_u8(a, b); }
static vec smaller(vec a, vec b) { return vminq_u8(a, b); }
static vec zipped(vec a, vec b) { return vzip1q_u8(a, b); }
static vec wide_product(vec a, vec b) { return vreinterpretq_u8_u16(vmulq_u16(vreinterpretq_u16_u8(a), vreinterpretq_u16_u8(b))); }
static vec shifted(vec a) { return vreinterpretq_u8_u16(vshrq_n_u16(vreinterpretq_u16_u8(a), 3)); }
#else
typedef struct { uint8_t v[16]; } vec;
static vec load(const void *p) { vec r; memcpy(&r, p, 16); return r; }
static void store(void *p, vec v) { memcpy(p, &v, 16); }
#define EACH(name, expression) static vec name(vec a, vec b) { vec r; for (int i = 0; i < 16; i++) r.v[i] = (uint8_t)(expression); return r; }
EACH(add_saturated, a.v[i] + b.v[i] > 255 ? 255 : a.v[i] + b.v[i])
EACH(average, (a.v[i] + b.v[i] + 1) / 2)
EACH(equal, a.v[i] == b.v[i] ? 255 : 0)
EACH(smaller, a.v[i] < b.v[i] ? a.v[i] : b.v[i])
EACH(zipped, i & 1 ? b.v[i / 2] : a.v[i / 2])
static vec wide_product(vec a, vec b) { uint16_t x[8], y[8]; memcpy(x, &a, 16); memcpy(y, &b, 16); for (int i = 0; i < 8; i++) x[i] = (uint16_t)(x[i] * y[i]); memcpy(&a, x, 16); return a; }
static vec shifted(vec a) { uint16_t x[8]; memcpy(x, &a, 16); for (int i = 0; i < 8; i++) x[i] >>= 3; memcpy(&a, x, 16); return a; }
#endif
static uint8_t first[96], second[96], result[96];

static void blend(int n) {
    for (int i = 0; i + 16 <= n; i += 16) {
        __builtin_prefetch(first + i + 32, 0, 1);
        vec a = load(first + i), b = load(second + i);
        vec mask = equal(smaller(a, b), a);
        store(result + i, add_saturated(average(a, b), mask));
    }
}
static int count_equal(const uint8_t *p, const uint8_t *q, int n) {
    int count = 0;
    for (int i = 0; i + 16 <= n; i += 16) {
        uint8_t lanes[16];
        store(lanes, equal(load(p + i), load(q + i)));
        for (int k = 0; k < 16; k++) count += lanes[k] != 0;
    }
    return count;
}
static void mix_vec(vec v) {
    uint8_t lanes[16];
    store(lanes, v);
    for (int i = 0; i < 16; i++) mix(lanes[i]);
}
static vec iterate(vec v, int n) {
    for (int i = 0; i < n; i++) {
        vec w = zipped(v, shifted(v));
        v = i % 3 == 0 ? wide_product(v, w) : i % 3 == 1 ? add_saturated(w, v) : average(w, v);
    }
    return v;
}

int main(void) {
    for (int i = 0; i < 96; i++) { first[i] = (uint8_t)(i * 5); second[i] = (uint8_t)(i * i); }
    blend(96);
    for (int i = 0; i < 96; i++) mix(result[i]);
    CHECK(result[0] == 255 && result[1] == (5 + 1 + 1) / 2 && result[2] == (10 + 4) / 2);
    CHECK(count_equal(first, second, 96) == 2);
    CHECK(count_equal(first, first, 32) == 32);
    mix_vec(iterate(load(first + 3), 10));
    mix_vec(iterate(load(second + 7), 4));
    mix_vec(wide_product(load(first), load(second + 16)));
    return finish("target_vectors", UINT64_C(0x70f675f141bc4f95));
}
