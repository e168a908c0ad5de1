/* Exercises: a first-fit allocator with splitting and merging over a byte arena, ring buffer with wrap, string builder, cellular automaton. */
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static int failed_line;
static uint64_t digest = UINT64_C(0xcbf29ce484222325);

#define CHECK(condition) \
    do { \
        if (!(condition) && failed_line == 0) failed_line = __LINE__ < 255 ? __LINE__ : 255; \
    } while (0)

__attribute__((noinline)) void mix(uint64_t value) {
    digest = (digest ^ value) * UINT64_C(0x100000001b3);
    digest ^= digest >> 29;
}

static int finish(const char *name, uint64_t expected) {
    printf("%s %016" PRIx64 "\n", name, digest);
    CHECK(digest == expected);
    return failed_line;
}


struct block {
    uint32_t size, used; /* size of the payload */
};
static _Alignas(8) unsigned char arena[1024];
static struct block *at(size_t offset) { return (struct block *)(void *)(arena + offset); }
static void start(void) {
    at(0)->size = sizeof arena - sizeof(struct block);
    at(0)->used = 0;
}
static void *take(uint32_t n) {
    n = (n + 7) & ~7u;
    for (size_t o = 0; o < sizeof arena; o += sizeof(struct block) + at(o)->size) {
        struct block *b = at(o);
        if (b->used || b->size < n) continue;
        if (b->size >= n + sizeof(struct block) + 8) {
            struct block *rest = at(o + sizeof *b + n);
            rest->size = b->size - n - (uint32_t)sizeof *b;
            rest->used = 0;
            b->size = n;
        }
        b->used = 1;
        return b + 1;
    }
    return NULL;
}
static void give(void *p) {
    if (!p) return;
    ((struct block *)p - 1)->used = 0;
    for (size_t o = 0; o < sizeof arena;) {
        struct block *b = at(o);
        size_t next = o + sizeof *b + b->size;
        if (!b->used && next < sizeof arena && !at(next)->used) b->size += (uint32_t)sizeof *b + at(next)->size;
        else o = next;
    }
}
static int blocks(uint32_t *free_bytes) {
    int n = 0;
    *free_bytes = 0;
    for (size_t o = 0; o < sizeof arena; o += sizeof(struct block) + at(o)->size, n++)
        if (!at(o)->used) *free_bytes += at(o)->size;
    return n;
}
struct ring { unsigned char data[13]; unsigned head, length; };
static unsigned write_ring(struct ring *r, const unsigned char *p, unsigned n) {
    unsigned room = sizeof r->data - r->length, take_now = n < room ? n : room;
    for (unsigned i = 0; i < take_now; i++) r->data[(r->head + r->length + i) % sizeof r->data] = p[i];
    r->length += take_now;
    return take_now;
}
static unsigned read_ring(struct ring *r, unsigned char *p, unsigned n) {
    unsigned i = 0;
    for (; i < n && r->length > 0; i++, r->length--) {
        p[i] = r->data[r->head];
        if (++r->head == sizeof r->data) r->head = 0;
    }
    return i;
}
static uint64_t evolve(uint64_t row, unsigned rule) {
    uint64_t next = 0;
    for (int i = 0; i < 64; i++) {
        unsigned three = (unsigned)((row >> ((i + 63) % 64) & 1) | (row >> i & 1) << 1 | (row >> ((i + 1) % 64) & 1) << 2);
        next |= (uint64_t)(rule >> three & 1) << i;
    }
    return next;
}

int main(void) {
    void *held[16] = {NULL};
    uint32_t x = 5, free_bytes;
    start();
    for (int i = 0; i < 300; i++) {
        x = x * 1664525 + 1013904223;
        int slot = (int)(x >> 28);
        if (held[slot]) {
            uint32_t n = ((struct block *)held[slot] - 1)->size;
            for (uint32_t k = 0; k < n; k++) CHECK(((unsigned char *)held[slot])[k] == (unsigned char)(slot * 16 + 1));
            give(held[slot]);
            held[slot] = NULL;
        } else if ((held[slot] = take((x >> 16) % 120 + 1)) != NULL) {
            memset(held[slot], slot * 16 + 1, ((struct block *)held[slot] - 1)->size);
            mix((uint64_t)((unsigned char *)held[slot] - arena));
        }
        mix((uint64_t)blocks(&free_bytes) * 10000 + free_bytes);
    }
    for (int i = 0; i < 16; i++) give(held[i]);
    CHECK(blocks(&free_bytes) == 1 && free_bytes == 1016);
    void *a = take(1), *b = take(9), *c = take(1000);
    CHECK(a == arena + 8 && b == arena + 24 && c == NULL && blocks(&free_bytes) == 3 && free_bytes == 1016 - 16 - 24);

    struct ring r = {{0}, 0, 0};
    unsigned char out[16], in = 0, expected = 0;
    for (unsigned i = 0; i < 100; i++) {
        unsigned char chunk[7];
        for (unsigned k = 0; k < 7; k++) chunk[k] = (unsigned char)(in + k);
        in = (unsigned char)(in + write_ring(&r, chunk, i % 8));
        unsigned got = read_ring(&r, out, i * 3 % 7);
        for (unsigned k = 0; k < got; k++) CHECK(out[k] == expected++);
        mix(got * 16 + r.length);
    }
    CHECK((unsigned char)(in - expected) == r.length);
    uint64_t row = UINT64_C(1) << 32;
    for (int i = 0; i < 30; i++) mix(row = evolve(row, 30));
    CHECK(evolve(1, 90) == (2 | UINT64_C(1) << 63) && evolve(0, 1) == UINT64_MAX && evolve(UINT64_MAX, 127) == 0);
    return finish("allocator_and_ring_buffer", UINT64_C(0xa82e6030da6a57bf));
}
