/* Runs the programs of a suite that are linked with it, on a board without an operating system.
 *
 * The command line, asked for by semihosting, is as driver.c's: [-k] SECONDS PROGRAM...
 * For each program, on the host's standard output: "@NAME\n" when it begins, then
 * "NAME KIND NUMBER LENGTH\n" and LENGTH bytes that it printed, when it ends. KIND: exit, signal (a
 * fault of the processor, or too much output), missing (its main is not linked). A fault ends the
 * run, since nothing is known of the memory then. Who runs the emulator keeps the time.
 * Ends after the first program that does not exit with 0; with -k it goes on.
 * With SINGLE, main is the program's, and the start-up code calls the driver by another name.
 * Compiled together with a table that is generated for the suite (verify/harness.py).
 */
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct program {
    const char *name;
    int (*main)(int, char **);
};
extern const struct program llm_compiler_programs[];
extern const int llm_compiler_num_programs;

enum { MAX_OUTPUT_BYTES = 1 << 20, MAX_COMMAND_BYTES = 1 << 14, SIGSEGV_NUMBER = 11, SIGXFSZ_NUMBER = 25 };
enum { SYS_OPEN = 0x01, SYS_WRITE = 0x05, SYS_GET_CMDLINE = 0x15, SYS_EXIT = 0x18 };
enum { STOPPED_NORMALLY = 0x20026 };

/* Semihosting for AArch32 and RISC-V: an operation and the address of its parameters. */
static intptr_t ask_host(intptr_t operation, const void *parameters) {
#if defined(__riscv)
    register intptr_t a0 __asm__("a0") = operation;
    register const void *a1 __asm__("a1") = parameters;
    __asm__ volatile(
        ".balign 16\n.option push\n.option norvc\n"
        "slli x0, x0, 0x1f\nebreak\nsrai x0, x0, 7\n.option pop"
        : "+r"(a0)
        : "r"(a1)
        : "memory");
    return a0;
#else
    register intptr_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = parameters;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory", "cc", "lr");
    return r0;
#endif
}

static intptr_t host_output;

static void write_to_host(const void *bytes, size_t length) {
    const intptr_t parameters[] = {host_output, (intptr_t)bytes, (intptr_t)length};
    if (length) ask_host(SYS_WRITE, parameters);
}

static void stop(void) {
    for (;;) ask_host(SYS_EXIT, (const void *)STOPPED_NORMALLY);
}

/* What the running program prints. */
static char output[MAX_OUTPUT_BYTES];
static size_t output_bytes;
static const struct program *volatile running;
static jmp_buf ended;
static int end_code;

static char *decimal(char *end, unsigned long number) {
    *--end = '\0';
    do *--end = (char)('0' + number % 10);
    while (number /= 10);
    return end;
}

/* No formatted printing: programs may change what it does, and a fault may have left it half done. */
static void report(const char *kind, unsigned long number) {
    char digits[24];
    const char *const words[] = {running->name, kind};
    for (int i = 0; i < 2; i++) {
        write_to_host(words[i], strlen(words[i]));
        write_to_host(" ", 1);
    }
    char *text = decimal(digits + sizeof digits, number);
    write_to_host(text, strlen(text));
    write_to_host(" ", 1);
    text = decimal(digits + sizeof digits, output_bytes);
    write_to_host(text, strlen(text));
    write_to_host("\n", 1);
    write_to_host(output, output_bytes);
}

static void fail(int number) {
    if (running) report("signal", (unsigned long)number);
    stop();
}

static int put(char byte, FILE *file) {
    (void)file;
    if (output_bytes == MAX_OUTPUT_BYTES) fail(SIGXFSZ_NUMBER);
    output[output_bytes++] = byte;
    return (unsigned char)byte;
}

static int drop(char byte, FILE *file) {
    (void)file;
    return (unsigned char)byte;
}

static int get(FILE *file) {
    (void)file;
    return _FDEV_EOF;
}

static FILE console = FDEV_SETUP_STREAM(put, get, NULL, _FDEV_SETUP_RW);
static FILE errors = FDEV_SETUP_STREAM(drop, get, NULL, _FDEV_SETUP_RW);
FILE *const stdin = &console;
FILE *const stdout = &console;
FILE *const stderr = &errors;

_Noreturn void _exit(int code) {
    end_code = code & 0xff;
    if (!running) stop();
    longjmp(ended, 1);
}

static void faulted(void) { fail(SIGSEGV_NUMBER); }

/* Whatever the processor cannot go on from, on a stack of its own: the program's may be full. */
static uint64_t fault_stack[512];
#if defined(__riscv)
__attribute__((naked, aligned(4), used)) static void on_fault(void) {
    __asm__ volatile("mv sp, %0\ntail %1" : : "r"(fault_stack + 512), "i"(faulted));
}

static void catch_faults(void) { __asm__ volatile("csrw mtvec, %0" : : "r"(on_fault)); }
#else
__attribute__((used)) static void (*const call_faulted)(void) = faulted;

__attribute__((naked, used)) static void on_fault(void) {
    __asm__ volatile(
        "ldr r0, =fault_stack + 4096\nmov sp, r0\nldr r0, =call_faulted\nldr r0, [r0]\nbx r0\n.ltorg");
}

enum { NUM_EXCEPTIONS = 16 };
static uintptr_t vectors[NUM_EXCEPTIONS] __attribute__((aligned(128)));

static void catch_faults(void) {
    vectors[0] = (uintptr_t)(fault_stack + 512);
    for (int i = 1; i < NUM_EXCEPTIONS; i++) vectors[i] = (uintptr_t)on_fault;
    *(volatile uintptr_t *)0xE000ED08 = (uintptr_t)vectors; /* VTOR */
}
#endif

/* Returns whether the program ended well. */
static int run(const struct program *program) {
    char *arguments[] = {(char *)program->name, NULL};
    running = program;
    output_bytes = 0;
    if (!program->main) {
        report("missing", 0);
        return 0;
    }
    write_to_host("@", 1);
    write_to_host(program->name, strlen(program->name));
    write_to_host("\n", 1);
    /* Functions that were registered for the end run before _exit is called. */
    if (!setjmp(ended)) exit(program->main(1, arguments));
    report("exit", (unsigned long)end_code);
    return end_code == 0;
}

static void drive(void) {
    static char command[MAX_COMMAND_BYTES];
    const intptr_t console_name[] = {(intptr_t)":tt", 4, 3};
    const intptr_t buffer[] = {(intptr_t)command, sizeof command};
    int go_on = 0, number = 0;
    host_output = ask_host(SYS_OPEN, console_name);
    catch_faults();
    ask_host(SYS_GET_CMDLINE, buffer);
    for (char *word = command, *next; *word; word = next, number++) {
        for (next = word; *next && *next != ' ';) next++;
        if (*next) *next++ = '\0';
        if (!strcmp(word, "-k")) go_on = 1;
        for (int i = 0; number && i < llm_compiler_num_programs; i++)
            if (!strcmp(word, llm_compiler_programs[i].name) && !run(&llm_compiler_programs[i]) && !go_on)
                stop();
    }
    stop();
}

#ifdef SINGLE
int __wrap_main(void) { drive(); return 0; }
#else
int main(void) { drive(); return 0; }
#endif
