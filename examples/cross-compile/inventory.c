/* A program of the size of one's lost source: records, a table of strings, sorting through a
   function pointer, a state machine, floating-point numbers, a static variable. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { TOOL, PART, BOOK };
struct item { enum kind kind; int count; double price; const char *name; };

static const char *const kind_names[] = {"tool", "part", "book"};
static struct item items[] = {
    {TOOL, 3, 12.5, "hammer"}, {PART, 250, 0.07, "screw"}, {BOOK, 2, 31.99, "knuth"},
    {PART, 90, 0.4, "hinge"},  {TOOL, 1, 89.0, "drill"},   {BOOK, 5, 9.95, "atlas"},
};
static unsigned lookups;

unsigned checksum(const char *text) {
    unsigned sum = 5381;
    while (*text) sum = sum * 33 ^ (unsigned char)*text++;
    return sum;
}

bool is_cheap(const struct item *item, signed char limit) { return item->price < limit; }

double value(const struct item *item) {
    double discount = item->count >= 100 ? 0.15 : 0.0;
    return item->price * item->count - item->price * item->count * discount;
}

int by_value(const void *left, const void *right) {
    double a = value(left), b = value(right);
    return (a < b) - (a > b);
}

const struct item *find(const char *name) {
    lookups++;
    for (size_t i = 0; i < sizeof items / sizeof *items; i++)
        if (strcmp(items[i].name, name) == 0) return &items[i];
    return NULL;
}

/* Numbers in a line such as "a12,b-7;30": how many, and their sum. */
int scan(const char *line, long *sum) {
    enum { OUTSIDE, SIGN, DIGITS } state = OUTSIDE;
    long number = 0, sign = 1;
    int found = 0;
    for (;; line++) {
        bool digit = *line >= '0' && *line <= '9';
        switch (state) {
        case OUTSIDE: sign = 1; number = 0; state = *line == '-' ? SIGN : digit ? DIGITS : OUTSIDE; break;
        case SIGN: sign = -1; state = digit ? DIGITS : OUTSIDE; break;
        case DIGITS: state = digit ? DIGITS : OUTSIDE;
        }
        if (state == DIGITS) number = number * 10 + (*line - '0');
        else if (number) { *sum += sign * number; found++; number = 0; }
        if (!*line) return found;
    }
}

int main(void) {
    long sum = 0;
    int found = scan("a12,b-7;30", &sum);
    printf("%d numbers, sum %ld\n", found, sum);
    qsort(items, sizeof items / sizeof *items, sizeof *items, by_value);
    for (size_t i = 0; i < sizeof items / sizeof *items; i++)
        printf("%-8s %s %9.3f%s\n", items[i].name, kind_names[items[i].kind], value(&items[i]),
               is_cheap(&items[i], 10) ? " cheap" : "");
    const struct item *drill = find("drill");
    printf("%s %08x %u\n", drill ? drill->name : "none", checksum("drill"), lookups);
    return find("anvil") != NULL;
}
