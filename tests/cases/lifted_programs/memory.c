// Lists, buffers on the stack that are passed on, strings, sorting: calls see the caller's frame.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
struct node { struct node *next; int key; char name[12]; };
static struct node *head;
__attribute__((noinline)) struct node *insert(int key, const char *name) {
    struct node *n = malloc(sizeof *n);
    if (!n) abort();
    n->key = key;
    strncpy(n->name, name, sizeof n->name - 1);
    n->name[11] = 0;
    n->next = head;
    head = n;
    return n;
}
__attribute__((noinline)) struct node *lookup(int key) {
    for (struct node *n = head; n; n = n->next) if (n->key == key) return n;
    return 0;
}
__attribute__((noinline)) void fill(char *buffer, int n) {
    for (int i = 0; i < n; i++) buffer[i] = (char)('a' + i % 26);
    buffer[n] = 0;
}
__attribute__((noinline)) size_t measure(int n) {
    char buffer[64];
    fill(buffer, n);
    return strlen(buffer);
}
__attribute__((noinline)) void shown(int x) {
    char text[24];
    snprintf(text, sizeof text, "<%d>", x);
    puts(text);
}
__attribute__((noinline)) int drop(void) {
    int n = 0;
    while (head) {
        struct node *next = head->next;
        free(head);
        head = next;
        n++;
    }
    return n;
}
__attribute__((optnone, noinline)) int main(void) {
    char name[12];
    for (int i = 0; i < 10; i++) {
        snprintf(name, sizeof name, "node%d", i * i);
        insert(i, name);
    }
    shown((int)measure(37));
    printf("%s %d\n", lookup(7)->name, lookup(99) == 0);
    printf("%d\n", drop());
    return 0;
}
