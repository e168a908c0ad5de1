/* Exercises: UTF-8 decoder and encoder with errors, base64, hexadecimal, URL escapes, Roman numerals, integer printing in any base. */
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


static int decode(const unsigned char **p) {
    unsigned c = *(*p)++;
    if (c < 0x80) return (int)c;
    int extra = c >= 0xf0 && c < 0xf8 ? 3 : c >= 0xe0 && c < 0xf0 ? 2 : c >= 0xc0 && c < 0xe0 ? 1 : -1;
    if (extra < 0) return -1;
    static const unsigned least[] = {0, 0x80, 0x800, 0x10000};
    unsigned code = c & (0x3fu >> extra);
    for (int i = 0; i < extra; i++) {
        if ((**p & 0xc0) != 0x80) return -2;
        code = code << 6 | (*(*p)++ & 0x3f);
    }
    if (code < least[extra]) return -3;
    if ((code >= 0xd800 && code <= 0xdfff) || code > 0x10ffff) return -4;
    return (int)code;
}
static int encode(unsigned code, unsigned char *out) {
    if (code < 0x80) return out[0] = (unsigned char)code, 1;
    int n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (int i = n - 1; i > 0; i--, code >>= 6) out[i] = (unsigned char)(0x80 | (code & 0x3f));
    static const unsigned char lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    out[0] = (unsigned char)(lead[n] | code);
    return n;
}
static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static int to_base64(const unsigned char *in, int n, char *out) {
    char *p = out;
    for (; n >= 3; n -= 3, in += 3) {
        uint32_t v = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];
        for (int s = 18; s >= 0; s -= 6) *p++ = alphabet[v >> s & 63];
    }
    if (n > 0) {
        uint32_t v = (uint32_t)in[0] << 16 | (n > 1 ? (uint32_t)in[1] << 8 : 0);
        *p++ = alphabet[v >> 18];
        *p++ = alphabet[v >> 12 & 63];
        *p++ = n > 1 ? alphabet[v >> 6 & 63] : '=';
        *p++ = '=';
    }
    *p = '\0';
    return (int)(p - out);
}
static int from_base64(const char *in, unsigned char *out) {
    int bits = 0, count = 0;
    uint32_t v = 0;
    for (; *in && *in != '='; in++) {
        const char *where = strchr(alphabet, *in);
        if (!where) return -1;
        v = v << 6 | (uint32_t)(where - alphabet);
        if ((bits += 6) >= 8) out[count++] = (unsigned char)(v >> (bits -= 8));
    }
    return count;
}
static int unescape(const char *in, char *out) {
    char *start = out;
    for (; *in; in++) {
        if (*in == '+') *out++ = ' ';
        else if (*in == '%') {
            int value = 0;
            for (int k = 0; k < 2; k++) {
                char c = *++in;
                if (c >= '0' && c <= '9') value = value * 16 + c - '0';
                else if ((c | 32) >= 'a' && (c | 32) <= 'f') value = value * 16 + (c | 32) - 'a' + 10;
                else return -1;
            }
            *out++ = (char)value;
        } else *out++ = *in;
    }
    *out = '\0';
    return (int)(out - start);
}
static void roman(int n, char *out) {
    static const struct { int value; char text[3]; } parts[] = {{1000, "M"}, {900, "CM"}, {500, "D"}, {400, "CD"}, {100, "C"}, {90, "XC"}, {50, "L"}, {40, "XL"}, {10, "X"}, {9, "IX"}, {5, "V"}, {4, "IV"}, {1, "I"}};
    *out = '\0';
    for (int i = 0; n > 0; i++)
        for (; n >= parts[i].value; n -= parts[i].value) strcat(out, parts[i].text);
}
static const char *in_base(int64_t x, int base, char *end) {
    uint64_t u = x < 0 ? 0 - (uint64_t)x : (uint64_t)x;
    *--end = '\0';
    do *--end = "0123456789abcdefghijklmnopqrstuvwxyz"[u % (unsigned)base];
    while (u /= (unsigned)base);
    if (x < 0) *--end = '-';
    return end;
}

int main(void) {
    static const unsigned codes[] = {0, 0x41, 0x7f, 0x80, 0x7ff, 0x800, 0x20ac, 0xd7ff, 0xe000, 0xffff, 0x10000, 0x1f600, 0x10ffff};
    unsigned char bytes[80];
    for (int i = 0; i < 13; i++) {
        int n = encode(codes[i], bytes);
        const unsigned char *p = bytes;
        CHECK(decode(&p) == (int)codes[i] && p == bytes + n);
        for (int k = 0; k < n; k++) mix(bytes[k]);
    }
    static const char *const bad[] = {"\x80", "\xc3(", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xff", "\xe2\x82"};
    static const int reasons[] = {-1, -2, -3, -4, -4, -1, -2};
    for (int i = 0; i < 7; i++) {
        const unsigned char *p = (const unsigned char *)bad[i];
        CHECK(decode(&p) == reasons[i]);
    }
    char text[160];
    CHECK(to_base64((const unsigned char *)"Man", 3, text) == 4 && strcmp(text, "TWFu") == 0);
    CHECK(to_base64((const unsigned char *)"Ma", 2, text) == 4 && strcmp(text, "TWE=") == 0 && to_base64((const unsigned char *)"M", 1, text) == 4 && strcmp(text, "TQ==") == 0);
    for (int n = 0; n < 60; n++) {
        unsigned char in[60];
        for (int i = 0; i < n; i++) in[i] = (unsigned char)(i * 89 + n * 7);
        CHECK(to_base64(in, n, text) == (n + 2) / 3 * 4 && from_base64(text, bytes) == n && memcmp(in, bytes, (size_t)n) == 0);
        for (const char *p = text; *p; p++) mix((uint64_t)*p);
    }
    CHECK(from_base64("ab!d", bytes) == -1);
    CHECK(unescape("a%20b+c%2F%7e", text) == 7 && strcmp(text, "a b c/~") == 0 && unescape("%g0", text) == -1 && unescape("%4", text) == -1);
    roman(1994, text);
    CHECK(strcmp(text, "MCMXCIV") == 0);
    roman(3888, text);
    CHECK(strcmp(text, "MMMDCCCLXXXVIII") == 0);
    CHECK(strcmp(in_base(INT64_MIN, 16, text + 80), "-8000000000000000") == 0 && strcmp(in_base(0, 2, text + 80), "0") == 0);
    for (int base = 2; base <= 36; base++)
        for (const char *p = in_base(-123456789012 * base, base, text + 80); *p; p++) mix((uint64_t)*p);
    CHECK(strcmp(in_base(35, 36, text + 80), "z") == 0 && strcmp(in_base(-10, 3, text + 80), "-101") == 0);
    return finish("text_codecs", UINT64_C(0xcfaabe55fa3f9942));
}
