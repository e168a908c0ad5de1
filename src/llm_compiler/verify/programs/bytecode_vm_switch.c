/* Exercises: a stack machine with calls, locals and jumps in one big switch, with a small assembler that patches labels. */
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


enum op { CONST, LOCAL, SET, PLUS, MINUS, TIMES, OVER, MODULO, LESS, EQUAL, NOT, BRANCH_IF, GOTO, CALL, RETURN, PRINT, STOP };
struct vm {
    int stack[128], frames[32][2];
    int sp, fp, base, steps, fault;
};

static int execute(struct vm *m, const short *code, int size) {
    int pc = 0;
    memset(m, 0, sizeof *m);
    while (pc >= 0 && pc < size) {
        if (++m->steps > 5000) return m->fault = 1, -1;
        int a, b;
        switch ((enum op)code[pc++]) {
        case CONST: m->stack[m->sp++] = code[pc++]; continue;
        case LOCAL: m->stack[m->sp] = m->stack[m->base + code[pc++]]; m->sp++; continue;
        case SET: m->stack[m->base + code[pc++]] = m->stack[--m->sp]; continue;
        case BRANCH_IF: pc = m->stack[--m->sp] ? code[pc] : pc + 1; continue;
        case GOTO: pc = code[pc]; continue;
        case NOT: m->stack[m->sp - 1] = !m->stack[m->sp - 1]; continue;
        case CALL: /* target, number of arguments */
            if (m->fp == 32) return m->fault = 2, -1;
            m->frames[m->fp][0] = pc + 2;
            m->frames[m->fp++][1] = m->base;
            m->base = m->sp - code[pc + 1];
            pc = code[pc];
            continue;
        case RETURN:
            a = m->stack[m->sp - 1];
            m->sp = m->base;
            m->stack[m->sp++] = a;
            pc = m->frames[--m->fp][0];
            m->base = m->frames[m->fp][1];
            continue;
        case PRINT: mix((uint64_t)m->stack[--m->sp]); continue;
        case STOP: return m->stack[m->sp - 1];
        case PLUS: case MINUS: case TIMES: case OVER: case MODULO: case LESS: case EQUAL: break;
        default: return m->fault = 3, -1;
        }
        b = m->stack[--m->sp];
        a = m->stack[m->sp - 1];
        switch (code[pc - 1]) {
        case PLUS: a += b; break;
        case MINUS: a -= b; break;
        case TIMES: a *= b; break;
        case OVER:
            if (b == 0) return m->fault = 4, a;
            a /= b;
            break;
        case MODULO: a = b ? a % b : a; break;
        case LESS: a = a < b; break;
        case EQUAL: a = a == b; break;
        }
        m->stack[m->sp - 1] = a;
    }
    return m->fault = 5, -1;
}

int main(void) {
    /* 7: fib(n) = n < 2 ? n : fib(n - 1) + fib(n - 2) */
    short fib[] = {CONST, 0, CALL, 6, 1, STOP, LOCAL, 0, CONST, 2, LESS, BRANCH_IF, 28, LOCAL, 0, CONST, 1, MINUS, CALL, 6, 1,
                   LOCAL, 0, CONST, 2, MINUS, GOTO, 31, LOCAL, 0, RETURN, CALL, 6, 1, PLUS, RETURN};
    static struct vm m;
    static const int expected[] = {0, 1, 1, 2, 3, 5, 8, 13, 21, 34};
    for (int n = 0; n < 10; n++) {
        fib[1] = (short)n;
        CHECK(execute(&m, fib, 36) == expected[n] && m.fault == 0 && m.fp == 0 && m.sp == 1);
        mix((uint64_t)m.steps);
    }
    /* gcd of two locals by remainders, printing each step */
    static const short gcd[] = {CONST, 1071, CONST, 462, LOCAL, 1, NOT, BRANCH_IF, 24, LOCAL, 1, LOCAL, 0, LOCAL, 1, MODULO, LOCAL, 1, PRINT,
                                SET, 1, SET, 0, GOTO, LOCAL, 0, STOP};
    short fixed[28];
    memcpy(fixed, gcd, 24 * sizeof *gcd);
    fixed[24] = 4;
    memcpy(fixed + 25, gcd + 24, 3 * sizeof *gcd);
    fixed[8] = 25;
    CHECK(execute(&m, fixed, 28) == 21 && m.fault == 0);
    static const short divide[] = {CONST, -17, CONST, 5, OVER, CONST, -17, CONST, 5, MODULO, CONST, 10, TIMES, PLUS, STOP};
    CHECK(execute(&m, divide, 15) == -23);
    static const short zero[] = {CONST, 9, CONST, 0, OVER, STOP};
    CHECK(execute(&m, zero, 6) == 9 && m.fault == 4);
    static const short forever[] = {GOTO, 0};
    CHECK(execute(&m, forever, 2) == -1 && m.fault == 1 && m.steps == 5001);
    static const short recursion[] = {CALL, 0, 0};
    CHECK(execute(&m, recursion, 3) == -1 && m.fault == 2);
    static const short bad[] = {CONST, 4, 99};
    CHECK(execute(&m, bad, 3) == -1 && m.fault == 3);
    static const short falls[] = {CONST, 4, CONST, 4, EQUAL, NOT};
    CHECK(execute(&m, falls, 6) == -1 && m.fault == 5 && m.stack[0] == 0);
    return finish("bytecode_vm_switch", UINT64_C(0x7c70ce2a4cf1c23b));
}
