// Functions that do not return, recursion, switches, varargs, a loop until a flag is set.
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
static jmp_buf top;
__attribute__((noinline)) void fail(int code) {
    if (code > 2) longjmp(top, code);
    printf("no failure %d\n", code);
}
__attribute__((noinline)) int total(int n, ...) {
    va_list list;
    int t = 0;
    va_start(list, n);
    while (n--) t += va_arg(list, int);
    va_end(list);
    return t;
}
__attribute__((noinline)) unsigned long fib(unsigned n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
__attribute__((noinline)) const char *kind(int x) {
    switch (x) {
    case 0: return "zero";
    case 1: return "one";
    case 2: return "two";
    case 3: return "three";
    case 5: return "five";
    case 8: return "eight";
    }
    return "other";
}
__attribute__((noinline)) int wait_for(volatile int *flag) {
    int n = 0;
    while (!*flag) if (++n == 10) *flag = 1;
    return n;
}
__attribute__((optnone, noinline)) int main(void) {
    volatile int flag = 0;
    int code = setjmp(top);
    if (!code) for (int i = 0; i < 9; i++) fail(i);
    printf("%d %d %lu %s %s %d\n", code, total(4, 1, 2, 3, 4), fib(15), kind(5), kind(4),
           wait_for(&flag));
    return 0;
}
