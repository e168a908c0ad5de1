// Arguments that are passed on, in other widths, and not used by all.
#include <stdio.h>
__attribute__((noinline)) int add(int a, int b) { return a + b; }
__attribute__((noinline)) int forward(int a, int b) { return add(a, b); }
__attribute__((noinline)) long wide(long a, int unused) { (void)unused; return a * 3; }
__attribute__((noinline)) unsigned char low(unsigned char x) { return x + 1; }
__attribute__((noinline)) int sign(signed char x) { return x < 0 ? -1 : x > 0; }
__attribute__((noinline)) _Bool odd(unsigned x) { return x & 1; }
int chain(int x) { return low((unsigned char)(x * 7)) + sign((signed char)x) + odd((unsigned)x); }
__attribute__((optnone, noinline)) int main(void) {
    int t = 0;
    for (int i = -40; i < 300; i += 7) t = t * 31 + chain(i);
    printf("%d %d %ld\n", t, forward(3, 4), wide(1L << 33, 1));
    return 0;
}
