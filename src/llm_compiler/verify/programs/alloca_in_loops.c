/* Exercises: alloca in loops and recursion whose memory must live until the function ends, lists on the stack, VLAs that come and go, frames and return addresses. */
#include <alloca.h>
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

struct link { struct link *next; int value; char tail[]; };

__attribute__((noinline)) static int list_on_stack(int n) {
    struct link *head = NULL;
    for (int i = 0; i < n; i++) {
        size_t extra = (size_t)(i % 7) + 1;
        struct link *l = alloca(sizeof *l + extra);
        l->next = head;
        l->value = i * i;
        memset(l->tail, 'a' + i % 26, extra);
        head = l;
    }
    unsigned sum = 0;
    for (struct link *l = head; l; l = l->next) sum = sum * 5 + (unsigned)(l->value + l->tail[0]);
    return (int)sum;
}
__attribute__((noinline)) static const char *joined(char *buffer, const char *const *words, int n) {
    buffer[0] = 0;
    for (int i = 0; i < n; i++) {
        size_t length = strlen(words[i]);
        char *reversed = alloca(length + 1);
        for (size_t k = 0; k < length; k++) reversed[k] = words[i][length - 1 - k];
        reversed[length] = 0;
        strcat(buffer, reversed);
        if (i + 1 < n) strcat(buffer, "-");
    }
    return buffer;
}
static int *kept[8];
static inline int *make(int *memory, int value) { *memory = value; return memory; }
__attribute__((noinline)) static int keep_some(int n) {
    int sum = 0, num_kept = 0;
    for (int i = 0; i < n; i++) {
        if (i % 3 == 2) continue;
        kept[num_kept++ % 8] = make(alloca(sizeof(int)), i * 11);
        if (num_kept == 8) break;
    }
    for (int i = 0; i < num_kept; i++) sum = sum * 3 + *kept[i];
    return sum;
}
__attribute__((noinline)) static long rows(int n) {
    long total = 0;
    for (int r = 1; r <= n; r++) {
        long row[r];
        for (int c = 0; c < r; c++) row[c] = c ? row[c - 1] * 2 + r : r;
        if (r == 4) continue;
        total += row[r - 1];
        if (total > 100000) break;
    }
    return total;
}
/* The stack must not grow without end: each round gives its array back. */
__attribute__((noinline)) static unsigned many_rounds(int rounds) {
    unsigned sum = 0;
    for (int i = 0; i < rounds; i++) {
        volatile unsigned char block[4096 + i % 16];
        block[i % 4096] = (unsigned char)i;
        sum = sum * 3 + block[i % 4096];
    }
    return sum;
}
__attribute__((noinline)) static int recursive(int n) {
    char *mark = alloca((size_t)n + 1);
    memset(mark, n, (size_t)n + 1);
    int below = n > 0 ? recursive(n - 1) : 0;
    int sum = below;
    for (int i = 0; i <= n; i++) sum += mark[i];
    return sum;
}
__attribute__((noinline)) static int same_frame(void *outer) { return __builtin_frame_address(0) == outer; }
__attribute__((noinline)) static int has_return_address(void) { return __builtin_return_address(0) != NULL; }

int main(void) {
    mix((uint64_t)(unsigned)list_on_stack(40));
    CHECK(list_on_stack(0) == 0 && list_on_stack(1) == 'a');
    static const char *const words[] = {"stack", "of", "words", "", "end"};
    char buffer[64];
    puts(joined(buffer, words, 5));
    CHECK(strcmp(buffer, "kcats-fo-sdrow--dne") == 0);
    mix((uint64_t)(unsigned)keep_some(20));
    CHECK(keep_some(4) == (0 * 3 + 11) * 3 + 33);
    CHECK(rows(1) == 1 && rows(3) == 1 + 6 + 21);
    mix((uint64_t)rows(12));
    mix(many_rounds(5000));
    CHECK(recursive(3) == 1 * 2 + 2 * 3 + 3 * 4);
    mix((uint64_t)recursive(50));
    CHECK(!same_frame(__builtin_frame_address(0)));
    CHECK(has_return_address());
    return finish("alloca_in_loops", UINT64_C(0x921e48ec4e53a4a5));
}
