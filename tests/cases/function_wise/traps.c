/* What makes taking a C unit apart hard; prints the same whatever the lists. */
#include <stdio.h>
#include <stddef.h>

static int counter;
static const int primes[] = {2, 3, 5, 7, 11, 13};
static const char *const words[] = {"zero", "one", "two", "three"};
int common_number;
__attribute__((weak)) int weak_number = 4;
_Thread_local int per_thread = 9;
static _Thread_local int own_per_thread = 1;

/* A static function with the name and the type of a library function. */
static int toascii(int x) { return x * 3 + 1; }
static size_t strnlen(const char *text, size_t most) { return most + (unsigned char)text[0]; }

__attribute__((used)) static int kept_by_used(int x) { return x - 1; }
/* Assembly refers to a static function and a static variable by their names. */
__attribute__((used)) static int called_from_assembly(int x) { return x * 5; }
__attribute__((used)) static int read_from_assembly = 21;
__asm__(".text\n.globl from_assembly\nfrom_assembly:\n"
#ifdef __x86_64__
        "  jmp called_from_assembly\n"
#else
        "  b called_from_assembly\n"
#endif
        ".pushsection .note.read,\"\",%progbits\n.long 0\n.popsection\n");
extern int from_assembly(int);

__attribute__((constructor)) static void first(void) { counter = 100; }
__attribute__((destructor)) static void last(void) { printf("last %d\n", counter); }

__attribute__((noinline)) static int called_once(int x) { return x * primes[x & 3] + counter; }
static int recursive(int x) { return x < 2 ? 1 : recursive(x - 1) + recursive(x - 2); }
static int even(int x);
static int odd(int x) { return x == 0 ? 0 : even(x - 1); }
static int even(int x) { return x == 0 ? 1 : odd(x - 1); }

int behind_alias(int x) { return x * 7 + recursive(x & 7); }
extern int other_name(int) __attribute__((alias("behind_alias")));
static int own_alias(int) __attribute__((alias("behind_alias")));
__attribute__((weak)) int replaceable(int x) { return x + 5; }
extern int nowhere(int) __attribute__((weak));

static int plus(int x) { return x + 1; }
static int minus(int x) { return x - 1; }
static int (*resolve(void))(int) { return plus; }
int indirect(int) __attribute__((ifunc("resolve")));
static int (*const table[])(int) = {plus, minus, toascii};
int (*changing)(int) = minus;

/* A static table of addresses of blocks. */
static int interpret(const unsigned char *program) {
    static const void *const steps[] = {&&add, &&twice, &&stop};
    int value = 1;
    goto *steps[*program++];
add:
    value += 3;
    goto *steps[*program++];
twice:
    value *= 2;
    goto *steps[*program++];
stop:
    return value;
}

static int unused_argument(int x, int unused) { return x ^ 0x2a; }
static long long wide(long long a, double b, char c) { return a * c + (long long)b; }
static void varying(char *out, const char *format, ...) {
    __builtin_va_list list;
    __builtin_va_start(list, format);
    vsprintf(out, format, list);
    __builtin_va_end(list);
}
struct pair { int first, second; };
static struct pair make(int x) { struct pair p = {x, x * 2}; return p; }
static int sum(struct pair p) { return p.first + p.second + own_per_thread++; }

int choose(int x) {
    switch (x) {
    case 0: return 17;
    case 1: return even(6);
    case 2: return 3;
    case 3: return 99;
    case 4: return 12;
    case 5: return unused_argument(x, 8);
    default: return odd(5);
    }
}

int main(void) {
    char text[64];
    int i;
    for (i = 0; i < 7; i++) printf("%d ", choose(i));
    for (i = 0; i < 3; i++) printf("%d ", table[i](i));
    printf("%s %d %zu\n", words[counter & 3], toascii(300), strnlen("a", 3));
    printf("%d %d %d %d\n", called_once(5), behind_alias(4), other_name(3), own_alias(2));
    printf("%d %d %d\n", replaceable(weak_number), nowhere ? 1 : 0, indirect(41));
    printf("%d %d\n", interpret((const unsigned char[]){0, 1, 1, 0, 2}), changing(3));
    varying(text, "%s-%d", "varying", (int)wide(3, 2.5, 4));
    printf("%s %d %d\n", text, sum(make(5)), sum(make(6)));
    printf("%d %d %d\n", from_assembly(6), kept_by_used(9), read_from_assembly);
    common_number += per_thread;
    printf("%d\n", common_number);
    fprintf(stdout, "done\n");
    return 0;
}
