/* The client of llm-cc: runs compilers where the build runs it, as a server says.
 *
 * The server decides; every program is started here, with the build's own folder, environment,
 * limits and streams. Nothing that the server does or fails to do can lose clang's own answer:
 * until clang has run as the user called it, whatever goes wrong ends in an exec of clang; after
 * that, in clang's exit status. `client.py` is the same in Python, `protocol.py` says what travels.
 *
 * client.h is made beside this file when it is compiled (`install.py`).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
/* const char *const CLANG, *const CLANGXX, *const KEY, *const PROTOCOL;
 * const char *const SERVER[], *const SETUP[] (NULL at the end);
 * const struct stamp { const char *path; long long mtime_ns, size; } STAMPS[] (path NULL at the end)
 */

#define MAX_FRAME (64u << 20)
#define EXTRA_FD 9

static char **user_argv;       /* as called, with clang's path in place of ours */
static const char *compiler;
static int given_status = -1;  /* wait status of clang as the user called it; -1: not yet run */
static int server = -1;
static int patience_ms = 30000;
static int kept_stdin = -1;    /* what standard input held, in memory; -1: it was not asked for */
static char run_folder[4096], socket_name[256];

extern char **environ;

static void end_with(int status) {
    fflush(NULL);
    if (WIFSIGNALED(status)) {
        signal(WTERMSIG(status), SIG_DFL);
        kill(getpid(), WTERMSIG(status));
        _exit(128 + WTERMSIG(status));
    }
    _exit(WEXITSTATUS(status));
}

/* A descriptor of our own that reads the kept input from its beginning. */
static int open_stdin(void) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", kept_stdin);
    return open(path, O_RDONLY | O_CLOEXEC);
}

static void exec_clang(void) {
    if (kept_stdin >= 0) dup2(open_stdin(), 0);
    const char *launcher = getenv("LLM_CC_LAUNCHER");
    if (launcher && *launcher) {
        size_t count = 0;
        while (user_argv[count]) count++;
        char **argv = calloc(count + 2, sizeof *argv);
        if (argv) {
            argv[0] = (char *)launcher;
            memcpy(argv + 1, user_argv, (count + 1) * sizeof *argv);
            execvp(launcher, argv);
        }
    }
    execv(compiler, user_argv);
    fprintf(stderr, "llm-cc: cannot start %s: %s\n", compiler, strerror(errno));
    _exit(127);
}

/* Whatever the server did wrong: what clang itself makes, or has made, stands. */
static void give_up(void) {
    if (given_status != -1) end_with(given_status);
    exec_clang();
}

/* A server that is stopped or hangs: the next call starts another. */
static void give_up_server(void) {
    int folder = open(run_folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (folder >= 0) unlinkat(folder, socket_name, 0);
    give_up();
}

static void run_setup(int argc, char **argv) {
    size_t count = 0;
    while (SETUP[count]) count++;
    char **words = calloc(count + argc + 2, sizeof *words);
    if (!words) exec_clang();
    for (size_t i = 0; i < count; i++) words[i] = (char *)SETUP[i];
    for (int i = 0; i < argc; i++) words[count + i] = argv[i];
    if (argv[0][0] == '/') setenv("LLM_CC_SCRIPT", argv[0], 1); /* where the new client belongs */
    execv(words[0], words);
    exec_clang();
}

/* ---- frames ------------------------------------------------------------------------------- */

static int send_all(const char *data, size_t size) {
    while (size) {
        ssize_t sent = send(server, data, size, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0 && errno == EAGAIN) {
            struct pollfd one = {server, POLLOUT, 0};
            if (poll(&one, 1, patience_ms) <= 0) return -1;
            continue;
        }
        if (sent <= 0) return -1;
        data += sent;
        size -= sent;
    }
    return 0;
}

static int send_frame(char verb, const char *payload, size_t size, const int *fds, int num_fds) {
    char header[8] = {0};
    uint32_t length = (uint32_t)size;
    memcpy(header, &length, 4);
    header[4] = verb;
    struct iovec part = {header, sizeof header};
    union { char space[CMSG_SPACE(4 * sizeof(int))]; struct cmsghdr align; } control;
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (num_fds) {
        memset(&control, 0, sizeof control);
        message.msg_control = control.space;
        message.msg_controllen = CMSG_SPACE(num_fds * sizeof(int));
        struct cmsghdr *head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(num_fds * sizeof(int));
        memcpy(CMSG_DATA(head), fds, num_fds * sizeof(int));
    }
    ssize_t sent;
    do sent = sendmsg(server, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent != sizeof header) return -1;
    return send_all(payload, size);
}

static int receive(char *data, size_t size, int *fd) {
    while (size) {
        struct pollfd one = {server, POLLIN, 0};
        int ready = poll(&one, 1, patience_ms);
        if (ready < 0 && errno == EINTR) continue;
        if (ready == 0) give_up_server();
        if (ready < 0) return -1;
        struct iovec part = {data, size};
        union { char space[CMSG_SPACE(sizeof(int))]; struct cmsghdr align; } control;
        struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1,
                                 .msg_control = control.space,
                                 .msg_controllen = sizeof control.space};
        ssize_t got = recvmsg(server, &message, MSG_CMSG_CLOEXEC);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return -1;
        for (struct cmsghdr *head = CMSG_FIRSTHDR(&message); head; head = CMSG_NXTHDR(&message, head))
            if (head->cmsg_type == SCM_RIGHTS && fd) memcpy(fd, CMSG_DATA(head), sizeof *fd);
        data += got;
        size -= got;
    }
    return 0;
}

