/* Exercises: pthreads, mutex and condition variable, C11 atomics (all orders, compare-exchange, fetch operations), _Thread_local. */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

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


enum { THREADS = 3, ROUNDS = 300 };
static atomic_int relaxed_sum;
static atomic_uint_least64_t product_bits;
static _Atomic uint8_t small_counter;
static atomic_flag spin = ATOMIC_FLAG_INIT;
static int under_spin, under_mutex;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ready = PTHREAD_COND_INITIALIZER;
static int turn;
static _Thread_local int mine = 100;
static int mine_at_end[THREADS];

static int bump(int by) { return mine += by; }

static void *work(void *argument) {
    int id = *(int *)argument;
    for (int i = 0; i < ROUNDS; i++) {
        atomic_fetch_add_explicit(&relaxed_sum, id + 1, memory_order_relaxed);
        atomic_fetch_xor(&product_bits, UINT64_C(1) << ((i * 7 + id) & 63));
        small_counter += 3;
        while (atomic_flag_test_and_set_explicit(&spin, memory_order_acquire)) sched_yield();
        under_spin += i;
        atomic_flag_clear_explicit(&spin, memory_order_release);
        bump(id);
    }
    pthread_mutex_lock(&mutex);
    while (turn != id) pthread_cond_wait(&ready, &mutex);
    under_mutex = under_mutex * 10 + id + 1;
    turn++;
    pthread_cond_broadcast(&ready);
    pthread_mutex_unlock(&mutex);
    mine_at_end[id] = mine;
    return argument;
}

static int raise_to(atomic_int *target, int value) {
    int seen = atomic_load(target), tries = 0;
    while (seen < value) {
        tries++;
        if (atomic_compare_exchange_strong(target, &seen, value)) break;
    }
    return tries;
}

int main(void) {
    pthread_t threads[THREADS];
    int ids[THREADS];
    uint64_t expected_bits = 0;
    for (int t = 0; t < THREADS; t++) {
        ids[t] = t;
        for (int i = 0; i < ROUNDS; i++) expected_bits ^= UINT64_C(1) << ((i * 7 + t) & 63);
        CHECK(pthread_create(&threads[t], NULL, work, &ids[t]) == 0);
    }
    for (int t = 0; t < THREADS; t++) {
        void *result;
        CHECK(pthread_join(threads[t], &result) == 0 && result == &ids[t]);
    }
    CHECK(relaxed_sum == ROUNDS * 6 && product_bits == expected_bits);
    CHECK(small_counter == (uint8_t)(3 * THREADS * ROUNDS));
    CHECK(under_spin == THREADS * (ROUNDS * (ROUNDS - 1) / 2) && under_mutex == 123 && mine == 100);
    for (int t = 0; t < THREADS; t++) CHECK(mine_at_end[t] == 100 + t * ROUNDS);

    atomic_int a = 5;
    CHECK(atomic_fetch_add(&a, 3) == 5 && atomic_fetch_sub(&a, 10) == 8 && a == -2);
    CHECK(atomic_exchange_explicit(&a, 12, memory_order_acq_rel) == -2 && atomic_fetch_and(&a, 10) == 12);
    CHECK(atomic_fetch_or(&a, 5) == 8 && atomic_fetch_xor(&a, 15) == 13 && atomic_load_explicit(&a, memory_order_acquire) == 2);
    int expected = 3;
    CHECK(!atomic_compare_exchange_strong(&a, &expected, 9) && expected == 2);
    CHECK(atomic_compare_exchange_strong_explicit(&a, &expected, 9, memory_order_acq_rel, memory_order_relaxed) && a == 9);
    CHECK(raise_to(&a, 4) == 0 && raise_to(&a, 40) == 1 && a == 40);
    atomic_store_explicit(&a, -1, memory_order_release);
    atomic_thread_fence(memory_order_seq_cst);
    CHECK(a++ == -1 && ++a == 1 && (a -= 7) == -6 && (a *= 3) == -18);
    int plain = 7;
    CHECK(__atomic_fetch_nand(&plain, 5, __ATOMIC_SEQ_CST) == 7 && plain == ~5);
    CHECK(__sync_val_compare_and_swap(&plain, ~5, 11) == ~5 && plain == 11 && __atomic_add_fetch(&plain, 4, __ATOMIC_RELAXED) == 15);
    _Atomic double real = 1.5;
    real += 2;
    CHECK(real == 3.5);
    atomic_bool flag = false;
    CHECK(!atomic_exchange(&flag, true) && flag);
    int16_t narrow = -5;
    CHECK(__atomic_fetch_min(&narrow, -9, __ATOMIC_SEQ_CST) == -5 && narrow == -9 && __atomic_fetch_max(&narrow, 4, __ATOMIC_SEQ_CST) == -9 && narrow == 4);
    mix((uint64_t)relaxed_sum + product_bits + (uint64_t)under_spin + (uint64_t)a);
    return finish("atomics_threads", UINT64_C(0x312d5817c321d4e6));
}
