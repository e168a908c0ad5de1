/* Exercises: threads: cancellation with cleanup handlers, pthread_exit from a depth, thread-specific data with destructors, once, barriers, thread_local models. */
#define _GNU_SOURCE
#include <inttypes.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
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

static pthread_key_t key;
static _Atomic int destroyed, cleaned, once_count;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Thread_local int plain_local = 4;
static _Thread_local int exact_local __attribute__((tls_model("initial-exec"))) = 6;
static _Thread_local struct { char text[12]; long n; } record = {"start", 3};

static void destroy(void *p) { destroyed += *(int *)p; free(p); }
static void clean(void *p) { cleaned = cleaned * 10 + *(int *)p; }
static void run_once(void) { once_count++; }

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static int waiting;

static void *waits_for_ever(void *argument) {
    int first = 1, second = 2;
    (void)argument;
    pthread_cleanup_push(clean, &first);
    pthread_cleanup_push(clean, &second);
    pthread_mutex_lock(&mutex);
    waiting = 1;
    pthread_cond_signal(&condition);
    pthread_mutex_unlock(&mutex);
    for (;;) {
        usleep(1000);
        pthread_testcancel();
    }
    pthread_cleanup_pop(0);
    pthread_cleanup_pop(0);
    return NULL;
}
__attribute__((noinline)) static void deep(int n) {
    int here = n;
    pthread_cleanup_push(clean, &here);
    if (n == 5) pthread_exit((void *)(intptr_t)55);
    deep(n + 1);
    pthread_cleanup_pop(1);
}
static void *exits_deep(void *argument) {
    int *mine = malloc(sizeof *mine);
    *mine = *(int *)argument;
    pthread_setspecific(key, mine);
    pthread_once(&once, run_once);
    deep(3);
    return NULL;
}
static void *uses_locals(void *argument) {
    int n = *(int *)argument;
    for (int i = 0; i < n; i++) {
        plain_local += i;
        exact_local *= 2;
        record.n += plain_local;
        record.text[i % 5]++;
    }
    long sum = plain_local * 1000L + exact_local + record.n;
    for (int i = 0; i < 5; i++) sum = sum * 3 + record.text[i];
    pthread_once(&once, run_once);
    return (void *)(intptr_t)sum;
}
static void *pops_and_runs(void *argument) {
    int value = *(int *)argument, sum = 0;
    for (int i = 0; i < 4; i++) {
        pthread_cleanup_push(clean, &value);
        sum += value;
        value++;
        pthread_cleanup_pop(i & 1);
    }
    return (void *)(intptr_t)sum;
}

int main(void) {
    pthread_key_create(&key, destroy);
    pthread_t thread;
    void *result;
    pthread_create(&thread, NULL, waits_for_ever, NULL);
    pthread_mutex_lock(&mutex);
    while (!waiting) pthread_cond_wait(&condition, &mutex);
    pthread_mutex_unlock(&mutex);
    pthread_cancel(thread);
    pthread_join(thread, &result);
    CHECK(result == PTHREAD_CANCELED);
    CHECK(cleaned == 21);
    cleaned = 0;
    int seven = 7;
    pthread_create(&thread, NULL, exits_deep, &seven);
    pthread_join(thread, &result);
    CHECK((intptr_t)result == 55);
    CHECK(cleaned == 543);
    CHECK(destroyed == 7);
    for (int n = 0; n < 4; n++) {
        pthread_create(&thread, NULL, uses_locals, &n);
        pthread_join(thread, &result);
        mix((uint64_t)(intptr_t)result);
    }
    CHECK(plain_local == 4 && exact_local == 6 && record.n == 3);
    CHECK(once_count == 1);
    cleaned = 0;
    int two = 2;
    pthread_create(&thread, NULL, pops_and_runs, &two);
    pthread_join(thread, &result);
    CHECK((intptr_t)result == 2 + 3 + 4 + 5);
    CHECK(cleaned == 46);
    return finish("thread_cancellation", UINT64_C(0xbc649fa523ec4fe8));
}
