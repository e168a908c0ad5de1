/* Exercises: vfork in loops and in branches, exit codes of children, a child that writes to its parent's frame; a guard against runaway processes. */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
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

static int *born; /* shared by all processes: how many there were */

__attribute__((noinline)) static void count_birth(void) {
    if (__atomic_add_fetch(born, 1, __ATOMIC_SEQ_CST) > 64) _exit(99);
}

static int wait_for(pid_t child) {
    int status = 0;
    if (child < 0) return -1;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR) return -2;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -3;
}

static int in_a_loop(int n) {
    int sum = 0;
    for (int i = 1; i <= n; i++) {
        pid_t child = vfork();
        if (child == 0) {
            count_birth();
            _exit(i * 3);
        }
        sum = sum * 10 + wait_for(child) / 3;
    }
    return sum;
}

static int until_it_fits(int wanted) {
    int tries = 0;
    for (;;) {
        pid_t child = vfork();
        if (child == 0) {
            count_birth();
            _exit(tries);
        }
        int code = wait_for(child);
        if (code < 0 || code >= wanted || tries > 20) return code * 100 + tries;
        tries++;
    }
}

static int in_a_branch(int which) {
    pid_t child;
    switch (which) {
    case 0: return 7;
    case 1: child = vfork(); break;
    default:
        if (which > 5) return -which;
        child = vfork();
        break;
    }
    if (child == 0) {
        count_birth();
        _exit(which + 40);
    }
    return wait_for(child);
}

int main(void) {
    born = mmap(NULL, sizeof *born, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (born == MAP_FAILED) return 1;
    CHECK(in_a_loop(4) == 1234);
    CHECK(*born == 4);
    CHECK(until_it_fits(3) == 303);
    CHECK(*born == 8);
    for (int which = 0; which < 8; which++) mix((uint64_t)(unsigned)in_a_branch(which));
    CHECK(in_a_branch(1) == 41);
    CHECK(in_a_branch(6) == -6);
    mix((uint64_t)*born);
    return finish("vfork_in_loop", UINT64_C(0xaa9c0c5a09fe7712));
}
