// Aliases, weak and hidden functions and variables, constructors, thread-local variables.
#include <stdio.h>
static int order[8], filled;
static _Thread_local int mine = 4;
int shared_name = 6;
extern int other_name __attribute__((alias("shared_name")));
int base(int x) { return x + shared_name; }
int also(int x) __attribute__((alias("base")));
__attribute__((weak)) int replaceable(int x) { return x - 1; }
__attribute__((visibility("hidden"))) int secret(int x) { return x ^ 0x55; }
__attribute__((constructor(200))) static void second(void) { order[filled++] = 2; }
__attribute__((constructor(150))) static void first(void) { order[filled++] = 1; }
__attribute__((constructor)) static void third(void) { order[filled++] = 3; }
__attribute__((destructor)) static void last(void) { printf("last %d\n", filled); }
__attribute__((noinline)) int local(int x) { return mine += x; }
__attribute__((optnone, noinline)) int main(void) {
    shared_name++;
    printf("%d %d %d %d %d %d\n", base(1), base(2), replaceable(9), secret(3), local(5), local(1));
    printf("%d%d%d\n", order[0], order[1], order[2]);
    return 0;
}