static void answer(int status, const int *fds, int num_fds) {
    char text[16];
    int length = snprintf(text, sizeof text, "%d", status) + 1;
    if (send_frame('D', text, length, fds, num_fds)) give_up();
}

/* ---- what the server asks for ------------------------------------------------------------- */

/* Copy a file from `at` to `end`, or to its own end where that is -1. */
static int copy_part(int from, int to, long long at, long long end) {
    static char buffer[1 << 16];
    for (;;) {
        size_t wanted = sizeof buffer;
        if (end >= 0 && end - at < (long long)wanted) wanted = end - at;
        ssize_t got = wanted ? pread(from, buffer, wanted, at) : 0;
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return errno;
        if (got == 0) return end >= 0 && at < end ? EIO : 0;
        at += got;
        for (char *data = buffer; got;) {
            ssize_t put = write(to, data, got);
            if (put < 0 && errno == EINTR) continue;
            if (put < 0 && errno == EAGAIN) {
                struct pollfd one = {to, POLLOUT, 0};
                poll(&one, 1, -1);
                continue;
            }
            if (put < 0) return errno;
            data += put;
            got -= put;
        }
    }
}

static int copy_to(int from, int to) { return copy_part(from, to, 0, -1); }

/* Start a program and wait for it. `out`, `err`, `extra`: descriptors, or -1 (ours, ours, none). */
static int run(const char *path, char **argv, int in, int out, int err, int extra, int search) {
    pid_t parent = getpid(), child = fork();
    if (child < 0) return -1;
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        if (getppid() != parent) _exit(143);
        if (in >= 0) dup2(in, 0);
        if (out >= 0) dup2(out, 1);
        if (err >= 0) dup2(err, 2);
        if (extra >= 0) dup2(extra, EXTRA_FD);
        if (search) execvp(path, argv);
        else execv(path, argv);
        _exit(127);
    }
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR) return -1;
    return status;
}

static void run_given(int capture) {
    int err = capture ? memfd_create("stderr", MFD_CLOEXEC) : -1;
    const char *launcher = getenv("LLM_CC_LAUNCHER");
    char **argv = user_argv;
    const char *path = compiler;
    if (launcher && *launcher) {
        size_t count = 0;
        while (user_argv[count]) count++;
        argv = calloc(count + 2, sizeof *argv);
        if (!argv) exec_clang();
        argv[0] = (char *)launcher;
        memcpy(argv + 1, user_argv, (count + 1) * sizeof *argv);
        path = launcher;
    }
    int in = kept_stdin >= 0 ? open_stdin() : -1;
    int status = run(path, argv, in, -1, err, -1, path == launcher);
    if (in >= 0) close(in);
    if (status < 0) exec_clang();
    if (err >= 0) copy_to(err, 2);
    given_status = status;
    if (WIFSIGNALED(status)) end_with(status);
    answer(WEXITSTATUS(status), &err, err >= 0);
}

