/* Exercises: signal handlers that change what loops wait for, nested signals, an alternate stack, leaving a handler by siglongjmp, masks. */
#define _GNU_SOURCE
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
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

static volatile sig_atomic_t ticks, last, depth, deepest;
static volatile sig_atomic_t log_[32], logged;
static sigjmp_buf out;

static void count(int number) {
    ticks++;
    last = number;
    if (logged < 32) log_[logged++] = number == SIGUSR1 ? 1 : 2;
}
static void nested(int number) {
    if (++depth > deepest) deepest = depth;
    if (number == SIGUSR1 && depth == 1) raise(SIGUSR2);
    if (logged < 32) log_[logged++] = number == SIGUSR1 ? 3 : 4;
    depth--;
}
static void leave(int number) { siglongjmp(out, number == SIGUSR2 ? 5 : 6); }

/* Not volatile: the loop reads it again because raise may change it through the handler. */
static int plain_flag;
static void set_plain(int number) { plain_flag += number == SIGUSR1 ? 10 : 1; }

__attribute__((noinline)) static int wait_for_ticks(int wanted) {
    int rounds = 0;
    while (ticks < wanted && rounds < 1000) {
        if (rounds % 3 == 2) raise(SIGUSR1);
        rounds++;
    }
    return rounds;
}
__attribute__((noinline)) static int watch_plain(int n) {
    int sum = 0;
    plain_flag = 0;
    for (int i = 0; i < n; i++) {
        raise(i & 1 ? SIGUSR1 : SIGUSR2);
        sum = sum * 3 + plain_flag;
    }
    return sum;
}
__attribute__((noinline)) static int escaping(int times) {
    volatile int caught = 0;
    volatile int i = 0;
    int code = sigsetjmp(out, 1);
    caught += code;
    while (i < times) {
        i++;
        raise(i % 2 ? SIGUSR1 : SIGUSR2);
    }
    return caught * 100 + i;
}
static void install(int number, void (*handler)(int), int flags) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    sigemptyset(&action.sa_mask);
    if (sigaction(number, &action, NULL) != 0) failed_line = 1;
}

int main(void) {
    install(SIGUSR1, count, 0);
    install(SIGUSR2, count, 0);
    CHECK(wait_for_ticks(4) == 12);
    CHECK(ticks == 4 && last == SIGUSR1);
    sigset_t block, old;
    sigemptyset(&block);
    sigaddset(&block, SIGUSR2);
    sigprocmask(SIG_BLOCK, &block, &old);
    raise(SIGUSR2);
    int before = ticks;
    sigprocmask(SIG_SETMASK, &old, NULL);
    CHECK(before == 4 && ticks == 5 && last == SIGUSR2);
    install(SIGUSR1, nested, SA_NODEFER);
    install(SIGUSR2, nested, SA_NODEFER);
    raise(SIGUSR1);
    CHECK(deepest == 2 && depth == 0);
    static char stack[64 * 1024];
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    CHECK(sigaltstack(&alternate, NULL) == 0);
    install(SIGUSR1, set_plain, SA_ONSTACK);
    install(SIGUSR2, set_plain, 0);
    int watched = watch_plain(6);
    mix((uint64_t)(unsigned)watched);
    CHECK(plain_flag == 33);
    install(SIGUSR1, leave, 0);
    install(SIGUSR2, leave, 0);
    CHECK(escaping(6) == (3 * 5 + 3 * 6) * 100 + 6);
    for (int i = 0; i < logged; i++) mix((uint64_t)log_[i]);
    CHECK(logged == 7);
    return finish("signal_handlers", UINT64_C(0xf4f1c1ab45043b98));
}
