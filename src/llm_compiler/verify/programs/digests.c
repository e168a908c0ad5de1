/* Exercises: digests and coders written out in full: MD5, SHA-1, SipHash, xorshift, Adler, CRC-32, base 32, run lengths, bit packing; every wrong bit shows. */
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

static uint32_t rotate(uint32_t x, int by) { return x << by | x >> (32 - by); }
static uint32_t load32(const uint8_t *p) { return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24; }
static uint32_t load32_big(const uint8_t *p) { return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | (uint32_t)p[3]; }
static size_t padded(uint8_t *to, const char *text, size_t n, int big) {
    size_t blocks = (n + 8) / 64 + 1;
    memset(to, 0, blocks * 64);
    memcpy(to, text, n);
    to[n] = 0x80;
    for (int i = 0; i < 8; i++) to[blocks * 64 - 8 + (size_t)(big ? 7 - i : i)] = (uint8_t)((uint64_t)n * 8 >> (8 * i));
    return blocks;
}
static void sha1(const char *text, size_t n, uint32_t h[5]) {
    static uint8_t buffer[512];
    static const uint32_t start[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    size_t blocks = padded(buffer, text, n, 1);
    memcpy(h, start, sizeof start);
    for (size_t block = 0; block < blocks; block++) {
        uint32_t w[80];
        for (int i = 0; i < 16; i++) w[i] = load32_big(buffer + block * 64 + i * 4);
        for (int i = 16; i < 80; i++) w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
        uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
        for (int i = 0; i < 80; i++) {
            uint32_t f, k;
            if (i < 20) { f = (b & c) | (~b & d); k = 0x5a827999; }
            else if (i < 40) { f = b ^ c ^ d; k = 0x6ed9eba1; }
            else if (i < 60) { f = (b & c) | (b & d) | (c & d); k = 0x8f1bbcdc; }
            else { f = b ^ c ^ d; k = 0xca62c1d6; }
            uint32_t t = rotate(a, 5) + f + e + k + w[i];
            e = d; d = c; c = rotate(b, 30); b = a; a = t;
        }
        h[0] += a; h[1] += b; h[2] += c; h[3] += d; h[4] += e;
    }
}
static void md5(const char *text, size_t n, uint32_t h[4]) {
    static uint8_t buffer[512];
    static const uint32_t start[4] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};
    static const int turns[4][4] = {{7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23}, {6, 10, 15, 21}};
    static const uint32_t k[64] = {
        0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501, 0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
        0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8, 0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
        0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70, 0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
        0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1, 0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391};
    size_t blocks = padded(buffer, text, n, 0);
    memcpy(h, start, sizeof start);
    for (size_t block = 0; block < blocks; block++) {
        const uint8_t *p = buffer + block * 64;
        uint32_t a = h[0], b = h[1], c = h[2], d = h[3];
        for (int i = 0; i < 64; i++) {
            uint32_t f;
            int g;
            switch (i / 16) {
            case 0: f = (b & c) | (~b & d); g = i; break;
            case 1: f = (d & b) | (~d & c); g = (5 * i + 1) % 16; break;
            case 2: f = b ^ c ^ d; g = (3 * i + 5) % 16; break;
            default: f = c ^ (b | ~d); g = 7 * i % 16; break;
            }
            uint32_t t = a + f + k[i] + load32(p + g * 4);
            a = d; d = c; c = b;
            b += rotate(t, turns[i / 16][i % 4]);
        }
        h[0] += a; h[1] += b; h[2] += c; h[3] += d;
    }
}
static uint64_t rotate64(uint64_t x, int by) { return x << by | x >> (64 - by); }
static uint64_t siphash(const uint8_t *p, size_t n, uint64_t k0, uint64_t k1) {
    uint64_t v0 = k0 ^ 0x736f6d6570736575, v1 = k1 ^ 0x646f72616e646f6d, v2 = k0 ^ 0x6c7967656e657261, v3 = k1 ^ 0x7465646279746573;
    size_t whole = n / 8;
    for (size_t i = 0; i <= whole + 1; i++) {
        uint64_t m = 0;
        int rounds = 2;
        if (i < whole) m = load32(p + i * 8) | (uint64_t)load32(p + i * 8 + 4) << 32;
        else if (i == whole) {
            m = (uint64_t)n << 56;
            for (size_t b = 0; b < n % 8; b++) m |= (uint64_t)p[whole * 8 + b] << (8 * b);
        } else { v2 ^= 0xff; rounds = 4; }
        v3 ^= m;
        while (rounds-- > 0) {
            v0 += v1; v1 = rotate64(v1, 13) ^ v0; v0 = rotate64(v0, 32);
            v2 += v3; v3 = rotate64(v3, 16) ^ v2;
            v0 += v3; v3 = rotate64(v3, 21) ^ v0;
            v2 += v1; v1 = rotate64(v1, 17) ^ v2; v2 = rotate64(v2, 32);
        }
        v0 ^= m;
    }
    return v0 ^ v1 ^ v2 ^ v3;
}
static uint32_t crc32(const uint8_t *p, size_t n) {
    uint32_t crc = ~0u;
    while (n--) { crc ^= *p++; for (int i = 0; i < 8; i++) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0); }
    return ~crc;
}
static size_t base32(char *to, const uint8_t *p, size_t n) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    size_t length = 0;
    uint32_t bits = 0;
    int count = 0;
    for (size_t i = 0; i < n; i++) {
        bits = (bits << 8 | p[i]) & 0xffff;
        for (count += 8; count >= 5; count -= 5) to[length++] = digits[bits >> (count - 5) & 31];
    }
    if (count > 0) to[length++] = digits[bits << (5 - count) & 31];
    while (length % 8) to[length++] = '=';
    to[length] = 0;
    return length;
}
static size_t run_lengths(uint8_t *to, const uint8_t *p, size_t n) {
    size_t length = 0;
    for (size_t i = 0; i < n;) {
        size_t run = 1;
        while (i + run < n && run < 130 && p[i + run] == p[i]) run++;
        if (run >= 3) { to[length++] = (uint8_t)(run + 125); to[length++] = p[i]; i += run; continue; }
        size_t start = i, literal = 0;
        while (i < n && literal < 128 && !(i + 2 < n && p[i] == p[i + 1] && p[i] == p[i + 2])) { i++; literal++; }
        to[length++] = (uint8_t)(literal - 1);
        memcpy(to + length, p + start, literal);
        length += literal;
    }
    return length;
}
static size_t expand(uint8_t *to, const uint8_t *p, size_t n) {
    size_t length = 0;
    for (size_t i = 0; i < n;) {
        uint8_t c = p[i++];
        if (c >= 128) { for (int k = c - 125; k > 0; k--) to[length++] = p[i]; i++; }
        else { for (int k = c + 1; k > 0; k--) to[length++] = p[i++]; }
    }
    return length;
}

