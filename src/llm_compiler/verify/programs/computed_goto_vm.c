/* Exercises: a bytecode interpreter with computed gotos (indirectbr, label tables), label differences, a direct-threaded loop. */
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


enum { PUSH, ADD, SUB, MUL, DUP, SWAP, LESS, JUMP_IF, JUMP, LOAD, STORE, DIVIDE, HALT };

static int64_t run(const int *code, int64_t *memory, int *executed) {
    static const void *const labels[] = {&&push, &&add, &&sub, &&mul, &&dup, &&swap, &&less, &&jump_if, &&jump, &&load, &&store, &&divide, &&halt};
    int64_t stack[32], *top = stack;
    const int *pc = code;
    int count = 0;
    *top = 0;
#define NEXT                    \
    do {                        \
        count++;                \
        goto *labels[*pc++];    \
    } while (0)
    NEXT;
push: *++top = *pc++; NEXT;
add: top--; *top += top[1]; NEXT;
sub: top--; *top -= top[1]; NEXT;
mul: top--; *top *= top[1]; NEXT;
dup: top++; *top = top[-1]; NEXT;
swap: {
    int64_t t = *top;
    *top = top[-1];
    top[-1] = t;
    NEXT;
}
less: top--; *top = *top < top[1]; NEXT;
jump_if:
    if (*top--) pc += *pc;
    else pc++;
    NEXT;
jump: pc += *pc; NEXT;
load: *++top = memory[*pc++]; NEXT;
store: memory[*pc++] = *top--; NEXT;
divide:
    if (top[0] == 0) goto failed;
    top--;
    *top /= top[1];
    NEXT;
halt:
    *executed = count;
    return *top;
failed:
    *executed = -count;
    return top[-1];
}

/* Offsets of labels in place of pointers. */
static int relative(const unsigned char *codes, int n) {
    static const int offsets[] = {&&zero - &&zero, &&one - &&zero, &&two - &&zero, &&end - &&zero};
    int value = 1, i = 0;
    goto *(&&zero + offsets[i < n ? codes[i] & 3 : 3]);
zero:
    value += 3;
    i++;
    goto *(&&zero + offsets[i < n ? codes[i] & 3 : 3]);
one:
    value *= 2;
    i++;
    goto *(&&zero + offsets[i < n ? codes[i] & 3 : 3]);
two:
    value ^= 0x15;
    i++;
    goto *(&&zero + offsets[i < n ? codes[i] & 3 : 3]);
end:
    return value * 10 + i;
}

int main(void) {
    /* memory[0] = n, memory[1] = result: factorial by a countdown. */
    static const int factorial[] = {PUSH, 1, STORE, 1, LOAD, 0, PUSH, 1, LESS, JUMP_IF, 17, LOAD, 1, LOAD, 0, MUL, STORE, 1,
                                    LOAD, 0, PUSH, 1, SUB, STORE, 0, JUMP, -22, LOAD, 1, HALT};
    int64_t memory[4];
    int executed;
    for (int n = 0; n <= 15; n++) {
        memory[0] = n;
        memory[1] = -9;
        int64_t result = run(factorial, memory, &executed);
        mix((uint64_t)result);
        mix((uint64_t)executed);
        CHECK(memory[0] == 0);
        if (n == 5) CHECK(result == 120 && executed == 2 + 5 * 13 + 4 + 2);
        if (n == 10) CHECK(result == 3628800);
    }
    static const int straight[] = {PUSH, 7, DUP, MUL, PUSH, 5, SWAP, SUB, PUSH, -4, DIVIDE, HALT};
    CHECK(run(straight, memory, &executed) == 11 && executed == 9);
    static const int by_zero[] = {PUSH, 9, PUSH, 0, DIVIDE, HALT};
    CHECK(run(by_zero, memory, &executed) == 9 && executed == -3);
    static const int compare[] = {PUSH, 3, PUSH, 3, LESS, PUSH, 2, PUSH, 3, LESS, PUSH, 10, MUL, ADD, HALT};
    CHECK(run(compare, memory, &executed) == 10);

    static const unsigned char codes[] = {0, 1, 2, 1, 0, 0, 2, 1, 3, 0};
    for (int n = 0; n <= 10; n++) mix((uint64_t)relative(codes, n));
    CHECK(relative(codes, 0) == 10 && relative(codes, 1) == 41 && relative(codes, 2) == 82 && relative(codes, 3) == 293);
    return finish("computed_goto_vm", UINT64_C(0x1d052e2b42d7f8b9));
}
