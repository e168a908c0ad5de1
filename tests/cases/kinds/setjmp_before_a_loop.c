/* prints 3 last: a retry loop around setjmp must not move into a function of its own */
#include <setjmp.h>
#include <stdio.h>
static jmp_buf top; static int errors;
static void step(int n) { char line[200]; snprintf(line, sizeof line, "step %d after %d errors", n, errors); puts(line); if (errors < n) longjmp(top, 1); }
int main(void) { while (setjmp(top) != 0) errors++; for (int n = 1; n <= 3; n++) step(n); printf("%d\n", errors); return 0; }
