/* Exercises: asm goto (callbr): branches out of loops, several targets, outputs on every way, inside inlined functions, naked functions, module-level assembly. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>

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

#if defined(__x86_64__)
#define BRANCH_IF_ODD(value, label) __asm__ goto("testl $1, %0\n\tjnz %l1" : : "r"(value) : "cc" : label)
#define PICK(value, low, high) __asm__ goto("cmpl $10, %0\n\tjl %l1\n\tcmpl $100, %0\n\tjge %l2" : : "r"(value) : "cc" : low, high)
#define HALVE_OR(out, value, label) __asm__ goto("movl %1, %0\n\tshrl $1, %0\n\tjc %l2" : "=r"(out) : "r"(value) : "cc" : label)
__attribute__((naked, noinline)) static int naked_add(int a __attribute__((unused)), int b __attribute__((unused))) {
    __asm__("leal 1(%rdi,%rsi), %eax\n\tret");
}
#elif defined(__aarch64__)
#define BRANCH_IF_ODD(value, label) __asm__ goto("tbnz %w0, #0, %l1" : : "r"(value) : : label)
#define PICK(value, low, high) __asm__ goto("cmp %w0, #10\n\tb.lt %l1\n\tcmp %w0, #100\n\tb.ge %l2" : : "r"(value) : "cc" : low, high)
#define HALVE_OR(out, value, label) __asm__ goto("lsr %w0, %w1, #1\n\ttbnz %w1, #0, %l2" : "=&r"(out) : "r"(value) : : label)
__attribute__((naked, noinline)) static int naked_add(int a __attribute__((unused)), int b __attribute__((unused))) {
    __asm__("add w0, w0, w1\n\tadd w0, w0, #1\n\tret");
}
#else
#define BRANCH_IF_ODD(value, label) do { if ((value) & 1) goto label; } while (0)
#define PICK(value, low, high) do { if ((value) < 10) goto low; if ((value) >= 100) goto high; } while (0)
#define HALVE_OR(out, value, label) do { (out) = (unsigned)(value) >> 1; if ((value) & 1) goto label; } while (0)
static int naked_add(int a, int b) { return a + b + 1; }
#endif
/* A table that only the assembler sees. */
__asm__(".pushsection .rodata\n\t.balign 4\n.Lasm_goto_flow_table:\n\t.globl asm_goto_flow_table\n"
        "asm_goto_flow_table:\n\t.long 3, 1, 4, 1, 5, 9, 2, 6\n\t.popsection\n");
extern const int asm_goto_flow_table[8];

static int count_odd(const int *values, int n) {
    int odd = 0;
    for (int i = 0; i < n; i++) {
        BRANCH_IF_ODD(values[i], is_odd);
        continue;
    is_odd:
        odd++;
    }
    return odd;
}
static int find_odd(const int *values, int n) {
    for (int i = 0; i < n; i++) BRANCH_IF_ODD(values[i], found_it);
    return -1;
found_it:
    return n * 10;
}
static inline int classify(int value) {
    PICK(value, low, high);
    return 2;
low:
    return value < 0 ? 0 : 1;
high:
    return 3 + value % 4;
}
static unsigned collatz(unsigned n) {
    unsigned steps = 0;
    while (n != 1) {
        unsigned half = 0;
        HALVE_OR(half, n, odd);
        n = half;
        steps++;
        continue;
    odd:
        n = 3 * n + 1 + (half & 0);
        steps += 2;
    }
    return steps;
}
static int nested(int rows, int columns) {
    int sum = 0;
    for (int r = 0; r < rows; r++) {
        for (int c = 0; c < columns; c++) {
            BRANCH_IF_ODD(r * c + (r & c), next_row);
            sum += r * 10 + c;
        }
        sum += 1000;
        continue;
    next_row:
        sum += 1;
    }
    return sum;
}

int main(void) {
    static const int values[] = {4, 7, 10, 11, 13, 0, -3, -8, 22};
    CHECK(count_odd(values, 9) == 4);
    CHECK(find_odd(values, 1) == -1);
    CHECK(find_odd(values, 9) == 90);
    for (int v = -5; v < 120; v += 3) mix((uint64_t)classify(v));
    CHECK(classify(-1) == 0 && classify(9) == 1 && classify(10) == 2 && classify(99) == 2 && classify(100) == 3);
    for (unsigned n = 1; n < 30; n++) mix(collatz(n));
    CHECK(collatz(27) == 111 + 41);
    mix((uint64_t)nested(6, 7));
    CHECK(naked_add(4, 5) == 10);
    CHECK(naked_add(-4, 3) == 0);
    int sum = 0;
    for (int i = 0; i < 8; i++) sum = sum * 10 + asm_goto_flow_table[i];
    CHECK(sum == 31415926);
    return finish("asm_goto_flow", UINT64_C(0x49249709ef0d8be3));
}
