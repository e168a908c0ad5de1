/* Exercises: SHA-256 with test vectors, table-driven CRC-32 and CRC-16, Adler checksum, substitution-permutation cipher with inverse. */
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


static uint32_t k[64];
static uint32_t rotate(uint32_t x, int n) { return x >> n | x << (32 - n); }

/* The constants are the first bits of the fractions of roots of primes; integer roots give them exactly. */
static uint64_t root(unsigned __int128 x, int degree) {
    uint64_t low = 0, high = UINT64_C(1) << 40;
    while (high - low > 1) {
        uint64_t m = low + (high - low) / 2;
        unsigned __int128 p = (unsigned __int128)m * m;
        if (degree == 3) p *= m;
        if (p <= x) low = m;
        else high = m;
    }
    return low;
}
static void constants(uint32_t h[8]) {
    int found = 0;
    for (unsigned n = 2; found < 64; n++) {
        unsigned d = 2;
        while (d * d <= n && n % d) d++;
        if (d * d <= n) continue;
        if (found < 8) h[found] = (uint32_t)root((unsigned __int128)n << 64, 2);
        k[found++] = (uint32_t)root((unsigned __int128)n << 96, 3);
    }
}
static void block(uint32_t h[8], const unsigned char *p) {
    uint32_t w[64], s[8];
    for (int i = 0; i < 16; i++) w[i] = (uint32_t)p[4 * i] << 24 | (uint32_t)p[4 * i + 1] << 16 | (uint32_t)p[4 * i + 2] << 8 | p[4 * i + 3];
    for (int i = 16; i < 64; i++)
        w[i] = w[i - 16] + w[i - 7] + (rotate(w[i - 15], 7) ^ rotate(w[i - 15], 18) ^ w[i - 15] >> 3) +
               (rotate(w[i - 2], 17) ^ rotate(w[i - 2], 19) ^ w[i - 2] >> 10);
    memcpy(s, h, sizeof s);
    for (int i = 0; i < 64; i++) {
        uint32_t t = s[7] + (rotate(s[4], 6) ^ rotate(s[4], 11) ^ rotate(s[4], 25)) + ((s[4] & s[5]) ^ (~s[4] & s[6])) + k[i] + w[i];
        uint32_t u = (rotate(s[0], 2) ^ rotate(s[0], 13) ^ rotate(s[0], 22)) + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
        memmove(s + 1, s, 7 * sizeof *s);
        s[4] += t;
        s[0] = t + u;
    }
    for (int i = 0; i < 8; i++) h[i] += s[i];
}
static void sha256(const char *text, size_t n, uint32_t h[8]) {
    unsigned char last[128] = {0};
    constants(h);
    uint64_t length = n * 8;
    for (; n >= 64; n -= 64, text += 64) block(h, (const unsigned char *)text);
    memcpy(last, text, n);
    last[n] = 0x80;
    size_t total = n < 56 ? 64 : 128;
    for (int i = 0; i < 8; i++) last[total - 1 - (size_t)i] = (unsigned char)(length >> (8 * i));
    for (size_t at = 0; at < total; at += 64) block(h, last + at);
}
static uint32_t crc_table[256];
static void make_table(void) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int b = 0; b < 8; b++) c = c >> 1 ^ (0xedb88320u & -(c & 1));
        crc_table[i] = c;
    }
}
static uint32_t crc32_of(const char *p, size_t n) {
    uint32_t c = ~0u;
    for (size_t i = 0; i < n; i++) c = crc_table[(c ^ (unsigned char)p[i]) & 255] ^ c >> 8;
    return ~c;
}
static uint16_t crc16_of(const char *p, size_t n) {
    uint16_t c = 0xffff;
    while (n--) {
        c ^= (uint16_t)((unsigned char)*p++ << 8);
        for (int b = 0; b < 8; b++) c = (uint16_t)(c & 0x8000 ? c << 1 ^ 0x1021 : c << 1);
    }
    return c;
}
static uint32_t adler(const char *p, size_t n) {
    uint32_t a = 1, b = 0;
    for (size_t i = 0; i < n; i++) a = (a + (unsigned char)p[i]) % 65521, b = (b + a) % 65521;
    return b << 16 | a;
}
static unsigned char box[256], inverse_box[256];
static void make_boxes(void) {
    for (unsigned i = 0; i < 256; i++) box[i] = (unsigned char)((i * 167 + 13) ^ (i >> 4 & 1 ? 0x60 : 0));
    for (unsigned i = 0; i < 256; i++) inverse_box[box[i]] = (unsigned char)i;
}
static void encrypt(unsigned char s[16], unsigned key) {
    for (unsigned r = 0; r < 5; r++) {
        unsigned char t[16];
        for (unsigned i = 0; i < 16; i++) t[i * 5 % 16] = box[s[i] ^ (unsigned char)(key + r * 29 + i)];
        for (unsigned i = 0; i < 16; i++) s[i] = (unsigned char)(t[i] ^ (i ? s[i - 1] : 0));
    }
}
static void decrypt(unsigned char s[16], unsigned key) {
    for (unsigned r = 5; r-- > 0;) {
        for (unsigned i = 15; i > 0; i--) s[i] ^= s[i - 1];
        unsigned char t[16];
        memcpy(t, s, 16);
        for (unsigned i = 0; i < 16; i++) s[i] = (unsigned char)(inverse_box[t[i * 5 % 16]] ^ (unsigned char)(key + r * 29 + i));
    }
}

int main(void) {
    uint32_t h[8];
    sha256("abc", 3, h);
    CHECK(k[0] == 0x428a2f98 && k[63] == 0xc67178f2 && h[0] == 0xba7816bf && h[7] == 0xf20015ad);
    sha256("", 0, h);
    CHECK(h[0] == 0xe3b0c442 && h[7] == 0x7852b855);
    sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56, h);
    CHECK(h[0] == 0x248d6a61 && h[7] == 0x19db06c1);
    make_table();
    CHECK(crc32_of("123456789", 9) == 0xcbf43926 && crc16_of("123456789", 9) == 0x29b1 && adler("Wikipedia", 9) == 0x11e60398);
    make_boxes();
    unsigned char state[16];
    for (unsigned key = 0; key < 20; key++) {
        for (unsigned i = 0; i < 16; i++) state[i] = (unsigned char)(i * key);
        encrypt(state, key);
        for (unsigned i = 0; i < 16; i++) mix(state[i]);
        decrypt(state, key);
        for (unsigned i = 0; i < 16; i++) CHECK(state[i] == (unsigned char)(i * key));
    }
    for (int i = 0; i < 8; i++) mix(h[i]);
    return finish("digest_and_cipher_tables", UINT64_C(0x2a9f1dff6c4f9939));
}
