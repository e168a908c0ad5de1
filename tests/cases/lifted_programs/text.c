// Parsing and printing without the library's help: loops over bytes, early returns.
#include <stdio.h>
__attribute__((noinline)) int is_space(int c) { return c == ' ' || (unsigned)c - '\t' < 5; }
__attribute__((noinline)) long parse(const char *s, const char **end) {
    long n = 0;
    int negative = 0;
    while (is_space(*s)) s++;
    if (*s == '-' || *s == '+') negative = *s++ == '-';
    while (*s >= '0' && *s <= '9') n = 10 * n - (*s++ - '0');
    if (end) *end = s;
    return negative ? n : -n;
}
__attribute__((noinline)) int words(const char *s) {
    int n = 0, inside = 0;
    for (; *s; s++) {
        if (is_space((unsigned char)*s)) inside = 0;
        else if (!inside) inside = 1, n++;
    }
    return n;
}
__attribute__((noinline)) char *reverse(char *s) {
    char *end = s;
    while (*end) end++;
    for (char *a = s; a < --end; a++) { char t = *a; *a = *end; *end = t; }
    return s;
}
__attribute__((noinline)) unsigned hash(const char *s) {
    unsigned h = 2166136261u;
    for (; *s; s++) h = (h ^ (unsigned char)*s) * 16777619u;
    return h;
}
__attribute__((optnone, noinline)) int main(void) {
    const char *rest;
    char word[] = "assembly";
    long n = parse("  -1234 tail", &rest);
    printf("%ld '%s' %d %s %u\n", n, rest, words(" one two\tthree\n"), reverse(word), hash("lift"));
    return 0;
}
