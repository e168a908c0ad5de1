/* Exercises: variable-length arrays (one and two dimensions, as parameters, in loops), alloca, sizeof of a VLA, stack restore. */
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


static uint64_t matrix_sum(int rows, int columns, const int m[rows][columns]) {
    uint64_t sum = 0;
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < columns; c++) sum = sum * 3 + (uint64_t)m[r][c];
    return sum;
}

static void transpose(int rows, int columns, int from[rows][columns], int to[columns][rows]) {
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < columns; c++) to[c][r] = from[r][c];
}

static uint64_t rectangle(int rows, int columns) {
    int a[rows][columns], b[columns][rows];
    for (int r = 0; r < rows; r++)
        for (int c = 0; c < columns; c++) a[r][c] = r * 100 - c;
    transpose(rows, columns, a, b);
    CHECK(sizeof a == sizeof b && sizeof a[0] == (size_t)columns * sizeof(int));
    CHECK(b[columns - 1][rows - 1] == a[rows - 1][columns - 1]);
    return matrix_sum(rows, columns, (const int(*)[columns])a) - matrix_sum(columns, rows, (const int(*)[rows])b);
}

/* A fresh array in each trip: the stack has to be given back, or this would need 200 MB. */
static unsigned many_trips(int trips) {
    unsigned sum = 0;
    for (int i = 0; i < trips; i++) {
        unsigned char block[20000 + i % 7];
        block[0] = (unsigned char)i;
        block[sizeof block - 1] = (unsigned char)(i >> 3);
        volatile unsigned char *seen = block;
        if (i % 3 == 0) continue;
        sum += seen[0] * 2u + seen[sizeof block - 1];
        if (sum > 3000000) break;
    }
    return sum;
}

struct node {
    struct node *next;
    int value;
};
__attribute__((noinline)) static int list_on_stack(int n) {
    struct node *head = NULL;
    for (int i = 0; i < n; i++) {
        struct node *fresh = alloca(sizeof *fresh);
        fresh->next = head;
        fresh->value = i * i;
        head = fresh;
    }
    int sum = 0, sign = 1;
    for (; head; head = head->next, sign = -sign) sum += sign * head->value;
    return sum;
}

static int reverse_words(const char *text, char *out) {
    size_t length = strlen(text), at = 0;
    char copy[length + 1];
    const char *starts[length + 1];
    int words = 0;
    memcpy(copy, text, length + 1);
    for (size_t i = 0; i < length; i++) {
        if (copy[i] == ' ') copy[i] = '\0';
        else if (i == 0 || copy[i - 1] == '\0') starts[words++] = copy + i;
    }
    for (int i = words - 1; i >= 0; i--) {
        size_t n = strlen(starts[i]);
        memcpy(out + at, starts[i], n);
        at += n;
        out[at++] = i ? ' ' : '\0';
    }
    return words;
}

static unsigned recursive_vla(int n) {
    int local[n];
    for (int i = 0; i < n; i++) local[i] = n * 10 + i;
    unsigned below = n > 1 ? recursive_vla(n - 1) : 0;
    for (int i = 0; i < n; i++) below = below * 5 + (unsigned)local[i];
    return below;
}

int main(void) {
    volatile int three = 3;
    for (int rows = 1; rows < 6; rows++)
        for (int columns = 1; columns < 6; columns += 2) mix(rectangle(rows, columns));
    CHECK(rectangle(1, three) == 0);
    int fixed[2][3] = {{1, 2, 3}, {4, 5, 6}};
    CHECK(matrix_sum(2, three, (const int(*)[three])fixed) == ((((1 * 3 + 2) * 3 + 3) * 3 + 4) * 3 + 5) * 3 + 6);
    CHECK(many_trips(4) == 2 + 4);
    mix(many_trips(10000));
    CHECK(list_on_stack(0) == 0 && list_on_stack(1) == 0 && list_on_stack(4) == 9 - 4 + 1 - 0);
    mix((uint64_t)list_on_stack(50));
    char out[64];
    CHECK(reverse_words("the quick  brown fox", out) == 4 && strcmp(out, "fox brown quick the") == 0);
    CHECK(reverse_words("one", out) == 1 && strcmp(out, "one") == 0);
    for (int n = 1; n < 12; n++) mix(recursive_vla(n));
    CHECK(recursive_vla(1) == 10 && recursive_vla(2) == (10 * 5 + 20) * 5 + 21);
    return finish("vla_and_alloca", UINT64_C(0xbcb40ec910dec007));
}
