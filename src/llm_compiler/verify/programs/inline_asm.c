/* Exercises: inline assembly with outputs, inputs, tied operands, memory operands, clobbers, barriers, asm goto (portable fallback). */
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
static uint32_t asm_add(uint32_t a, uint32_t b) {
    __asm__("addl %1, %0" : "+r"(a) : "r"(b) : "cc");
    return a;
}
static uint64_t asm_subtract(uint64_t a, uint64_t b) {
    uint64_t r;
    __asm__("movq %1, %0\n\tsubq %2, %0" : "=&r"(r) : "r"(a), "r"(b) : "cc");
    return r;
}
static void asm_store(int *p, int value) { __asm__ volatile("movl %1, %0" : "=m"(*p) : "r"(value)); }
static int asm_load(const int *p) {
    int r;
    __asm__("movl %1, %0" : "=r"(r) : "m"(*p));
    return r;
}
static int asm_is_negative(int x) {
    __asm__ goto("testl %0, %0\n\tjs %l1" : : "r"(x) : "cc" : negative);
    return 0;
negative:
    return 1;
}
static int asm_counted(int *counter) {
    __asm__ volatile("incl %0" : "+m"(*counter) : : "cc");
    return *counter;
}
#elif defined(__aarch64__)
static uint32_t asm_add(uint32_t a, uint32_t b) {
    __asm__("add %w0, %w0, %w1" : "+r"(a) : "r"(b));
    return a;
}
static uint64_t asm_subtract(uint64_t a, uint64_t b) {
    uint64_t r;
    __asm__("mov %0, %1\n\tsub %0, %0, %2" : "=&r"(r) : "r"(a), "r"(b));
    return r;
}
static void asm_store(int *p, int value) { __asm__ volatile("str %w1, %0" : "=Q"(*p) : "r"(value)); }
static int asm_load(const int *p) {
    int r;
    __asm__("ldr %w0, %1" : "=r"(r) : "Q"(*p));
    return r;
}
static int asm_is_negative(int x) {
    __asm__ goto("tbnz %w0, #31, %l1" : : "r"(x) : : negative);
    return 0;
negative:
    return 1;
}
static int asm_counted(int *counter) {
    int scratch;
    __asm__ volatile("ldr %w1, %0\n\tadd %w1, %w1, #1\n\tstr %w1, %0" : "+Q"(*counter), "=&r"(scratch));
    return *counter;
}
#else
static uint32_t asm_add(uint32_t a, uint32_t b) { return a + b; }
static uint64_t asm_subtract(uint64_t a, uint64_t b) { return a - b; }
static void asm_store(int *p, int value) { *p = value; }
static int asm_load(const int *p) { return *p; }
static int asm_is_negative(int x) { return x < 0; }
static int asm_counted(int *counter) { return ++*counter; }
#endif

/* The optimiser must not know what comes out. */
static int hide(int x) {
    __asm__("" : "+r"(x));
    return x;
}
static void forget_memory(void) { __asm__ volatile("" : : : "memory"); }
static void use(const void *p) { __asm__ volatile("" : : "r"(p) : "memory"); }
static int shared;

int main(void) {
    CHECK(asm_add(3, 4) == 7 && asm_add(0xffffffff, 2) == 1);
    CHECK(asm_subtract(10, 3) == 7 && asm_subtract(3, 10) == (uint64_t)-7);
    CHECK(asm_is_negative(-1) && !asm_is_negative(0) && !asm_is_negative(5) && asm_is_negative(INT32_MIN));
    uint64_t x = 88172645463325252u;
    for (int i = 0; i < 40; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        CHECK(asm_add((uint32_t)x, (uint32_t)(x >> 32)) == (uint32_t)x + (uint32_t)(x >> 32));
        CHECK(asm_subtract(x, x * 3) == x - x * 3);
        mix(asm_subtract(asm_add((uint32_t)x, 5), x));
        mix((uint64_t)asm_is_negative((int)(x >> 20)));
    }
    int cell = 5, counter = 0;
    asm_store(&cell, hide(12));
    CHECK(cell == 12 && asm_load(&cell) == 12);
    cell = 13;
    CHECK(asm_load(&cell) == 13);
    int sum = 0;
    for (int i = 0; i < hide(9); i++) {
        sum += asm_counted(&counter) * (hide(i) - 2);
        if (hide(sum) > 60) break;
    }
    CHECK(counter == 8 && sum == 96);
    mix((uint64_t)sum);
    shared = 1;
    forget_memory();
    CHECK(shared == 1);
    shared = hide(6) * hide(7);
    forget_memory();
    CHECK(shared == 42);
    int local[4] = {hide(1), 2, 3, hide(4)};
    use(local);
    local[2] = local[0] - local[3];
    use(local);
    CHECK(local[0] == 1 && local[1] == 2 && local[2] == -3 && local[3] == 4);
    return finish("inline_asm", UINT64_C(0xba9892b64e412e82));
}
