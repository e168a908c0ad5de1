/* Calls one function on many inputs and says what it did: freestanding, for x86-64 and AArch64.

   Each input runs in a forked child, so that a crash costs one input, and memory is as it was for
   the next one. Under an emulator, where a fork costs more than a hundred runs, one child takes
   one input after the other, and puts memory back itself. The child is confined (seccomp where the kernel grants it, resource limits), the
   function has a stack of its own, and everything that it calls outside itself is a stub: it is
   recorded and answers what the input says. Reads standard input, writes standard output; the
   layout of both is in execute.py. Addresses of the function's own code and data, and of the
   stack, differ between two executables: they are written as what they stand for. */

typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long u64;

enum {
    ARENA = 0x3a000000, BUFFER = 4096, CONTENT = 2048, STRIDE = 32768,
    STACK = 0x3b000000, STACK_BYTES = 0x40000, STUBS = 0x39c00000, STUB_BYTES = 32, UNSET = 0xa5a5a5a5u,
    MAX_CALLS = 96, CALL_WORDS = 40, MAX_CHANGES = 4096, SHARED_BYTES = 0x100000, NUM_CHOICES = 64,
    MAX_SITES = 2048, MAX_KINDS = 8, MAX_TABLES = 64
};
#define TAG_STACK 0xfeed000000000001ul
#define TAG_CONSTANT 0xc057000000000000ul
#define TAG_VARIABLE 0xda7a000000000000ul
#define TAG_CODE 0xc0de000000000000ul
#define TAG_TABLE 0x7ab1e00000000000ul
#define CLOBBER 0xdeadbeef5c000000ul
#define FAILS 0x6661696c6661696cul /* as an answer: an allocation that fails */

/* ---- system calls ---- */
#if defined(__x86_64__)
enum { READ = 0, WRITE = 1, MMAP = 9, MPROTECT = 10, FORK = 57, EXIT = 60, WAIT4 = 61, GETPID = 39,
       SETRLIMIT = 160, PRCTL = 157, ARCH_PRCTL = 158, SETITIMER = 38, SIGACTION = 13, SIGALTSTACK = 131 };
