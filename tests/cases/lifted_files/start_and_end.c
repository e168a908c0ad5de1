#include <stdio.h>
#include <stdlib.h>
static int order[8], count;
__attribute__((constructor(200))) static void late(void) { order[count++] = 2; puts("late"); }
__attribute__((constructor(150))) static void early(void) { order[count++] = 1; puts("early"); }
__attribute__((constructor)) static void plain(void) { order[count++] = 3; puts("plain"); }
__attribute__((destructor)) static void leave(void) { puts("leave"); }
static void at_exit(void) { puts("at exit"); }
_Thread_local int per_thread = 7;
static _Thread_local int own_per_thread;
__attribute__((weak)) int may_be_replaced(int x) { return x + 1; }
extern int absent(int) __attribute__((weak));
int real_name(int x) { return x * 3 + count; }
int other_name(int x) __attribute__((alias("real_name")));
int weak_name(int x) __attribute__((weak, alias("real_name")));
static int fast(int x) { return x << 2; }
static int (*choose(void))(int) { return fast; }
int chosen(int x) __attribute__((ifunc("choose")));
int tentative[4];
const char *const names[] = {"zero", "one", "two"};
static int (*const table[])(int) = {real_name, fast, may_be_replaced};
__attribute__((visibility("hidden"))) int hidden_value = 40;
static _Thread_local long each_thread[4];
__attribute__((noinline)) static long *element(int i) { return &each_thread[i]; }
__attribute__((noinline)) static int *of_thread(void) { return &per_thread; }
int counter(void) { static int calls = 10; return calls++ + ++own_per_thread; }
int main(int argc, char **argv) {
    atexit(at_exit);
    printf("%d %d %d %d\n", order[0], order[1], order[2], count);
    per_thread += argc;
    *element(argc) = 5; ++*of_thread();
    printf("%ld %d\n", *element(argc) + *element(argc + 1), *of_thread());
    printf("%d %d\n", per_thread, counter() + counter());
    printf("%d %d %d %d\n", may_be_replaced(3), real_name(2), other_name(3), weak_name(4));
    printf("%d %d\n", chosen(5), absent ? absent(1) : -1);
    for (int i = 0; i < 3; i++) { tentative[i] = table[i](i + 1); printf("%s %d\n", names[i], tentative[i]); }
    printf("%d\n", hidden_value + tentative[3]);
    return 0;
}
