// Wrappers of functions that return something: a lift may claim that they return nothing.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
__attribute__((noinline)) size_t slen(const char *s) { return strlen(s); }
size_t two(const char *s) { return slen(s) * 2; }
__attribute__((noinline)) char *find(const char *s, int c) { return strchr(s, c); }
__attribute__((noinline)) char *after(const char *s, int c) { return find(s, c); }
__attribute__((noinline)) long number(const char *s) { return strtol(s, 0, 10); }
__attribute__((noinline)) static int compare(const void *a, const void *b) {
    return memcmp(a, b, sizeof(int));
}
__attribute__((optnone, noinline)) int main(void) {
    int values[5] = {5, 3, 4, 1, 2};
    qsort(values, 5, sizeof(int), compare);
    printf("%zu %s %ld %d %d\n", two("hello"), after("key=value", '='), number("42") + 1, values[0],
           values[4]);
    return 0;
}
