/* Runs the programs of a suite that are linked with it, each in a child process, and reports.
 *
 * usage: driver [-k] SECONDS PROGRAM...
 * For each program, on standard output: "NAME KIND NUMBER LENGTH\n", then LENGTH bytes that it
 * printed. KIND: exit, signal, timeout (after SECONDS), missing (its main is not linked).
 * Ends after the first program that does not exit with 0: its list is rejected in any case, and
 * a list that makes programs loop for ever should not cost a time limit for each of them. With -k
 * it goes on to the last program.
 * A program that starts processes without end meets RLIMIT_NPROC; what is left of its process
 * group is killed when it ends.
 * Compiled together with a table that is generated for the suite (verify/harness.py).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

struct program {
    const char *name;
    int (*main)(int, char **);
};
extern const struct program llm_compiler_programs[];
extern const int llm_compiler_num_programs;

enum { MAX_OUTPUT_BYTES = 8 << 20, MORE_PROCESSES = 256 };
static const rlim_t MAX_MEMORY_BYTES = (rlim_t)4 << 30;

static volatile pid_t child;
static volatile sig_atomic_t timed_out;

static void expire(int number) {
    (void)number;
    timed_out = 1;
    if (child > 0) kill(-child, SIGKILL);
}

static void limit(int resource, rlim_t bytes) {
    struct rlimit wanted = {bytes, bytes};
    setrlimit(resource, &wanted);
}

/* The limit counts all processes of a user, wherever they came from: leave room for those there. */
static void limit_processes(void) {
    FILE *file = fopen("/proc/loadavg", "r");
    unsigned long there = 0;
    if (!file) return;
    if (fscanf(file, "%*s %*s %*s %*u/%lu", &there) == 1) limit(RLIMIT_NPROC, there + MORE_PROCESSES);
    fclose(file);
}

static void become(const struct program *program, unsigned seconds, int out) {
    char *arguments[] = {(char *)program->name, NULL};
    setpgid(0, 0);
    signal(SIGALRM, SIG_DFL);
    dup2(out, 1);
    close(out);
    dup2(open("/dev/null", O_WRONLY), 2);
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_AS, MAX_MEMORY_BYTES);
    limit(RLIMIT_FSIZE, MAX_OUTPUT_BYTES);
    limit(RLIMIT_CPU, 2 * seconds);
    limit_processes();
    exit(program->main(1, arguments));
}

static void report(const struct program *program, const char *kind, int number, int out) {
    off_t length = out < 0 ? 0 : lseek(out, 0, SEEK_END);
    static char buffer[1 << 16];
    if (length > MAX_OUTPUT_BYTES) length = MAX_OUTPUT_BYTES;
    printf("%s %s %d %ld\n", program->name, kind, number, (long)length);
    for (off_t done = 0; done < length;) {
        size_t wanted = length - done < (off_t)sizeof buffer ? (size_t)(length - done) : sizeof buffer;
        ssize_t got = pread(out, buffer, wanted, done);
        if (got <= 0) _exit(102);
        fwrite(buffer, 1, (size_t)got, stdout);
        done += got;
    }
    fflush(stdout);
}

/* Returns whether the program ended well. */
static int run(const struct program *program, unsigned seconds) {
    int status = 0;
    if (!program->main) {
        report(program, "missing", 0, -1);
        return 0;
    }
    int out = memfd_create("output", 0);
    if (out < 0) _exit(103);
    fflush(stdout);
    timed_out = 0;
    child = fork();
    if (child < 0) _exit(104);
    if (child == 0) become(program, seconds, out);
    setpgid(child, child);
    alarm(seconds);
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR) _exit(105);
    alarm(0);
    kill(-child, SIGKILL);
    child = 0;
    if (timed_out) report(program, "timeout", 0, out);
    else if (WIFSIGNALED(status)) report(program, "signal", WTERMSIG(status), out);
    else report(program, "exit", WEXITSTATUS(status), out);
    close(out);
    return status == 0;
}

int main(int argc, char **argv) {
    struct sigaction action;
    int go_on = argc > 1 && !strcmp(argv[1], "-k");
    int next = 1 + go_on;
    unsigned seconds = argc > next ? (unsigned)atoi(argv[next]) : 10;
    memset(&action, 0, sizeof action);
    action.sa_handler = expire;
    sigaction(SIGALRM, &action, NULL);
    for (int j = next + 1; j < argc; j++)
        for (int i = 0; i < llm_compiler_num_programs; i++)
            if (!strcmp(argv[j], llm_compiler_programs[i].name) &&
                !run(&llm_compiler_programs[i], seconds) && !go_on)
                return 0;
    return 0;
}
