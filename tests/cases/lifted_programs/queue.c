// A ring buffer, an interrupt handler's flags, a matrix: volatile, indices that wrap, nested loops.
#include <stdint.h>
#include <stdio.h>
#define SIZE 16
static volatile uint8_t ring[SIZE], head, tail;
static volatile unsigned lost;
__attribute__((noinline)) int push(uint8_t byte) {
    uint8_t next = (uint8_t)((head + 1) % SIZE);
    if (next == tail) { lost++; return 0; }
    ring[head] = byte;
    head = next;
    return 1;
}
__attribute__((noinline)) int pop(void) {
    if (head == tail) return -1;
    int byte = ring[tail];
    tail = (uint8_t)((tail + 1) % SIZE);
    return byte;
}
__attribute__((noinline)) void multiply(int n, const float *a, const float *b, float *c) {
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            float s = 0;
            for (int k = 0; k < n; k++) s += a[i * n + k] * b[k * n + j];
            c[i * n + j] = s;
        }
}
__attribute__((optnone, noinline)) int main(void) {
    int t = 0, b;
    for (int i = 0; i < 40; i++) {
        push((uint8_t)(i * 13));
        if (i % 3 == 0 && (b = pop()) >= 0) t = t * 3 + b;
    }
    while ((b = pop()) >= 0) t += b;
    float a[9], c[9];
    for (int i = 0; i < 9; i++) a[i] = (float)(i - 4) * 0.5f;
    multiply(3, a, a, c);
    printf("%d %u %g %g\n", t, lost, (double)c[0], (double)c[8]);
    return 0;
}
