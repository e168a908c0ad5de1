/* Exercises: open-addressing hash table with tombstones and growth, string hashing, chained buckets, counting words. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
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


struct entry {
    char key[12];
    int value;
    unsigned char state; /* 0 free, 1 used, 2 deleted */
};
struct table {
    struct entry *entries;
    unsigned capacity, used, filled;
};

static uint32_t hash(const char *s) {
    uint32_t h = 2166136261u;
    while (*s) h = (h ^ (unsigned char)*s++) * 16777619u;
    return h ^ h >> 15;
}
static struct entry *find(const struct table *t, const char *key, int for_insert) {
    struct entry *reuse = NULL;
    unsigned mask = t->capacity - 1;
    for (unsigned i = hash(key) & mask, step = 1;; i = (i + step++) & mask) {
        struct entry *e = &t->entries[i];
        if (e->state == 0) return for_insert ? (reuse ? reuse : e) : NULL;
        if (e->state == 2) {
            if (!reuse) reuse = e;
        } else if (strcmp(e->key, key) == 0) {
            return e;
        }
    }
}
static int *get(struct table *t, const char *key);
static void grow(struct table *t) {
    struct table bigger = {NULL, t->capacity * 2, 0, 0};
    bigger.entries = calloc(bigger.capacity, sizeof *bigger.entries);
    for (unsigned i = 0; i < t->capacity; i++)
        if (t->entries[i].state == 1) *get(&bigger, t->entries[i].key) = t->entries[i].value;
    free(t->entries);
    *t = bigger;
}
static int *get(struct table *t, const char *key) {
    if (t->filled * 4 >= t->capacity * 3) grow(t);
    struct entry *e = find(t, key, 1);
    if (e->state != 1) {
        if (e->state == 0) t->filled++;
        t->used++;
        e->state = 1;
        e->value = 0;
        strncpy(e->key, key, sizeof e->key - 1);
    }
    return &e->value;
}
static int erase(struct table *t, const char *key) {
    struct entry *e = find(t, key, 0);
    if (!e) return 0;
    e->state = 2;
    t->used--;
    return 1;
}

int main(void) {
    struct table t = {calloc(4, sizeof(struct entry)), 4, 0, 0};
    char key[12];
    for (int i = 0; i < 120; i++) {
        snprintf(key, sizeof key, "k%d", i * 7 % 90);
        *get(&t, key) += i;
    }
    CHECK(t.used == 90 && t.capacity == 128);
    for (int i = 0; i < 90; i++) {
        snprintf(key, sizeof key, "k%d", i * 7 % 90);
        CHECK(*get(&t, key) == (i < 30 ? 2 * i + 90 : i));
    }
    int erased = 0;
    for (int i = 0; i < 120; i += 4) {
        snprintf(key, sizeof key, "k%d", i);
        erased += erase(&t, key);
    }
    CHECK(erased == 23 && t.used == 67 && find(&t, "k4", 0) == NULL && find(&t, "k5", 0) != NULL);
    *get(&t, "k4") = -1;
    CHECK(t.used == 68 && *get(&t, "k4") == -1 && erase(&t, "k4") && !erase(&t, "k4") && !erase(&t, "zzz"));
    for (int i = 0; i < 300; i++) { /* tombstones must be reused */
        snprintf(key, sizeof key, "t%d", i);
        *get(&t, key) = i;
        if (i >= 5) {
            snprintf(key, sizeof key, "t%d", i - 5);
            CHECK(erase(&t, key));
        }
    }
    CHECK(t.used == 72 && t.capacity <= 512);
    mix(t.capacity);
    for (unsigned i = 0; i < t.capacity; i++)
        if (t.entries[i].state == 1) mix(hash(t.entries[i].key) + (uint64_t)t.entries[i].value + i);
    free(t.entries);

    t = (struct table){calloc(8, sizeof(struct entry)), 8, 0, 0};
    const char *text = "the cat and the dog and the cat and a bird";
    while (*text) {
        size_t n = strcspn(text, " ");
        memcpy(key, text, n);
        key[n] = '\0';
        ++*get(&t, key);
        text += n + (text[n] == ' ');
    }
    CHECK(t.used == 6 && *get(&t, "the") == 3 && *get(&t, "and") == 3 && *get(&t, "cat") == 2 && *get(&t, "bird") == 1);
    CHECK(hash("") == (2166136261u ^ 2166136261u >> 15) && hash("a") != hash("b"));
    free(t.entries);
    return finish("hash_table_probing", UINT64_C(0xb8fde4262279d0e0));
}
