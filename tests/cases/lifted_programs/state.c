// Static and visible variables, of functions too, tables of functions, zero and not.
#include <stdio.h>
static int counter = 3;
static long zeros[8];
int visible = 5;
const int table[4] = {2, 3, 5, 7};
static const char *names[] = {"none", "one", "two"};
static int twice(int x) { return x * 2; }
static int square(int x) { return x * x; }
static int (*const operations[])(int) = {twice, square};
static int (*chosen)(int) = twice;
__attribute__((noinline)) int bump(int by) {
    static int calls;
    calls++;
    counter += by;
    zeros[calls & 7] += counter;
    return calls;
}
__attribute__((noinline)) const char *name_of(unsigned i) { return i < 3 ? names[i] : "many"; }
__attribute__((noinline)) int apply(int which, int x) {
    chosen = operations[which & 1];
    return chosen(x) + table[x & 3] + visible;
}
__attribute__((optnone, noinline)) int main(void) {
    for (int i = 0; i < 5; i++) printf("%d %s %d\n", bump(i), name_of((unsigned)i), apply(i, i + 1));
    long sum = 0;
    for (int i = 0; i < 8; i++) sum += zeros[i] * (i + 1);
    names[1] = "uno";
    printf("%ld %d %s\n", sum, counter, name_of(1));
    return 0;
}
