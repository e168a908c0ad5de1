/* Exercises: the string functions that compilers know: strlen, strcmp, strchr, strstr, strcat, sprintf, strtol, atoi, puts. */
#include <ctype.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
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


static int sign(int x) { return (x > 0) - (x < 0); }
static const char *volatile hello = "hello, world";
static const char *const names[] = {"alpha", "beta", "", "gamma ray", "beta"};

static size_t length_of(int which) { return strlen(which & 1 ? "odd" : "even number"); }
static int is_keyword(const char *word) {
    return strcmp(word, "if") == 0 ? 1 : strcmp(word, "while") == 0 ? 2 : strncmp(word, "for", 3) == 0 ? 3 : 0;
}
static int count_char(const char *s, int c) {
    int n = 0;
    while ((s = strchr(s, c)) != NULL) n++, s++;
    return n;
}

int main(void) {
    const char *s = hello;
    CHECK(strlen(s) == 12 && strlen("") == 0 && strlen("a\0b") == 1 && strlen(s + 7) == 5);
    for (volatile int i = 0; i < 4; i++) mix(length_of(i) + (s[i] == 'l'));
    CHECK(length_of(1) == 3 && length_of(2) == 11);
    for (int i = 0; i < 5; i++) {
        mix(strlen(names[i]));
        for (int j = 0; j < 5; j++) {
            mix((uint64_t)sign(strcmp(names[i], names[j])));
            mix((uint64_t)sign(strncmp(names[i], names[j], 2)));
        }
    }
    CHECK(sign(strcmp("abc", "abd")) == -1 && sign(strcmp("abc", "ab")) == 1 && strcmp(s, "hello, world") == 0);
    CHECK(sign(strcmp("a", "\xe9")) == -1 && strncmp("abcX", "abcY", 3) == 0 && sign(strncmp("abcX", "abcY", 4)) == -1);
    CHECK(is_keyword("if") == 1 && is_keyword("while") == 2 && is_keyword("forty") == 3 && is_keyword("fo") == 0 && is_keyword("ifx") == 0);
    CHECK(strchr(s, 'o') == s + 4 && strrchr(s, 'o') == s + 8 && strchr(s, 'z') == NULL && strchr(s, '\0') == s + 12);
    CHECK(count_char(s, 'l') == 3 && count_char(s, 'q') == 0);
    CHECK(strstr(s, "wor") == s + 7 && strstr(s, "") == s && strstr(s, "worm") == NULL);
    CHECK(strspn(s, "ehl") == 4 && strcspn(s, ", ") == 5 && strpbrk(s, "dw") == s + 7);

    char buffer[64], other[64];
    CHECK(strcpy(buffer, "one") == buffer);
    strcat(buffer, "+two");
    strncat(buffer, "+three", 3);
    CHECK(strcmp(buffer, "one+two+th") == 0);
    memset(other, '#', sizeof other);
    strncpy(other, "ab", 5);
    CHECK(other[1] == 'b' && other[2] == 0 && other[4] == 0 && other[5] == '#');
    strncpy(other, "abcdef", 3);
    CHECK(other[2] == 'c' && other[3] == 0);

    CHECK(sprintf(buffer, "%s", names[3]) == 9 && strcmp(buffer, "gamma ray") == 0);
    CHECK(sprintf(buffer, "plain") == 5 && sprintf(other, "%c", 'x') == 1 && other[0] == 'x' && other[1] == 0);
    CHECK(sprintf(buffer, "%d %5d %-5d| %05d %i", -1, 42, 42, 42, 2147483647) == 32);
    for (const char *p = buffer; *p; p++) mix((uint64_t)*p);
    CHECK(snprintf(buffer, 4, "%d", 123456) == 6 && strcmp(buffer, "123") == 0);

    char *end;
    CHECK(strtol("  -77rest", &end, 10) == -77 && strcmp(end, "rest") == 0);
    CHECK(strtol("0x1f", NULL, 0) == 31 && strtol("777", NULL, 8) == 511 && strtoul("zz", NULL, 36) == 1295);
    CHECK(atoi("123abc") == 123 && atoi("-0") == 0 && atol("99999999999") == 99999999999 && strtod("2.5e3x", &end) == 2500 && *end == 'x');
    CHECK(abs(-5) == 5 && labs(-5000000000) == 5000000000 && abs(hello[0]) == 'h');

    char tokens[] = "a,bb,,ccc";
    unsigned found = 0;
    for (char *t = strtok(tokens, ","); t; t = strtok(NULL, ",")) found = found * 10 + (unsigned)strlen(t);
    CHECK(found == 123);
    for (int c = 0; c < 128; c++)
        mix((uint64_t)(!!isdigit(c) + 2 * !!isalpha(c) + 4 * !!isspace(c) + 8 * !!isascii(c)) * 256 + (uint64_t)(toupper(c) ^ tolower(c)));
    printf("%s\n", s);
    printf("%c%s%c", 'x', "y", '\n');
    puts("put");
    fputs("", stdout);
    fputs("fput\n", stdout);
    fwrite("written\n", 1, 8, stdout);
    putchar('c');
    printf("\n");
    return finish("string_builtins", UINT64_C(0x5e4a67e18d7a5730));
}