static void run_helper(const char *flags, char **argv) {
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int fds[3], num_fds = 0, out = null, err = null, extra = -1;
    if (strchr(flags, 'o')) fds[num_fds++] = out = memfd_create("stdout", MFD_CLOEXEC);
    if (strchr(flags, '9')) fds[num_fds++] = extra = memfd_create("extra", MFD_CLOEXEC);
    if (strchr(flags, 'e')) fds[num_fds++] = err = memfd_create("stderr", MFD_CLOEXEC);
    if (null < 0 || out < 0 || err < 0 || (strchr(flags, '9') && extra < 0)) give_up();
    int in = kept_stdin >= 0 ? open_stdin() : null;
    int status = run(argv[0], argv, in, out, err, extra, 0);
    if (in != null) close(in);
    if (status < 0) give_up();
    answer(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), fds, num_fds);
    for (int i = 0; i < num_fds; i++) close(fds[i]);
    close(null);
}

/* Write a file beside its place; it is renamed when all are written. What is no plain file is left. */
static int write_beside(const char *path, char **name, int from, long long at, long long end,
                        int mode) {
    struct stat found;
    if (lstat(path, &found) == 0) {
        if (!S_ISREG(found.st_mode)) return EINVAL;
        if (access(path, W_OK)) return errno;
    } else if (errno != ENOENT) {
        return errno;
    }
    size_t length = strlen(path);
    char *made = malloc(length + 32);
    if (!made) return ENOMEM;
    snprintf(made, length + 32, "%s.llm-cc-%ld", path, (long)getpid());
    int to = open(made, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (to < 0) {
        free(made);
        return errno;
    }
    *name = made;
    int failed = copy_part(from, to, at, end);
    if (close(to) && !failed) failed = errno;
    return failed;
}

/* Write files as clang does, each from its part of one. `words`: path, kind and size of each. */
static int write_files(char **words, size_t count, int from) {
    if (count % 3 || !count) return EBADF;
    char **names = calloc(count, sizeof *names);
    if (!names) return ENOMEM;
    int failed = 0;
    long long at = 0;
    for (size_t i = 0; i < count && !failed; i += 3) {
        long long end = at + atoll(words[i + 2]);
        failed = write_beside(words[i], &names[i], from, at, end, *words[i + 1] == 'x' ? 0777 : 0666);
        at = end;
    }
    for (size_t i = 0; i < count && !failed; i += 3) {
        if (rename(names[i], words[i])) failed = errno;
        else names[i] = NULL;
    }
    for (size_t i = 0; i < count; i++)
        if (names[i]) unlink(names[i]);
    free(names);
    return failed;
}

static void keep_stdin(void) {
    int to = memfd_create("stdin", MFD_CLOEXEC);
    if (to < 0) exec_clang(); /* nothing was read yet */
    static char buffer[1 << 16];
    for (;;) {
        ssize_t got = read(0, buffer, sizeof buffer);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break; /* what cannot be read on is clang's to report, of what there is */
        for (char *data = buffer; got;) {
            ssize_t put = write(to, data, got);
            if (put <= 0) _exit(1); /* no memory, and the input is half read */
            data += put;
            got -= put;
        }
    }
    kept_stdin = to;
    answer(0, &to, 1);
}

static void fetch(const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat found;
    if (fd < 0 || fstat(fd, &found) || !S_ISREG(found.st_mode)) {
        answer(fd < 0 ? errno : EINVAL, NULL, 0);
    } else {
        answer(0, &fd, 1);
    }
    if (fd >= 0) close(fd);
}

static void obey(void) {
    for (;;) {
        char header[8];
        int fd = -1;
        if (receive(header, sizeof header, &fd)) give_up();
        uint32_t size;
        memcpy(&size, header, 4);
        if (size > MAX_FRAME) give_up();
        char *payload = malloc(size + 1);
        if (!payload || receive(payload, size, NULL)) give_up();
        payload[size] = 0;
        size_t count = 0;
        for (uint32_t i = 0; i < size; i++) count += payload[i] == 0;
        char **words = calloc(count + 2, sizeof *words);
        if (!words) give_up();
        char *at = payload;
        for (size_t i = 0; i < count; i++, at += strlen(at) + 1) words[i] = at;
        const char *first = count ? words[0] : "";
        switch (header[4]) {
        case 'K': break;
        case 'X': close(server); exec_clang(); break;
        case 'G': run_given(*first == 'e'); break;
        case 'R': if (count < 2) give_up(); run_helper(first, words + 1); break;
        case 'I': keep_stdin(); break;
        case 'W': answer(fd < 0 ? EBADF : write_files(words, count, fd), NULL, 0); break;
        case 'F': fetch(first); break;
        case 'P': if (fd >= 0) copy_to(fd, 2); answer(0, NULL, 0); break;
        case 'Q':
            if (given_status != -1 && strcmp(first, "0") == 0) end_with(given_status);
            _exit(atoi(first));
        default: give_up();
        }
        if (fd >= 0) close(fd);
        free(words);
        free(payload);
    }
}

/* ---- finding the server ------------------------------------------------------------------- */

/* The kernel's own answers: under fakeroot, the library's say that the user is root. */
static uid_t real_euid(void) { return (uid_t)syscall(SYS_geteuid); }

static int is_private(const char *path) {
    struct statx found;
    int mask = STATX_TYPE | STATX_MODE | STATX_UID;
    return syscall(SYS_statx, AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, mask, &found) == 0 &&
           S_ISDIR(found.stx_mode) && found.stx_uid == real_euid() && !(found.stx_mode & 077);
}

static int make_folders(char *path) {
    for (char *at = path + 1; *at; at++)
        if (*at == '/') {
            *at = 0;
            mkdir(path, 0700);
            *at = '/';
        }
    return mkdir(path, 0700) && errno != EEXIST ? -1 : 0;
}

static int find_folder(void) {
    const char *named = getenv("LLM_CC_DIR"), *cache = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");
    int length;
    if (named && *named == '/')
        length = snprintf(run_folder, sizeof run_folder, "%s/run", named);
    else if (named && *named)
        return -1;
    else if (cache && *cache == '/')
        length = snprintf(run_folder, sizeof run_folder, "%s/llm-compiler/cc/run", cache);
    else if (home && *home == '/')
        length = snprintf(run_folder, sizeof run_folder, "%s/.cache/llm-compiler/cc/run", home);
    else
        return -1;
    if (length < 0 || (size_t)length >= sizeof run_folder) return -1;
    if (make_folders(run_folder) || !is_private(run_folder)) return -1;
    /* What another mount namespace or root sees under a name may be another file. */
    struct stat space, root;
    if (stat("/proc/self/ns/mnt", &space) || stat("/", &root)) return -1;
    snprintf(socket_name, sizeof socket_name, "%s-%llx-%llx", KEY, (unsigned long long)space.st_ino,
             (unsigned long long)root.st_ino);
    return 0;
}

static int connect_server(void) {
    int folder = open(run_folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) return -1;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    /* The folder's own path may be longer than an address can be. */
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", folder, socket_name);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address)) {
        close(fd);
        fd = -1;
    }
    close(folder);
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (fd >= 0 && (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) || peer.uid != real_euid())) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static void start_server(int lock) {
    pid_t child = fork();
    if (child > 0) waitpid(child, NULL, 0);
    if (child != 0) return;
    setsid();
    if (fork() != 0) _exit(0);
    char log[4200];
    snprintf(log, sizeof log, "%s/server.log", run_folder);
    int null = open("/dev/null", O_RDWR);
    int err = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(null, 0);
    dup2(null, 1);
    dup2(err >= 0 ? err : null, 2);
    dup2(lock, 3); /* held until the server listens */
    fcntl(3, F_SETFD, 0);
    for (int fd = 4; fd < 4096; fd++) close(fd); /* pipes of make, of a log, of a terminal */
    if (chdir("/")) _exit(1);
    size_t count = 0;
    while (SERVER[count]) count++;
    char **argv = calloc(count + 3, sizeof *argv);
    if (!argv) _exit(1);
    for (size_t i = 0; i < count; i++) argv[i] = (char *)SERVER[i];
    argv[count] = run_folder;
    argv[count + 1] = socket_name;
    static const char *const of_the_build[] = {"MAKEFLAGS", "MFLAGS", "LD_PRELOAD", "TMPDIR"};
    for (size_t i = 0; i < sizeof of_the_build / sizeof *of_the_build; i++)
        unsetenv(of_the_build[i]);
    execv(argv[0], argv);
    _exit(1);
}

