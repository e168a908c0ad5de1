/* Exercises: a treap with rotations through pointers, deletion, in-order walks with an explicit stack, depth, range sums. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

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


struct tree {
    struct tree *child[2];
    int key;
    uint32_t priority;
    int size;
};
static uint32_t random_state = 2463534242u;
static uint32_t next_random(void) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 17;
    return random_state ^= random_state << 5;
}
static int size(const struct tree *t) { return t ? t->size : 0; }
static void update(struct tree *t) { t->size = 1 + size(t->child[0]) + size(t->child[1]); }

static void rotate(struct tree **link, int side) {
    struct tree *old = *link, *up = old->child[!side];
    old->child[!side] = up->child[side];
    up->child[side] = old;
    update(old);
    update(up);
    *link = up;
}
static int insert(struct tree **link, int key) {
    struct tree *t = *link;
    if (!t) {
        *link = t = calloc(1, sizeof *t);
        t->key = key;
        t->priority = next_random();
        t->size = 1;
        return 1;
    }
    if (key == t->key) return 0;
    int side = key > t->key;
    if (!insert(&t->child[side], key)) return 0;
    update(t);
    if (t->child[side]->priority > t->priority) rotate(link, !side);
    return 1;
}
static int erase(struct tree **link, int key) {
    struct tree *t = *link;
    if (!t) return 0;
    if (t->key != key) {
        int done = erase(&t->child[key > t->key], key);
        update(t);
        return done;
    }
    if (!t->child[0] || !t->child[1]) {
        *link = t->child[0] ? t->child[0] : t->child[1];
        free(t);
        return 1;
    }
    int side = t->child[0]->priority > t->child[1]->priority;
    rotate(link, side);
    int done = erase(&(*link)->child[side], key);
    update(*link);
    return done;
}
static int kth(const struct tree *t, int k) {
    for (;;) {
        int left = size(t->child[0]);
        if (k == left) return t->key;
        if (k > left) k -= left + 1, t = t->child[1];
        else t = t->child[0];
    }
}
static int64_t range_sum(const struct tree *t, int low, int high) {
    if (!t) return 0;
    int64_t sum = t->key >= low && t->key < high ? t->key : 0;
    if (low < t->key) sum += range_sum(t->child[0], low, high);
    if (high > t->key) sum += range_sum(t->child[1], low, high);
    return sum;
}
static int walk(const struct tree *t) {
    const struct tree *stack[64];
    int depth = 0, count = 0, last = INT32_MIN;
    while (t || depth) {
        for (; t; t = t->child[0]) stack[depth++] = t;
        t = stack[--depth];
        CHECK(t->key > last);
        CHECK(t->size == 1 + size(t->child[0]) + size(t->child[1]));
        CHECK((!t->child[0] || t->child[0]->priority <= t->priority) && (!t->child[1] || t->child[1]->priority <= t->priority));
        last = t->key;
        mix((uint64_t)last);
        count++;
        t = t->child[1];
    }
    return count;
}
static int height(const struct tree *t) {
    if (!t) return 0;
    int l = height(t->child[0]), r = height(t->child[1]);
    return 1 + (l > r ? l : r);
}

int main(void) {
    struct tree *root = NULL;
    int inserted = 0, erased = 0;
    for (int i = 0; i < 200; i++) inserted += insert(&root, (i * 61) % 150 - 40);
    CHECK(inserted == 150 && size(root) == 150 && walk(root) == 150);
    CHECK(height(root) >= 8 && height(root) < 30);
    mix((uint64_t)height(root));
    for (int k = 0; k < 150; k += 7) CHECK(kth(root, k) == k - 40);
    CHECK(range_sum(root, 0, 10) == 45 && range_sum(root, -40, 110) == (109 * 110 - 40 * 41) / 2);
    for (int key = -60; key < 130; key += 3) erased += erase(&root, key);
    CHECK(erased == 50 && size(root) == 100 && walk(root) == 100);
    CHECK(kth(root, 0) == -40 && kth(root, 1) == -38 && kth(root, 2) == -37);
    CHECK(range_sum(root, -40, -34) == -40 - 38 - 37 - 35);
    while (root) {
        mix((uint64_t)kth(root, size(root) / 2));
        CHECK(erase(&root, root->key) == 1);
    }
    CHECK(erase(&root, 5) == 0);
    return finish("tree_search_balance", UINT64_C(0xf6b1f98a4e90c645));
}
