/* flags: -fno-delete-null-pointer-checks -fno-builtin */
/* Exercises: null checks that stay although the pointer was used, and library functions by name that are ordinary ones. */
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

static __attribute__((noinline)) void mix(uint64_t value) {
    digest = (digest ^ value) * UINT64_C(0x100000001b3);
    digest ^= digest >> 29;
}

static int finish(const char *name, uint64_t expected) {
    printf("%s %016" PRIx64 "\n", name, digest);
    CHECK(digest == expected);
    return failed_line;
}

struct node { int value; struct node *next; };
__attribute__((noinline)) static int length_of(const char *text, size_t *out) {
    if (!text) return -1;
    size_t n = 0;
    while (text[n]) n++;
    *out = n;
    return 0;
}
__attribute__((noinline)) static void copy_bytes(char *to, const char *from, size_t n) {
    for (size_t i = 0; i < n; i++) to[i] = from[i];
}
__attribute__((noinline)) static void set_bytes(char *to, int value, size_t n) {
    while (n-- > 0) *to++ = (char)value;
}
__attribute__((nonnull, noinline)) static int said_nonnull(const int *p) { return p ? *p : -7; }
__attribute__((noinline)) static int checked_after_copy(char *to, const char *from, size_t n) {
    memcpy(to, from, n);
    if (!from) return 1;
    if (!to) return 2;
    return (int)n + 10;
}
__attribute__((noinline)) static int sum_list(const struct node *n) {
    int sum = 0;
    do {
        if (!n) return sum * 10 + 1;
        sum += n->value;
        n = n->next;
    } while (n || sum < 100);
    return sum * 10;
}
__attribute__((noinline)) static int member_address(const struct node *n) {
    const int *inside = (const int *)((const char *)n + offsetof(struct node, value));
    return n == NULL ? 0 : *inside + 1;
}
__attribute__((noinline)) static int compare_bytes(const char *a, const char *b, size_t n) {
    for (; n > 0; n--, a++, b++)
        if (*a != *b) return *a < *b ? -1 : 1;
    return 0;
}

int main(void) {
    size_t n = 99;
    CHECK(length_of("twelve chars", &n) == 0 && n == 12);
    const char *volatile nothing = NULL;
    CHECK(length_of(nothing, &n) == -1 && n == 12);
    char buffer[32];
    set_bytes(buffer, 'x', 31);
    buffer[31] = 0;
    copy_bytes(buffer + 3, "copied", 6);
    for (int i = 0; i < 32; i++) mix((uint64_t)buffer[i]);
    CHECK(strlen(buffer) == 31 && memcmp(buffer, "xxxcopiedx", 10) == 0);
    int five = 5;
    CHECK(said_nonnull(&five) == 5);
    CHECK(checked_after_copy(buffer, nothing, 0) == 1);
    CHECK(checked_after_copy(buffer, "abc", 3) == 13);
    struct node last = {40, NULL}, first = {2, &last}, large = {100, &first};
    CHECK(sum_list(&first) == 421);
    CHECK(sum_list(&large) == 1420);
    CHECK(sum_list(NULL) == 1);
    CHECK(member_address(&last) == 41 && member_address(NULL) == 0);
    CHECK(compare_bytes("abc", "abd", 3) == -1 && compare_bytes("b", "a", 1) == 1 && compare_bytes("same", "same", 4) == 0);
    return finish("null_pointer_is_valid", UINT64_C(0x2b9517c5c171c86d));
}
