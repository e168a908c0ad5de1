/* Exercises: getcontext, makecontext, swapcontext: coroutines by hand, getcontext as a loop, locals that live across switches. */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <ucontext.h>

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

static ucontext_t main_context, worker_context[3];
static char stacks[3][64 * 1024];
static int out, finished;

static void produce(int id, int count) {
    int local[4] = {id, id * 2, id * 3, id * 4};
    for (int i = 0; i < count; i++) {
        local[i % 4] += i;
        out = local[i % 4] * 10 + id;
        swapcontext(&worker_context[id], &main_context);
    }
    finished |= 1 << id;
}

static int loop_by_getcontext(int times) {
    volatile int n = 0;
    ucontext_t here;
    getcontext(&here);
    n++;
    if (n < times) setcontext(&here);
    return n;
}

static int loop_with_array(int times) {
    volatile int rounds = 0;
    volatile int seen[8] = {0};
    ucontext_t here;
    for (volatile int outer = 0; outer < 2; outer++) {
        getcontext(&here);
        seen[rounds % 8] += rounds + 1;
        if (++rounds % times) setcontext(&here);
    }
    int sum = 0;
    for (int i = 0; i < 8; i++) sum = sum * 7 + seen[i];
    return sum;
}

int main(void) {
    for (int id = 0; id < 3; id++) {
        getcontext(&worker_context[id]);
        worker_context[id].uc_stack.ss_sp = stacks[id];
        worker_context[id].uc_stack.ss_size = sizeof stacks[id];
        worker_context[id].uc_link = &main_context;
        makecontext(&worker_context[id], (void (*)(void))produce, 2, id, 3 + id);
    }
    int steps = 0, sum = 0;
    for (int round = 0; round < 6; round++)
        for (int id = 0; id < 3; id++) {
            if (finished & (1 << id)) continue;
            out = -1;
            swapcontext(&main_context, &worker_context[id]);
            steps++;
            sum += out;
            mix((uint64_t)(unsigned)out);
        }
    CHECK(finished == 7);
    CHECK(steps == 3 + 4 + 5 + 3);
    mix((uint64_t)(unsigned)sum);
    CHECK(loop_by_getcontext(5) == 5);
    CHECK(loop_by_getcontext(1) == 1);
    mix((uint64_t)(unsigned)loop_with_array(4));
    return finish("context_switches", UINT64_C(0x0c81081b530ade27));
}