enum { REGISTERS_AT = 40 }; /* of a signal's context */
static long system6(long n, long a, long b, long c, long d, long e, long f) {
    long result;
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall" : "=a"(result) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}
static long fork_child(void) { return system6(FORK, 0, 0, 0, 0, 0, 0); }
#else
enum { READ = 63, WRITE = 64, MMAP = 222, MPROTECT = 226, CLONE = 220, EXIT = 93, WAIT4 = 260,
       SETRLIMIT = 164, PRCTL = 167, SETITIMER = 103, SIGACTION = 134, SIGALTSTACK = 132 };
enum { REGISTERS_AT = 184 }; /* of a signal's context */
static long system6(long n, long a, long b, long c, long d, long e, long f) {
    register long x8 __asm__("x8") = n;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
    return x0;
}
static long fork_child(void) { return system6(CLONE, 17, 0, 0, 0, 0, 0); }
#endif
#define system3(n, a, b, c) system6((n), (long)(a), (long)(b), (long)(c), 0, 0, 0)

static void leave(int code) {
    for (;;) system3(EXIT, code, 0, 0);
}
static void read_all(void *to, u64 size) {
    u8 *at = to;
    while (size) {
        long got = system3(READ, 0, at, size);
        if (got <= 0) leave(101);
        at += got;
        size -= (u64)got;
    }
}
static void write_all(const void *from, u64 size) {
    const u8 *at = from;
    while (size) {
        long done = system3(WRITE, 1, at, size);
        if (done <= 0) leave(102);
        at += done;
        size -= (u64)done;
    }
}
static void *map(u64 at, u64 size, int shared, int protection) {
    long got = system6(MMAP, (long)at, (long)size, protection, (shared ? 1 : 2) | 0x20 | (at ? 0x10 : 0), -1, 0);
    if (got < 0 && got > -4096) leave(103);
    return (void *)got;
}

/* ---- what the input says ---- */
struct settings {
    u64 magic, num_inputs, entry, num_stack_words, constants_start, constants_end, data_start, data_end,
        code_start, code_end, num_stubs, num_variables, coverage, coverage_bytes, timeout_us,
        arena_bytes, arena_end, heap, num_sites, num_kinds, exception, is_emulated, num_repeats,
        num_tables;
};
/* result_bits 0: all 64; followed: a bit for each argument register that may be a pointer;
   throws 0: never, 1: some calls, 2: every call that does not end the run; idle: a bit for each of
   the two integer registers of a result, and for the number's, that it surely returns nothing in */
struct stub { u64 kind, result_bits, result_is_signed, num_stack, followed, throws, idle; };
/* A range of the function's code of its exception table; for each kind of exception the selector
   and 1 << 32, or 0: it goes on. */
struct site { u64 start, end, pad, selectors[MAX_KINDS]; };
struct variable { u64 address, size; };
struct registers { u64 integers[8], indirect, floats[16]; };

static struct settings settings;
static struct stub *stubs;
static struct variable *variables;
static struct site *sites;
static u64 tables[MAX_TABLES]; /* of jumps: nobody but the compiler can mean their addresses */
static u64 choices[NUM_CHOICES];
static u64 buffer_bytes; /* that are mapped of a buffer: zeros, then its contents, again and again */

/* ---- what the child leaves, in memory that it shares with the parent ---- */
struct report {
    u64 kind, detail, integers[8], floats[8], broken, num_calls, num_changes, num_variable_words;
    u64 calls[MAX_CALLS][CALL_WORDS];
};
static struct report *report;
static u64 *changes; /* pairs: offset in the arena, value; then the variables' words */
static u64 heap_next, ordinals[256];

static u64 mix(u64 x) {
    x ^= x >> 30; x *= 0xbf58476d1ce4e5b9ul;
    x ^= x >> 27; x *= 0x94d049bb133111ebul;
    return x ^ (x >> 31);
}

/* A value as it is the same in both executables. */
static u64 canonical(u64 value) {
    if (value >= STACK && value < STACK + STACK_BYTES) return TAG_STACK;
    if (value >= settings.constants_start && value < settings.constants_end) {
        u64 hash = 0;
        for (u64 i = 0; i < settings.num_tables; i++) if (value == tables[i]) return TAG_TABLE;
        for (u64 i = 0; i < 64 && value + i < settings.constants_end; i++) {
            u8 byte = *(u8 *)(value + i);
            hash = mix(hash + byte + 1);
            if (!byte) break; /* what follows may be another constant */
        }
        return TAG_CONSTANT | hash >> 16;
    }
    if (value >= settings.data_start && value <= settings.data_end) {
        for (u64 i = 0; i < settings.num_variables; i++)
            if (value >= variables[i].address && value < variables[i].address + variables[i].size)
                return TAG_VARIABLE | i << 32 | (value - variables[i].address);
        return TAG_VARIABLE | 0xffff00000000ul;
    }
    if (value >= settings.code_start && value < settings.code_end)
        return TAG_CODE | (value == settings.entry ? 1 : 2);
    return value;
}
/* Whether a word of the stack is a caller's register, as llm_call sets them, or its return address:
   no part of an object. */
extern const u64 llm_kept[];
void llm_call_end(void);
void llm_call(u64 entry, struct registers *in, u64 *stack_words, u64 num_stack_words, u64 stack_top, struct report *out);
static int is_kept(u64 value) {
    for (u64 i = 0; llm_kept[i]; i++) if (value == llm_kept[i]) return 1;
    return value >= (u64)llm_call && value < (u64)llm_call_end;
}
static u64 top_at_entry(void);
/* What a pointer to the stack points to, two words, half of the result each; soft evidence only.
   0: nobody has set the word, so that no callee can mean to read it, or it is the caller's while
   the pointer is into the function's own frame: no object is in both. */
static u64 pointee(u64 value) {
    if (value < STACK || value > STACK + STACK_BYTES - 16) return 0; /* -1 + 16 is small */
    u64 *at = (u64 *)(value & ~7ul), unset = (u64)UNSET << 32 | UNSET, found[2], top = top_at_entry();
    for (int i = 0; i < 2; i++) {
        int is_callers = value < top && (u64)(at + i) >= top;
        found[i] = at[i] == unset || is_callers || is_kept(at[i]) ? 0 : mix(canonical(at[i]) + 1) >> 32 | 1;
    }
    return found[0] | found[1] << 32;
}
/* The same of the eight words above those, a byte each. Where an object ends is not known: these
   count only where the original's code shows that it goes on (World.fields). */
static u64 further(u64 value) {
    if (value < STACK || value > STACK + STACK_BYTES - 96) return 0;
    u64 *at = (u64 *)(value & ~7ul) + 2, unset = (u64)UNSET << 32 | UNSET, top = top_at_entry(), found = 0;
    for (int i = 0; i < 8; i++)
        if (at[i] != unset && !(value < top && (u64)(at + i) >= top) && !is_kept(at[i]))
            found |= (mix(canonical(at[i]) + 1) >> 56 | 1) << 8 * i;
    return found;
}

static void fill_report(void) {
    u64 n = 0, *arena = (u64 *)ARENA, *before = (u64 *)(ARENA + settings.arena_end);
    for (u64 at = 0; at < settings.arena_end; at += STRIDE)
        for (u64 i = at / 8; i < (at + buffer_bytes) / 8; i++)
            if (arena[i] != before[i] && n < MAX_CHANGES) {
                changes[2 * n] = 8 * i;
                changes[2 * n + 1] = canonical(arena[i]);
                n++;
            }
    report->num_changes = n;
    u64 *to = changes + 2 * n, words = 0;
    for (u64 i = 0; i < settings.num_variables; i++)
        for (u64 at = 0; at < variables[i].size; at += 8) {
            u64 word = 0;
            for (u64 byte = 0; byte < 8 && at + byte < variables[i].size; byte++)
                word |= (u64) * (u8 *)(variables[i].address + at + byte) << 8 * byte;
            to[words++] = canonical(word);
        }
    report->num_variable_words = words;
}
static void next_input(void);
static void finish(u64 kind, u64 detail) {
    report->detail = detail;
    fill_report();
    report->kind = kind;
    if (settings.is_emulated) next_input();
    leave(0);
}

/* ---- crashes ---- */
static u64 fault_stack[2048];

/* Says where memory was asked for that is not there, and what registers held: one of them, most
   likely, was meant to be a pointer. */
static void fault(int number, u64 *info, u8 *context) {
    u64 *held = (u64 *)(context + REGISTERS_AT);
    for (int i = 0; i < 8; i++) {
        report->integers[i] = held[i];
        report->floats[i] = held[8 + i];
    }
    report->broken = info[2];
    report->detail = (u64)number;
    report->kind = 5;
    if (settings.is_emulated) next_input();
    leave(0);
}
static void watch_faults(void) {
    u64 stack[3] = {(u64)fault_stack, 0, sizeof fault_stack};
    /* SA_NODEFER, since the handler does not return; SA_ONSTACK, SA_SIGINFO, a restorer */
    u64 action[4] = {(u64)fault, 0x4c000004, (u64)leave, 0};
    system3(SIGALTSTACK, stack, 0, 0);
    system6(SIGACTION, 11, (long)action, 0, 8, 0, 0);
    system6(SIGACTION, 7, (long)action, 0, 8, 0, 0);
}

/* ---- stubs ---- */
/* results: integers, a number, and where to go on in place of the call's end, or 0 */
struct saved { u64 integers[8], floats[16], results[4]; u64 *stack; };
struct saved llm_saved;
u64 llm_driver_stack[8192];
#if defined(__x86_64__)
static u64 called_from(void) { return llm_saved.stack[-1]; }
#else
extern u64 llm_stub_sp[2];
static u64 called_from(void) { return llm_stub_sp[1]; }
#endif

static u64 thrown_before;

/* Which of an input's words answers: not the first, which says who answers what. */
static u64 answer(u64 draw) { return 1 + draw % (NUM_CHOICES - 1); }

/* Whether a call throws: on a quarter of the inputs none does at first, on half of them one, on the
   others a quarter of the calls; once one has, a quarter of the calls after it may, on half of
   them. Each answer decides for its calls, so that changing one leaves the other calls as they are. */
static u64 draw_throw(u64 call) { return mix(choices[1 + call % (NUM_CHOICES - 1)] + call); }
static int is_thrown(struct stub *stub, u64 call) {
    u64 habit = mix(choices[0] ^ 0x7468726f7773ul), which = habit >> 8;
    if (!settings.num_kinds || !stub->throws) return 0;
    if (stub->throws == 2) return 1;
    int quarter = !(draw_throw(call) >> 32 & 3);
    if (thrown_before) return quarter && (habit & 4);
    switch (habit & 3) {
    case 0: return 0;
    case 1: return call == which % 6;
    case 2: return call == which % MAX_CALLS;
    default: return quarter;
    }
}
/* What an unwinder does that finds the function as the caller: it goes on at the landing pad, with
   the exception and the selector in two registers, or leaves the function. */
static int land(struct stub *stub, u64 kind) {
    u64 from = called_from() - 1;
    for (u64 i = 0; i < settings.num_sites; i++) {
        struct site *site = &sites[i];
        if (from < site->start || from >= site->end) continue;
        if (!site->pad || !site->selectors[kind]) return 0;
        llm_saved.results[0] = settings.exception;
        llm_saved.results[1] = (u32)site->selectors[kind];
        llm_saved.results[3] = site->pad;
        thrown_before = 1;
        return 1;
    }
    /* Calls that must not throw are in no range. */
    if (settings.num_sites && from >= settings.code_start && from < settings.code_end && stub->throws != 2)
        finish(8, 0);
    return 0;
}

/* What a callee may do to memory that it is given. On the stack it sets what nobody has set yet,
   and always to the same: where one object ends and the next begins differs between the two. So
   each pointer's first word is the lower half, whatever its place, and those above come first. What
   is set already changes on a share of the inputs: as many bytes as any object has that begins
   there. So does one of the first words in a buffer, and the first of a variable. */
static void set_stack(u64 at) {
    u64 left = choices[NUM_CHOICES - 1];
    at = (at + 3) & ~3ul;
    for (u64 n = 0; n < 64 && at < STACK + STACK_BYTES && *(u32 *)at == UNSET; n++, at += 4)
        *(u32 *)at = (u32)(n & 1 ? left >> 32 : left);
}
static void leave_traces(struct stub *stub, u64 draw) {
    u64 habit = choices[0] >> 40, below = ~0ul;
    if ((habit & 3) != 3)
        for (;;) {
            u64 highest = 0;
            for (u64 i = 0; i < 8; i++) {
                u64 at = llm_saved.integers[i];
                if (!(stub->followed >> i & 1) || at < STACK || at >= STACK + STACK_BYTES) continue;
                if (at < below && at > highest) highest = at;
            }
            if (!highest) break;
            set_stack(highest);
            below = highest;
        }
    if ((habit >> 2 & 3) != 1) return;
    for (u64 i = 0; i < 8; i++) {
        if (!(stub->followed >> i & 1)) continue;
        u64 at = llm_saved.integers[i], value = choices[answer(draw >> (24 + 4 * i))];
        u64 step = 8 * (mix(draw + i) & 3), offset = at + step - ARENA;
        if (at >= STACK && at <= STACK + STACK_BYTES - 0x1000 - 4) {
            if (at % 4) *(u8 *)at = (u8)value;
            else *(u32 *)at = (u32)value;
        }
        if (at >= ARENA && offset < settings.arena_end && offset % STRIDE <= buffer_bytes - 8)
            *(u64 *)(at + step) = value;
        for (u64 n = 0; n < settings.num_variables; n++)
            if (at >= variables[n].address && at + 4 <= variables[n].address + variables[n].size)
                *(u32 *)at = (u32)value;
    }
}

void llm_record(u64 id) {
    struct stub *stub = &stubs[id];
    u64 call = report->num_calls;
    if (stub->kind == 7 && !llm_saved.integers[0]) {
        /* It frees nothing: a call that compilers leave out, as if it had not been. */
        for (u64 i = 0; i < 3; i++) llm_saved.results[i] = CLOBBER + 20 + i;
        llm_saved.results[3] = 0;
        return;
    }
    if (call == MAX_CALLS) finish(4, id);
    u64 *to = report->calls[call];
    to[0] = id;
    for (int i = 0; i < 8; i++) {
        to[1 + i] = canonical(llm_saved.integers[i]);
        to[9 + i] = pointee(llm_saved.integers[i]);
        to[17 + i] = llm_saved.floats[2 * i];
        to[31 + i] = further(llm_saved.integers[i]);
    }
    for (u64 i = 0; i < 6; i++) to[25 + i] = i < stub->num_stack ? canonical(llm_saved.stack[i]) : 0;
    report->num_calls = call + 1;
    llm_saved.results[3] = 0;
    u64 draw = mix(choices[0] + id * 0x9e3779b97f4a7c15ul + ++ordinals[id & 255]);
    int throws = is_thrown(stub, call);
    if (throws && land(stub, (draw_throw(call) >> 36) % settings.num_kinds)) return;
    if (throws && stub->throws == 1) finish(7, 0);
    if (stub->kind == 1) finish(2, id);
    llm_saved.results[0] = choices[answer(draw)];
    llm_saved.results[1] = choices[answer(draw >> 8)];
    llm_saved.results[2] = choices[answer(draw >> 16)];
    int fails = llm_saved.results[0] == FAILS;
    if (stub->result_bits) {
        u64 shift = 64 - stub->result_bits, moved = llm_saved.results[0] << shift;
        llm_saved.results[0] = stub->result_is_signed ? (u64)((long)moved >> shift) : moved >> shift;
    }
    for (u64 i = 0; i < 3; i++) if (stub->idle >> i & 1) llm_saved.results[i] = CLOBBER + 20 + i;
    if (!stub->kind || stub->kind == 7) leave_traces(stub, draw);
    if (stub->kind == 5) llm_saved.results[0] = llm_saved.integers[0];
    else if (stub->kind >= 2 && stub->kind != 7) { /* malloc, calloc, realloc, operator new */
        u64 size = llm_saved.integers[stub->kind == 4 ? 1 : 0];
        if (stub->kind == 3) size *= llm_saved.integers[1];
        u64 room = settings.heap + buffer_bytes - heap_next;
        u64 taken = (size + 15) & ~15ul;
        if ((fails && stub->kind != 6) || size > room || taken > room) llm_saved.results[0] = 0;
        else {
            llm_saved.results[0] = heap_next;
            heap_next += taken;
            if (stub->kind == 3) for (u64 i = 0; i < size; i++) ((u8 *)llm_saved.results[0])[i] = 0;
            if (stub->kind == 4 && llm_saved.integers[0])
                for (u64 i = 0; i < size; i++) /* never beyond the heap: it grows upwards */
                    ((u8 *)llm_saved.results[0])[i] = ((u8 *)llm_saved.integers[0])[i];
        }
    }
}
void llm_stub(void);

#if defined(__x86_64__)
__asm__(
    ".text\n.globl llm_stub\nllm_stub:\n"
    "movq %rdi, llm_saved(%rip)\nmovq %rsi, llm_saved+8(%rip)\nmovq %rdx, llm_saved+16(%rip)\n"
    "movq %rcx, llm_saved+24(%rip)\nmovq %r8, llm_saved+32(%rip)\nmovq %r9, llm_saved+40(%rip)\n"
    "movups %xmm0, llm_saved+64(%rip)\nmovups %xmm1, llm_saved+80(%rip)\nmovups %xmm2, llm_saved+96(%rip)\n"
    "movups %xmm3, llm_saved+112(%rip)\nmovups %xmm4, llm_saved+128(%rip)\nmovups %xmm5, llm_saved+144(%rip)\n"
    "movups %xmm6, llm_saved+160(%rip)\nmovups %xmm7, llm_saved+176(%rip)\n"
    "leaq 8(%rsp), %rax\nmovq %rax, llm_saved+224(%rip)\n"
    "movq %rsp, llm_stub_rsp(%rip)\nleaq llm_driver_stack+65536(%rip), %rsp\n"
    "movl %r11d, %edi\ncld\ncallq llm_record\nmovq llm_stub_rsp(%rip), %rsp\n"
    "movq llm_saved+192(%rip), %rax\nmovq llm_saved+200(%rip), %rdx\n"
    "movq llm_saved+208(%rip), %xmm0\nmovabsq $0xdeadbeef5c000000, %rcx\n"
    "movq %rcx, %xmm1\nmovq %rcx, %xmm2\nmovq %rcx, %xmm3\nmovq %rcx, %xmm4\nmovq %rcx, %xmm5\nmovq %rcx, %xmm6\nmovq %rcx, %xmm7\n"
    "movq %rcx, %xmm8\nmovq %rcx, %xmm9\nmovq %rcx, %xmm10\nmovq %rcx, %xmm11\nmovq %rcx, %xmm12\nmovq %rcx, %xmm13\nmovq %rcx, %xmm14\nmovq %rcx, %xmm15\n"
    "leaq 1(%rcx), %rsi\nleaq 2(%rcx), %rdi\nleaq 3(%rcx), %r8\nleaq 4(%rcx), %r9\nleaq 5(%rcx), %r10\n"
    "movq llm_saved+216(%rip), %r11\ntestq %r11, %r11\njne 1f\nleaq 6(%rcx), %r11\nretq\n"
    "1: addq $8, %rsp\njmpq *%r11\n"
    /* (entry, in, words, count, top, out); rax is as words that nobody has set, since a push of it
       makes room for them. Its lowest byte says that vector registers may hold arguments. */
    ".globl llm_call\nllm_call:\n"
    "pushq %rbx\npushq %rbp\npushq %r12\npushq %r13\npushq %r14\npushq %r15\n"
    "movq %rsp, llm_call_rsp(%rip)\nmovq %r9, llm_call_out(%rip)\nmovq %r8, %rsp\n"
    "movq %rdi, %r11\nmovq %rsi, %rax\n"
    "movq %rcx, %r10\nshlq $3, %r10\nsubq %r10, %rsp\nandq $-16, %rsp\nmovq %rsp, llm_call_top(%rip)\n"
    "movq %rsp, %rdi\nmovq %rdx, %rsi\ncld\nrep movsq\n"
    "movups 72(%rax), %xmm0\nmovups 88(%rax), %xmm1\nmovups 104(%rax), %xmm2\nmovups 120(%rax), %xmm3\n"
    "movups 136(%rax), %xmm4\nmovups 152(%rax), %xmm5\nmovups 168(%rax), %xmm6\nmovups 184(%rax), %xmm7\n"
    "movq (%rax), %rdi\nmovq 8(%rax), %rsi\nmovq 16(%rax), %rdx\nmovq 24(%rax), %rcx\nmovq 32(%rax), %r8\nmovq 40(%rax), %r9\n"
    "movl $0x1b1b1b1b, %ebx\nmovl $0x2b2b2b2b, %ebp\nmovl $0x3c3c3c3c, %r12d\nmovl $0x3d3d3d3d, %r13d\nmovl $0x3e3e3e3e, %r14d\nmovl $0x3f3f3f3f, %r15d\n"
    "movabsq $0xa5a5a5a5a5a5a5a5, %rax\nxorl %r10d, %r10d\ncallq *%r11\n"
    "movq llm_call_out(%rip), %r11\nmovq %rax, 16(%r11)\nmovq %rdx, 24(%r11)\nmovq %rcx, 32(%r11)\n"
    "movups %xmm0, 80(%r11)\nmovups %xmm1, 96(%r11)\nmovups %xmm2, 112(%r11)\nmovups %xmm3, 128(%r11)\n"
    "xorl %eax, %eax\n"
    "cmpq $0x1b1b1b1b, %rbx\nje 1f\norl $1, %eax\n1: cmpq $0x2b2b2b2b, %rbp\nje 1f\norl $2, %eax\n"
    "1: cmpq $0x3c3c3c3c, %r12\nje 1f\norl $4, %eax\n1: cmpq $0x3d3d3d3d, %r13\nje 1f\norl $8, %eax\n"
    "1: cmpq $0x3e3e3e3e, %r14\nje 1f\norl $16, %eax\n1: cmpq $0x3f3f3f3f, %r15\nje 1f\norl $32, %eax\n"
    "1: cmpq llm_call_top(%rip), %rsp\nje 1f\norl $64, %eax\n1: movq %rax, 144(%r11)\n"
    "cld\nmovq llm_call_rsp(%rip), %rsp\npopq %r15\npopq %r14\npopq %r13\npopq %r12\npopq %rbp\npopq %rbx\nretq\nllm_call_end:\n"
    ".globl llm_call_end\n.globl llm_call_top\n.bss\n.p2align 3\nllm_call_rsp: .quad 0\nllm_call_out: .quad 0\nllm_call_top: .quad 0\nllm_stub_rsp: .quad 0\n.text\n");
extern u64 llm_call_top;
static u64 top_at_entry(void) { return llm_call_top; } /* above the return address */
const u64 llm_kept[] = {0x1b1b1b1b, 0x2b2b2b2b, 0x3c3c3c3c, 0x3d3d3d3d, 0x3e3e3e3e, 0x3f3f3f3f, 0};
static void make_stub(u8 *at, u32 id) {
    u64 handler = (u64)llm_stub;
    at[0] = 0x41; at[1] = 0xbb;
    for (int i = 0; i < 4; i++) at[2 + i] = (u8)(id >> 8 * i);
    at[6] = 0x49; at[7] = 0xba;
    for (int i = 0; i < 8; i++) at[8 + i] = (u8)(handler >> 8 * i);
    at[16] = 0x41; at[17] = 0xff; at[18] = 0xe2;
}
#else
__asm__(
    ".text\n.globl llm_stub\nllm_stub:\n"
    "adrp x17, llm_saved\nadd x17, x17, :lo12:llm_saved\n"
    "stp x0, x1, [x17]\nstp x2, x3, [x17, #16]\nstp x4, x5, [x17, #32]\nstp x6, x7, [x17, #48]\n"
    "stp q0, q1, [x17, #64]\nstp q2, q3, [x17, #96]\nstp q4, q5, [x17, #128]\nstp q6, q7, [x17, #160]\n"
    "mov x9, sp\nstr x9, [x17, #224]\n"
    "adrp x10, llm_stub_sp\nadd x10, x10, :lo12:llm_stub_sp\nstp x9, x30, [x10]\n"
    "adrp x9, llm_driver_stack\nadd x9, x9, :lo12:llm_driver_stack\nmov x10, #65536\nadd x9, x9, x10\nmov sp, x9\n"
    "mov x0, x16\nbl llm_record\n"
    "adrp x10, llm_stub_sp\nadd x10, x10, :lo12:llm_stub_sp\nldp x9, x30, [x10]\nmov sp, x9\n"
    "adrp x17, llm_saved\nadd x17, x17, :lo12:llm_saved\nldp x0, x1, [x17, #192]\nldr d0, [x17, #208]\n"
    "ldr x9, [x17, #216]\ncbz x9, 1f\nmov x30, x9\n1:\n"
    "movz x2, #0xdead, lsl #48\nmovk x2, #0xbeef, lsl #32\nmovk x2, #0x5c00, lsl #16\n"
    "add x3, x2, #1\nadd x4, x2, #2\nadd x5, x2, #3\nadd x6, x2, #4\nadd x7, x2, #5\nadd x8, x2, #6\nadd x9, x2, #7\n"
    "add x10, x2, #8\nadd x11, x2, #9\nadd x12, x2, #10\nadd x13, x2, #11\nadd x14, x2, #12\nadd x15, x2, #13\nadd x16, x2, #14\nadd x17, x2, #15\nadd x18, x2, #16\n"
    "fmov d1, x2\nfmov d2, x2\nfmov d3, x2\nfmov d4, x2\nfmov d5, x2\nfmov d6, x2\nfmov d7, x2\nfmov d16, x2\nfmov d17, x2\nfmov d18, x2\n"
    "fmov d19, x2\nfmov d20, x2\nfmov d21, x2\nfmov d22, x2\nfmov d23, x2\nfmov d24, x2\nfmov d25, x2\nfmov d26, x2\nfmov d27, x2\n"
    "fmov d28, x2\nfmov d29, x2\nfmov d30, x2\nfmov d31, x2\nret\n"
    ".globl llm_call\nllm_call:\n"
    "stp x29, x30, [sp, #-176]!\nstp x19, x20, [sp, #16]\nstp x21, x22, [sp, #32]\nstp x23, x24, [sp, #48]\n"
    "stp x25, x26, [sp, #64]\nstp x27, x28, [sp, #80]\nstp d8, d9, [sp, #96]\nstp d10, d11, [sp, #112]\n"
    "stp d12, d13, [sp, #128]\nstp d14, d15, [sp, #144]\n"
    "adrp x9, llm_call_sp\nadd x9, x9, :lo12:llm_call_sp\nmov x10, sp\nstp x10, x5, [x9]\n"
    "mov x16, x0\nmov x17, x1\nsub x4, x4, x3, lsl #3\nand x4, x4, #-16\nmov sp, x4\nstr x4, [x9, #16]\n"
    "1: cbz x3, 2f\nsub x3, x3, #1\nldr x10, [x2, x3, lsl #3]\nstr x10, [x4, x3, lsl #3]\nb 1b\n2:\n"
    "ldr x8, [x17, #64]\nldur q0, [x17, #72]\nldur q1, [x17, #88]\nldur q2, [x17, #104]\nldur q3, [x17, #120]\n"
    "ldur q4, [x17, #136]\nldur q5, [x17, #152]\nldur q6, [x17, #168]\nldur q7, [x17, #184]\n"
    "ldp x0, x1, [x17]\nldp x2, x3, [x17, #16]\nldp x4, x5, [x17, #32]\nldp x6, x7, [x17, #48]\n"
    "movz w19, #0x1919\nmovz w20, #0x2020\nmovz w21, #0x2121\nmovz w22, #0x2222\nmovz w23, #0x2323\nmovz w24, #0x2424\n"
    "movz w25, #0x2525\nmovz w26, #0x2626\nmovz w27, #0x2727\nmovz w28, #0x2828\nmovz w29, #0x2929\n"
    "fmov d8, x19\nfmov d9, x20\nfmov d10, x21\nfmov d11, x22\nfmov d12, x23\nfmov d13, x24\nfmov d14, x25\nfmov d15, x26\n"
    "mov x9, xzr\nmov x10, xzr\nmov x11, xzr\nmov x12, xzr\nmov x13, xzr\nmov x14, xzr\nmov x15, xzr\nblr x16\n"
    "adrp x9, llm_call_sp\nadd x9, x9, :lo12:llm_call_sp\nldp x10, x11, [x9]\n"
    "stp x0, x1, [x11, #16]\nstp x2, x3, [x11, #32]\nstp x4, x5, [x11, #48]\nstp x6, x7, [x11, #64]\n"
    "stp q0, q1, [x11, #80]\nstp q2, q3, [x11, #112]\n"
    "mov x12, xzr\nmovz w13, #0x1919\ncmp x19, x13\ncset x14, ne\norr x12, x12, x14\nmovz w13, #0x2020\ncmp x20, x13\ncset x14, ne\norr x12, x12, x14, lsl #1\n"
    "movz w13, #0x2121\ncmp x21, x13\ncset x14, ne\norr x12, x12, x14, lsl #2\nmovz w13, #0x2222\ncmp x22, x13\ncset x14, ne\norr x12, x12, x14, lsl #3\n"
    "movz w13, #0x2323\ncmp x23, x13\ncset x14, ne\norr x12, x12, x14, lsl #4\nmovz w13, #0x2424\ncmp x24, x13\ncset x14, ne\norr x12, x12, x14, lsl #5\n"
    "movz w13, #0x2525\ncmp x25, x13\ncset x14, ne\norr x12, x12, x14, lsl #6\nmovz w13, #0x2626\ncmp x26, x13\ncset x14, ne\norr x12, x12, x14, lsl #7\n"
    "movz w13, #0x2727\ncmp x27, x13\ncset x14, ne\norr x12, x12, x14, lsl #8\nmovz w13, #0x2828\ncmp x28, x13\ncset x14, ne\norr x12, x12, x14, lsl #9\n"
    "movz w13, #0x2929\ncmp x29, x13\ncset x14, ne\norr x12, x12, x14, lsl #10\nfmov x13, d8\n"
    "movz w15, #0x1919\ncmp x13, x15\ncset x14, ne\norr x12, x12, x14, lsl #11\nfmov x13, d9\nmovz w15, #0x2020\ncmp x13, x15\ncset x14, ne\norr x12, x12, x14, lsl #12\n"
    "ldr x13, [x9, #16]\nmov x14, sp\ncmp x13, x14\ncset x14, ne\norr x12, x12, x14, lsl #13\nstr x12, [x11, #144]\n"
    "mov sp, x10\nldp x19, x20, [sp, #16]\nldp x21, x22, [sp, #32]\nldp x23, x24, [sp, #48]\nldp x25, x26, [sp, #64]\nldp x27, x28, [sp, #80]\n"
    "ldp d8, d9, [sp, #96]\nldp d10, d11, [sp, #112]\nldp d12, d13, [sp, #128]\nldp d14, d15, [sp, #144]\nldp x29, x30, [sp], #176\nret\n.globl llm_call_end\nllm_call_end:\n"
    ".bss\n.p2align 3\n.globl llm_call_sp\nllm_call_sp: .zero 24\n.globl llm_stub_sp\nllm_stub_sp: .zero 16\n.text\n");
extern u64 llm_call_sp[3];
static u64 top_at_entry(void) { return llm_call_sp[2]; }
const u64 llm_kept[] = {0x1919, 0x2020, 0x2121, 0x2222, 0x2323, 0x2424, 0x2525, 0x2626, 0x2727, 0x2828, 0x2929, 0};
static void make_stub(u8 *at, u32 id) {
    u32 *code = (u32 *)at;
    code[0] = 0x52800010u | id << 5; /* mov w16, #id */
    code[1] = 0x58000071u;           /* ldr x17, .+12 */
    code[2] = 0xd61f0220u;           /* br x17 */
    code[3] = 0xd503201fu;
    *(u64 *)(code + 4) = (u64)llm_stub;
}
#endif

/* ---- what is there for real: the compiler makes and removes calls of these ---- */
#define REAL __attribute__((used, noinline))
REAL void *llm_memcpy(void *to, const void *from, u64 n) { for (u64 i = 0; i < n; i++) { ((volatile u8 *)to)[i] = ((const u8 *)from)[i]; } return to; }
REAL void *llm_memmove(void *to, const void *from, u64 n) {
    if ((u64)to - (u64)from >= n) return llm_memcpy(to, from, n);
    while (n--) ((volatile u8 *)to)[n] = ((const u8 *)from)[n];
    return to;
}
REAL void *llm_memset(void *to, int value, u64 n) { for (u64 i = 0; i < n; i++) { ((volatile u8 *)to)[i] = (u8)value; } return to; }
REAL int llm_memcmp(const void *a, const void *b, u64 n) {
    for (u64 i = 0; i < n; i++) if (((volatile u8 *)a)[i] != ((volatile u8 *)b)[i]) return ((u8 *)a)[i] < ((u8 *)b)[i] ? -1 : 1;
    return 0;
}
REAL u64 llm_strlen(const char *s) { u64 n = 0; while (((volatile const char *)s)[n]) { n++; } return n; }
REAL int llm_strcmp(const char *a, const char *b) {
    u64 i = 0;
    while (((volatile const char *)a)[i] && a[i] == b[i]) i++;
    return (u8)a[i] == (u8)b[i] ? 0 : (u8)a[i] < (u8)b[i] ? -1 : 1;
}
REAL int llm_strncmp(const char *a, const char *b, u64 n) {
    for (u64 i = 0; i < n; i++) { if ((u8)a[i] != (u8)b[i]) return (u8)a[i] < (u8)b[i] ? -1 : 1; if (!a[i]) break; }
    return 0;
}
REAL char *llm_strchr(const char *s, int c) {
    for (;; s++) { if (*(volatile const char *)s == (char)c) return (char *)s; if (!*s) return 0; }
}
REAL char *llm_strrchr(const char *s, int c) {
    const char *found = 0;
    for (;; s++) { if (*(volatile const char *)s == (char)c) found = s; if (!*s) return (char *)found; }
}
REAL void *llm_memchr(const void *s, int c, u64 n) {
    for (u64 i = 0; i < n; i++) if (((volatile u8 *)s)[i] == (u8)c) return (u8 *)s + i;
    return 0;
}
REAL char *llm_strcpy(char *to, const char *from) { u64 i = 0; do ((volatile char *)to)[i] = from[i]; while (from[i++]); return to; }
/* For the compiler's own use in this file. */
void *memcpy(void *to, const void *from, u64 n) { return llm_memcpy(to, from, n); }
void *memset(void *to, int value, u64 n) { return llm_memset(to, value, n); }

/* ---- one input ---- */
static struct registers in;
static u64 stack_words[64], replaces, variable_bytes;
static u8 *contents, *variable_contents, *before, *data_before, *stack;
/* What the child has begun, for the parent to see. */
static volatile u64 *input;

static void limit_time(void) {
    long timer[4] = {0, 0, (long)(settings.timeout_us / 1000000), (long)(settings.timeout_us % 1000000)};
    system3(SETITIMER, 1, timer, 0); /* of the processor's time: the machine may be busy */
}
static void confine(void) {
    u64 none[2] = {0, 0}, seconds[2] = {5, 5};
    limit_time();
    if (!settings.is_emulated) system3(SETRLIMIT, 0, seconds, 0); /* RLIMIT_CPU */
    system3(SETRLIMIT, 1, none, 0);    /* RLIMIT_FSIZE */
    system3(SETRLIMIT, 4, none, 0);    /* RLIMIT_CORE */
    system3(SETRLIMIT, 6, none, 0);    /* RLIMIT_NPROC */
    system3(SETRLIMIT, 7, none, 0);    /* RLIMIT_NOFILE */
    system6(PRCTL, 38, 1, 0, 0, 0, 0); /* no new privileges */
    if (!settings.is_emulated) system6(PRCTL, 22, 1, 0, 0, 0, 0); /* seccomp: read, write, exit */
}
static void read_input(void) {
    read_all(&in, sizeof in);
    read_all(stack_words, 8 * settings.num_stack_words);
    read_all(choices, sizeof choices);
    read_all(&replaces, 8);
    read_all(variable_contents, replaces ? variable_bytes : 0);
    read_all(contents, settings.arena_bytes);
    for (u64 i = 0; i < sizeof(struct report) / 8; i++) ((u64 *)report)[i] = 0;
    for (u64 i = 0; i < settings.coverage_bytes; i++) ((u8 *)settings.coverage)[i] = 0;
}
static void copy_words(void *to, const void *from, u64 bytes) {
    for (u64 i = 0; i < bytes / 8; i++) ((u64 *)to)[i] = from ? ((const u64 *)from)[i] : 0;
}
/* Fills memory as the input says; it is as the program began. */
static void set_memory(void) {
    for (u64 at = 0, from = 0; from < settings.arena_bytes; at += STRIDE, from += CONTENT)
        for (u64 to = BUFFER - CONTENT; to < buffer_bytes; to += CONTENT) {
            copy_words((u8 *)ARENA + at + to, contents + from, CONTENT);
            copy_words(before + at + to, contents + from, CONTENT);
        }
    u64 from = 0;
    for (u64 i = 0; replaces && i < settings.num_variables; i++) {
        llm_memcpy((void *)variables[i].address, variable_contents + from, variables[i].size);
        from += (variables[i].size + 7) & ~7ul;
    }
}
static void fill_stack(void) {
    for (u64 i = (STACK_BYTES - 0x8000) / 8; i < STACK_BYTES / 8; i++) ((u64 *)stack)[i] = 0xa5a5a5a5a5a5a5a5ul;
}
/* What the last input has left. */
static void restore_memory(void) {
    for (u64 at = 0; at < settings.arena_end; at += STRIDE) copy_words((u8 *)ARENA + at, 0, BUFFER - CONTENT);
    llm_memcpy((void *)settings.data_start, data_before, settings.data_end - settings.data_start);
    copy_words(stack, 0, STACK_BYTES - 0x8000);
    fill_stack();
    for (u64 i = 0; i < 256; i++) ordinals[i] = 0;
    thrown_before = 0;
}
static void run_one(void) {
    heap_next = settings.heap;
    llm_call(settings.entry, &in, stack_words, settings.num_stack_words, STACK + STACK_BYTES - 4096, report);
    for (int i = 0; i < 8; i++) report->integers[i] = canonical(report->integers[i]);
    finish(1, 0);
}
static void write_outcome(void) {
    u64 sizes[4] = {report->num_calls, report->num_changes, report->num_variable_words, settings.coverage_bytes};
    write_all(sizes, sizeof sizes);
    write_all(report, (u64)((u8 *)report->calls - (u8 *)report));
    write_all(report->calls, report->num_calls * CALL_WORDS * 8);
    write_all(changes, report->num_changes * 16 + report->num_variable_words * 8);
    write_all((void *)settings.coverage, settings.coverage_bytes);
}
/* In the child under an emulator: the next input, on a fresh stack. */
u64 llm_loop_stack[8192];
__attribute__((used)) void llm_loop(void) {
    if (*input == settings.num_inputs) leave(0);
    read_input();
    restore_memory();
    set_memory();
    limit_time();
    run_one();
}
static void begin_loop(void) {
    u64 top = (u64)(llm_loop_stack + 8192);
#if defined(__x86_64__)
    __asm__ volatile("movq %0, %%rsp\ncallq llm_loop\nud2" : : "r"(top) : "memory");
#else
    __asm__ volatile("mov sp, %0\nbl llm_loop\nbrk #0" : : "r"(top) : "memory");
#endif
    __builtin_unreachable();
}
static void next_input(void) {
    write_outcome();
    ++*input;
    begin_loop();
}

void llm_main(void) {
    read_all(&settings, sizeof settings);
    if (settings.magic != 0x6c6c6d2d65786531ul) leave(104);
    if (settings.num_stubs > 256 || settings.arena_bytes > 0x80000 || settings.num_stack_words > 64) leave(105);
    if (settings.num_repeats - 1 > 12) leave(110);
    buffer_bytes = BUFFER + CONTENT * (settings.num_repeats - 1);
    stubs = map(0, 4096 * 4, 0, 3);
    variables = map(0, 4096 * 4, 0, 3);
    sites = map(0, MAX_SITES * sizeof *sites, 0, 3);
    if (settings.num_variables > 1024) leave(106);
    if (settings.num_sites > MAX_SITES || settings.num_kinds > MAX_KINDS || settings.num_tables > MAX_TABLES) leave(109);
    read_all(stubs, settings.num_stubs * sizeof *stubs);
    read_all(variables, settings.num_variables * sizeof *variables);
    read_all(sites, settings.num_sites * sizeof *sites);
    read_all(tables, settings.num_tables * sizeof *tables);
    system3(MPROTECT, stubs, 4096 * 4, 1);
    system3(MPROTECT, variables, 4096 * 4, 1);
    system3(MPROTECT, sites, MAX_SITES * sizeof *sites, 1);
    for (u64 i = 0; i < settings.num_variables; i++) variable_bytes += (variables[i].size + 7) & ~7ul;
    /* Buffers with guard pages between them; behind them the contents as they were. */
    for (u64 at = 0; at < settings.arena_end; at += STRIDE) map(ARENA + at, buffer_bytes, 0, 3);
    before = map(ARENA + settings.arena_end, settings.arena_end, 0, 3);
    u8 *code = map(STUBS, 256 * STUB_BYTES, 0, 3);
    for (u32 i = 0; i < 256; i++) make_stub(code + i * STUB_BYTES, i);
    system3(MPROTECT, STUBS, 256 * STUB_BYTES, 5);
    stack = map(STACK, STACK_BYTES, 0, 3);
    fill_stack();
    report = map(0, SHARED_BYTES, 1, 3);
    changes = (u64 *)(report + 1);
    contents = map(0, 0x100000, 0, 3);
    variable_contents = map(0, 0x100000, 0, 3);
    input = map(0, 4096, 1, 3);
    data_before = map(0, (settings.data_end - settings.data_start + 4095) & ~4095ul, 0, 3);
    llm_memcpy(data_before, (void *)settings.data_start, settings.data_end - settings.data_start);
    u8 *thread = map(0, 8192, 0, 3);
    *(u64 *)(thread + 4096 + 40) = 0x5ca1ab1e00c0ffee; /* the stack protector's canary */
    *(u64 *)(thread + 4096) = (u64)thread + 4096;
#if defined(__x86_64__)
    system3(ARCH_PRCTL, 0x1002, thread + 4096, 0);
#else
    __asm__ volatile("msr tpidr_el0, %0" : : "r"(thread + 4096));
#endif
    if (variable_bytes > 0x100000) leave(107);
    if (settings.coverage) map(settings.coverage, 0x10000, 1, 3); /* its writers are children */
    watch_faults();
    for (; *input < settings.num_inputs; ++*input) {
        if (!settings.is_emulated) read_input();
        long child = fork_child();
        if (child < 0) leave(108);
        if (!child) {
            confine();
            if (settings.is_emulated) begin_loop();
            set_memory();
            run_one();
        }
        int status = 0;
        while (system6(WAIT4, child, (long)&status, 0, 0, 0, 0) < 0) {}
        if (*input == settings.num_inputs) break;
        if (status & 127) {
            int number = status & 127;
            report->kind = number == 26 || number == 24 ? 6 : 5;
            report->detail = (u64)number;
            report->num_changes = report->num_variable_words = 0;
        } else if (report->kind == 0) {
            report->kind = 5; /* left by a system call of its own */
            report->detail = 0;
        }
        write_outcome();
    }
    leave(0);
}
#if defined(__x86_64__)
__asm__(".text\n.globl _start\n_start:\nxorl %ebp, %ebp\nandq $-16, %rsp\ncallq llm_main\nhlt\n");
#else
__asm__(".text\n.globl _start\n_start:\nmov x29, xzr\nbl llm_main\nbrk #0\n");
#endif