int main(void) {
    uint32_t h[5];
    sha1("abc", 3, h);
    CHECK(h[0] == 0xa9993e36 && h[4] == 0x9cd0d89d);
    md5("abc", 3, h);
    CHECK(h[0] == 0x98500190 && h[3] == 0x727fe128);
    static const char text[] = "The quick brown fox jumps over the lazy dog, and then over the other one, twice; 0123456789 times.";
    for (size_t n = 0; n < sizeof text; n += 11) {
        sha1(text, n, h);
        for (int i = 0; i < 5; i++) mix(h[i]);
        md5(text, n, h);
        for (int i = 0; i < 4; i++) mix(h[i]);
        mix(siphash((const uint8_t *)text, n, 0x0706050403020100, 0x0f0e0d0c0b0a0908));
        mix(crc32((const uint8_t *)text, n));
    }
    CHECK(crc32((const uint8_t *)"123456789", 9) == 0xcbf43926);
    static const uint8_t zero_to_14[15] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14};
    CHECK(siphash(zero_to_14, 15, 0x0706050403020100, 0x0f0e0d0c0b0a0908) == 0xa129ca6149be45e5);
    char out[64];
    CHECK(base32(out, (const uint8_t *)"foobar", 6) == 16 && strcmp(out, "MZXW6YTBOI======") == 0);
    CHECK(base32(out, (const uint8_t *)"fooba", 5) == 8 && strcmp(out, "MZXW6YTB") == 0);
    CHECK(base32(out, (const uint8_t *)"f", 1) == 8 && strcmp(out, "MY======") == 0 && base32(out, zero_to_14, 0) == 0);
    uint8_t plain[600], packed[700], back[600];
    for (int i = 0; i < 600; i++) plain[i] = (uint8_t)(i < 200 ? 7 : i < 330 ? i * 31 : i < 460 ? i / 3 : i < 462 ? 1 : i % 2);
    for (size_t n = 0; n <= 600; n += 75) {
        size_t length = run_lengths(packed, plain, n);
        mix(length);
        mix(crc32(packed, length));
        CHECK(expand(back, packed, length) == n && memcmp(back, plain, n) == 0);
    }
    return finish("digests", UINT64_C(0xf3a8a3974ef106be));
}
