/* Start-up code and semihosting for Cortex-M and RISC-V: no library is linked. */
#include "board.h"

#include <stddef.h>
#include <stdint.h>

extern uint32_t data_start[], data_end[], data_source[], bss_start[], bss_end[], stack_top[];
int main(void);

enum { SYS_WRITE0 = 0x04, SYS_EXIT = 0x18, SYS_EXIT_EXTENDED = 0x20, STOPPED_NORMALLY = 0x20026 };

static void ask_host(uint32_t operation, const void *parameter) {
#if defined(__riscv)
    register uint32_t a0 __asm__("a0") = operation;
    register const void *a1 __asm__("a1") = parameter;
    __asm__ volatile(".balign 16\n.option push\n.option norvc\n"
                     "slli x0, x0, 0x1f\nebreak\nsrai x0, x0, 7\n.option pop"
                     : "+r"(a0) : "r"(a1) : "memory");
#else
    register uint32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = parameter;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory", "cc", "lr");
#endif
}

void board_print(const char *text) { ask_host(SYS_WRITE0, text); }

_Noreturn void board_stop(int code) {
    const uint32_t parameters[] = {STOPPED_NORMALLY, (uint32_t)code};
    ask_host(SYS_EXIT_EXTENDED, parameters);
    for (;;) ask_host(SYS_EXIT, (const void *)STOPPED_NORMALLY);
}

__attribute__((used)) static void start(void) {
    const uint32_t *from = data_source;
    for (uint32_t *to = data_start; to < data_end;) *to++ = *from++;
    for (uint32_t *to = bss_start; to < bss_end;) *to++ = 0;
    board_stop(main());
}

#if defined(__riscv)
__attribute__((naked, section(".start"), used)) void _start(void) {
    __asm__ volatile(".option push\n.option norelax\nla gp, __global_pointer$\n.option pop\n"
                     "la sp, stack_top\nj start");
}
#else
static void fault(void) {
    board_print("fault\n");
    board_stop(99);
}

__attribute__((section(".start"), used)) const void *const vectors[16] = {
    stack_top, (const void *)start, (const void *)fault, (const void *)fault,
    (const void *)fault, (const void *)fault, (const void *)fault,
};
#endif

/* What compilers call without being asked. */
void *memcpy(void *to, const void *from, size_t length) {
    unsigned char *out = to;
    for (const unsigned char *in = from; length--;) *out++ = *in++;
    return to;
}

void *memset(void *to, int byte, size_t length) {
    for (unsigned char *out = to; length--;) *out++ = (unsigned char)byte;
    return to;
}

#if defined(__arm__)
/* The names that clang calls them by: Run-time ABI for the Arm Architecture, section 4.3.4. */
void __aeabi_memcpy(void *to, const void *from, size_t length) { memcpy(to, from, length); }
void __aeabi_memcpy4(void *to, const void *from, size_t length) { memcpy(to, from, length); }
void __aeabi_memcpy8(void *to, const void *from, size_t length) { memcpy(to, from, length); }
void __aeabi_memclr(void *to, size_t length) { memset(to, 0, length); }
void __aeabi_memclr4(void *to, size_t length) { memset(to, 0, length); }
void __aeabi_memclr8(void *to, size_t length) { memset(to, 0, length); }
#endif
