/* prints 10: every round of the loop asks for the caller of the function that the loop stands in */
#include <stdio.h>
__attribute__((noinline)) static int ask(int n) {
    void *caller = __builtin_return_address(0);
    int same = 0;
    for (int i = 0; i < n; i++)
        if (__builtin_return_address(0) == caller) same += i;
    return same;
}
int main(void) { int same = ask(5); printf("%d\n", same); return same == 10 ? 0 : 1; }