static long long now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static int find_server(void) {
    if (find_folder()) return -1;
    int fd = connect_server();
    if (fd >= 0) return fd;
    char name[4500];
    snprintf(name, sizeof name, "%s/%s.lock", run_folder, socket_name);
    int lock = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock < 0) return -1;
    long long end = now_ms() + patience_ms;
    int started = 0;
    while (now_ms() < end) {
        if (!flock(lock, LOCK_EX | LOCK_NB)) {
            /* Nobody else starts one: is there one by now? */
            if ((fd = connect_server()) >= 0) break;
            if (started) break; /* it ended before it listened */
            start_server(lock);
            started = 1;
            close(lock);
            lock = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
            if (lock < 0) return -1;
        }
        struct timespec pause = {0, 5000000};
        nanosleep(&pause, NULL);
        if ((fd = connect_server()) >= 0) break;
    }
    close(lock);
    return fd;
}

/* ---- the call ----------------------------------------------------------------------------- */

static void append(char **data, size_t *size, size_t *room, const char *text) {
    size_t length = strlen(text) + 1;
    if (*size + length > *room) {
        *room = (*size + length) * 2;
        *data = realloc(*data, *room);
        if (!*data) exec_clang();
    }
    memcpy(*data + *size, text, length);
    *size += length;
}

