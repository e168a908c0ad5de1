/* Exercises: singly and doubly linked lists: insert, delete through pointer to pointer, reverse, merge sort, cycle detection. */
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


struct node {
    struct node *next;
    int value;
};
static struct node pool[128];
static int used;

static struct node *cons(int value, struct node *next) {
    struct node *n = &pool[used++ % 128];
    n->value = value;
    n->next = next;
    return n;
}
static struct node *reverse(struct node *list) {
    struct node *done = NULL;
    while (list) {
        struct node *next = list->next;
        list->next = done;
        done = list;
        list = next;
    }
    return done;
}
static int remove_all(struct node **link, int value) {
    int removed = 0;
    while (*link) {
        if ((*link)->value == value) {
            *link = (*link)->next;
            removed++;
        } else {
            link = &(*link)->next;
        }
    }
    return removed;
}
static struct node *merge(struct node *a, struct node *b) {
    struct node head = {NULL, 0}, *tail = &head;
    while (a && b) {
        struct node **least = b->value < a->value ? &b : &a;
        tail->next = *least;
        tail = *least;
        *least = (*least)->next;
    }
    tail->next = a ? a : b;
    return head.next;
}
struct node *sort(struct node *list) {
    if (!list || !list->next) return list;
    struct node *slow = list, *fast = list->next;
    while (fast && fast->next) slow = slow->next, fast = fast->next->next;
    struct node *half = slow->next;
    slow->next = NULL;
    return merge(sort(list), sort(half));
}
static int cycle_length(const struct node *list) {
    const struct node *slow = list, *fast = list;
    do {
        if (!fast || !fast->next) return 0;
        slow = slow->next;
        fast = fast->next->next;
    } while (slow != fast);
    int n = 0;
    do slow = slow->next, n++;
    while (slow != fast);
    return n;
}
static uint64_t hash(const struct node *list) {
    uint64_t h = 1;
    for (; list; list = list->next) h = h * 1000003 + (uint64_t)list->value;
    return h;
}

struct ring {
    struct ring *before, *after;
    int id;
};
static void link_after(struct ring *at, struct ring *fresh) {
    fresh->before = at;
    fresh->after = at->after;
    at->after->before = fresh;
    at->after = fresh;
}
static void unlink_ring(struct ring *r) {
    r->before->after = r->after;
    r->after->before = r->before;
}
/* Josephus: the last one when each k-th leaves. */
static int survivor(int n, int k) {
    struct ring *members = calloc((size_t)n, sizeof *members), *at = &members[0];
    for (int i = 0; i < n; i++) members[i].id = i;
    at->before = at->after = at;
    for (int i = n - 1; i > 0; i--) link_after(at, &members[i]);
    while (at->after != at) {
        for (int i = 1; i < k; i++) at = at->after;
        struct ring *next = at->after;
        mix((uint64_t)at->id + (uint64_t)at->before->id * 64);
        unlink_ring(at);
        at = next;
    }
    int last = at->id;
    free(members);
    return last;
}

int main(void) {
    for (int n = 0; n < 40; n += 3) {
        struct node *list = NULL;
        for (int i = 0; i < n; i++) list = cons((i * 17 + 5) % 23 - 11, list);
        mix(hash(list));
        list = reverse(list);
        CHECK(n == 0 || list->value == -6);
        mix(hash(list));
        list = sort(list);
        int count = 0, removed;
        for (struct node *p = list; p; p = p->next, count++) CHECK(!p->next || p->value <= p->next->value);
        CHECK(count == n && cycle_length(list) == 0);
        removed = remove_all(&list, -6) + remove_all(&list, 11) + remove_all(&list, 99);
        mix(hash(list) + (uint64_t)removed);
    }
    struct node *tail = cons(1, NULL), *list = cons(5, cons(4, cons(3, cons(2, tail))));
    CHECK(cycle_length(list) == 0 && remove_all(&list, 5) == 1 && list->value == 4 && cycle_length(NULL) == 0);
    tail->next = list->next;
    CHECK(cycle_length(list) == 3);
    tail->next = tail;
    CHECK(cycle_length(list) == 1);
    volatile int n = 41;
    CHECK(survivor(n, 3) == 30 && survivor(1, 5) == 0 && survivor(7, 2) == 6 && survivor(6, 1) == 5);
    return finish("list_reverse_merge", UINT64_C(0xcadfc1a6f4b2b00e));
}
