// Checksums, bit counts, packed structs, bit-fields, division.
#include <stdint.h>
#include <stdio.h>
struct __attribute__((packed)) header { uint8_t tag; uint32_t length; uint16_t sum; };
struct flags { unsigned a : 3, b : 7, c : 11; };
static uint32_t crc_table[256];
__attribute__((noinline)) void prepare(void) {
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int k = 0; k < 8; k++) c = c & 1 ? 0xEDB88320u ^ (c >> 1) : c >> 1;
        crc_table[i] = c;
    }
}
__attribute__((noinline)) uint32_t crc(const uint8_t *p, unsigned n) {
    uint32_t c = ~0u;
    while (n--) c = crc_table[(c ^ *p++) & 255] ^ (c >> 8);
    return ~c;
}
__attribute__((noinline)) uint32_t length_of(const struct header *h) { return h->length + h->sum; }
__attribute__((noinline)) unsigned mix(struct flags f) { return f.a * 100 + f.b * 10 + f.c; }
__attribute__((noinline)) int zeros(uint64_t x) { return x ? __builtin_clzll(x) : 64; }
__attribute__((noinline)) int64_t middle(int64_t a, int64_t b) { return a / b + a % b; }
__attribute__((optnone, noinline)) int main(void) {
    uint8_t bytes[16];
    for (int i = 0; i < 16; i++) bytes[i] = (uint8_t)(i * i);
    struct flags f = {5, 100, 1234};
    prepare();
    printf("%08x %u %u %d %d %ld\n", crc(bytes, 16), length_of((struct header *)(bytes + 3)), mix(f),
           zeros(1u << 20), zeros(0), (long)middle(-1000000007, 13));
    return 0;
}