/* Links of objects alone, and questions to clang, need no server: a source has to be named. */
static int is_source(const char *word) {
    static const char *const suffixes[] = {".c", ".cc", ".cp", ".cpp", ".cxx", ".c++", ".C", ".CPP"};
    const char *dot = strrchr(word, '.');
    if (word[0] == '@' || strcmp(word, "-x") == 0) return 1;
    for (size_t i = 0; dot && word[0] != '-' && i < sizeof suffixes / sizeof *suffixes; i++)
        if (strcmp(dot, suffixes[i]) == 0) return 1;
    return 0;
}

static int is_for_server(int argc, char **argv) {
    const char *off = getenv("LLM_CC_DISABLE"), *mode = getenv("LLM_CC_MODE");
    if (off && *off && strcmp(off, "0")) return 0;
    if (mode && strcmp(mode, "lto") == 0) return 1;
    for (int i = 1; i < argc; i++)
        if (is_source(argv[i])) return 1;
    return 0;
}

int main(int argc, char **argv) {
    const char *name = strrchr(argv[0], '/');
    name = name ? name + 1 : argv[0];
    int cxx = strstr(name, "++") != NULL;
    compiler = cxx ? CLANGXX : CLANG;
    user_argv = calloc(argc + 1, sizeof *user_argv);
    if (!user_argv) return 127;
    memcpy(user_argv, argv, argc * sizeof *argv);
    user_argv[0] = (char *)compiler;
    if (argc > 1 && (strncmp(argv[1], "--cache-", 8) == 0 || strncmp(argv[1], "--llm-cc-", 9) == 0))
        run_setup(argc, argv);
    if (!is_for_server(argc, argv)) exec_clang();
    for (int i = 0; STAMPS[i].path; i++) {
        struct stat found;
        if (stat(STAMPS[i].path, &found)) exec_clang(); /* uninstalled, or being upgraded */
        if (found.st_size != STAMPS[i].size ||
            found.st_mtim.tv_sec * 1000000000LL + found.st_mtim.tv_nsec != STAMPS[i].mtime_ns)
            run_setup(argc, argv);
    }
    unsetenv("LLM_CC_SETUP");
    const char *patience = getenv("LLM_CC_PATIENCE_S");
    if (patience && atoi(patience) > 0) patience_ms = atoi(patience) * 1000;
    char folder[65536];
    if (!getcwd(folder, sizeof folder)) exec_clang();
    server = find_server();
    if (server < 0) exec_clang();

    char *data = NULL, number[32];
    size_t size = 0, room = 0;
    append(&data, &size, &room, PROTOCOL);
    append(&data, &size, &room, cxx ? "c++" : "c");
    append(&data, &size, &room, isatty(2) ? "1" : "0");
    append(&data, &size, &room, folder);
    snprintf(number, sizeof number, "%d", argc - 1);
    append(&data, &size, &room, number);
    for (int i = 1; i < argc; i++) append(&data, &size, &room, argv[i]);
    for (char **one = environ; *one; one++) append(&data, &size, &room, *one);
    if (size > MAX_FRAME || send_frame('H', data, size, NULL, 0)) exec_clang();
    free(data);
    obey();
}
