/* flags: -fexceptions */
/* Exercises: the cleanup attribute under forced unwinding: threads that end inside calls, in loops and switches, and are cancelled; order and count of cleanups. */
#define _GNU_SOURCE
#include <inttypes.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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

static char order[64];
static int length;
static void note(char c) { if (length < 63) order[length++] = c; order[length] = 0; }
static void clean(const char *c) { note(*c); }
#define CLEAN __attribute__((cleanup(clean)))

__attribute__((noinline)) static void end_here(int n) {
    CLEAN char last = 'z';
    if (n == 0) pthread_exit((void *)(intptr_t)7);
    last = (char)('0' + n);
}
__attribute__((noinline)) static int loops(int n, int end_at) {
    CLEAN char outer = 'o';
    int sum = 0;
    for (int i = 0; i < n; i++) {
        CLEAN char inner = (char)('a' + i);
        if (i == 2) continue;
        end_here(i == end_at ? 0 : i + 1);
        sum += inner;
        if (i == 5) break;
    }
    return sum;
}
__attribute__((noinline)) static int branches(int which, int deep) {
    CLEAN char first = 'f';
    switch (which) {
    case 0: { CLEAN char x = 'x'; return deep; }
    case 1: { CLEAN char y = 'y'; end_here(deep); return 2; }
    default: { CLEAN char w = 'w'; return branches(which - 1, deep) + 10; }
    }
}
static void *run_loops(void *argument) { CLEAN char t = 'T'; return (void *)(intptr_t)loops(*(int *)argument, 3); }
static void *run_branches(void *argument) { CLEAN char t = 'B'; return (void *)(intptr_t)branches(*(int *)argument, 0); }
static volatile int ready;
static void *waits(void *argument) {
    CLEAN char t = 'C';
    (void)argument;
    for (int i = 0;; i++) {
        CLEAN char u = 'u';
        if (i < 3) continue;
        ready = 1;
        usleep(500);
        pthread_testcancel();
        u = 'v';
    }
    return NULL;
}

static intptr_t thread_of(void *(*run)(void *), int n) {
    pthread_t thread;
    void *result = NULL;
    length = 0;
    order[0] = 0;
    if (pthread_create(&thread, NULL, run, &n) != 0) return -1;
    pthread_join(thread, &result);
    for (int i = 0; i < length; i++) mix((uint64_t)order[i]);
    puts(order);
    return (intptr_t)result;
}

int main(void) {
    CHECK(thread_of(run_loops, 3) == 'a' + 'b');
    CHECK(strcmp(order, "1a2bcoT") == 0);
    CHECK(thread_of(run_loops, 9) == 7);
    CHECK(strcmp(order, "1a2bczdoT") == 0);
    CHECK(thread_of(run_branches, 0) == 0);
    CHECK(strcmp(order, "xfB") == 0);
    CHECK(thread_of(run_branches, 3) == 7);
    CHECK(strcmp(order, "zyfwfwfB") == 0);
    length = 0;
    pthread_t thread;
    void *result;
    pthread_create(&thread, NULL, waits, NULL);
    while (!ready) usleep(200);
    pthread_cancel(thread);
    pthread_join(thread, &result);
    CHECK(result == PTHREAD_CANCELED);
    CHECK(length > 4 && order[0] == 'u' && order[1] == 'u' && order[2] == 'u' && (length >= 63 || order[length - 1] == 'C'));
    return finish("forced_unwinding", UINT64_C(0x85b1237d2e483e05));
}
