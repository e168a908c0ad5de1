// Sums that wrap, shifts by more than the width, odd addresses: no claim may make them undefined.
#include <stdio.h>
#include <string.h>
__attribute__((noinline)) int wraps(int a, int b) { return (int)((unsigned)a + (unsigned)b) > a; }
__attribute__((noinline)) unsigned turn(unsigned x, unsigned by) {
    return x << (by & 31) | x >> (-by & 31);
}
__attribute__((noinline)) unsigned long odd_word(const char *p) {
    unsigned long x;
    memcpy(&x, p, 8);
    return x;
}
__attribute__((noinline)) int is_ring(int head, int tail) {
    int distance = (int)((unsigned)head - (unsigned)tail);
    return distance < 0 ? -1 : distance;
}
__attribute__((noinline)) void both(int *a, float *b) {
    *a = 1;
    *b = 2.0f;
}
__attribute__((noinline)) int read_after(int *a, int *b) {
    *a = 1;
    *b = 2;
    return *a;
}
__attribute__((optnone, noinline)) int main(void) {
    char bytes[32];
    for (int i = 0; i < 32; i++) bytes[i] = (char)(i * 37);
    unsigned long sum = 0;
    for (int i = 0; i < 24; i++) sum = sum * 5 + odd_word(bytes + i);
    union { int i; float f; } u;
    both(&u.i, &u.f);
    int same = 0;
    printf("%d %u %u %lu %d %g %d\n", wraps(0x7fffffff, 1), turn(0x80000001u, 4), turn(5, 32), sum,
           is_ring(-0x7fffffff - 1, 1), (double)u.f, read_after(&same, &same));
    return 0;
}
