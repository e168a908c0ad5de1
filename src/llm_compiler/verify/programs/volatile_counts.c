/* Exercises: the number and order of volatile reads and writes, volatile in loops, dead-looking volatile stores, signals as observers. */
#include <inttypes.h>
#include <signal.h>
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


static volatile int port;
static volatile unsigned char registers[8];
static volatile sig_atomic_t observed;
static volatile int watched;

/* The handler sees the value that the code has stored by then. */
static void handler(int number) {
    (void)number;
    observed = observed * 10 + watched;
}

static void observe_stores(void) {
    watched = 1;
    raise(SIGUSR1);
    watched = 2;
    watched = 3;
    raise(SIGUSR1);
    for (int i = 4; i < 7; i++) {
        watched = i;
        raise(SIGUSR1);
    }
    watched = 0;
}

static int poll_port(int tries) {
    int changes = 0, last = port;
    for (int i = 0; i < tries; i++) {
        port = port + (i & 1);
        if (port != last) changes++;
        last = port;
    }
    return changes;
}

static unsigned toggle(void) {
    unsigned sum = 0;
    for (int i = 0; i < 8; i++) registers[i] = (unsigned char)(1u << i);
    registers[3] |= 1;
    registers[4] &= (unsigned char)~16;
    registers[5]++;
    registers[6] = registers[5];
    registers[7] ^= registers[0];
    for (int i = 0; i < 8; i++) sum = sum * 3 + registers[i];
    return sum;
}

static int read_twice(volatile int *p) { return *p + *p; }
static int unused_reads(volatile int *p) {
    (void)*p;
    *p;
    return (*p, *p * 2);
}

struct device {
    volatile uint32_t control;
    uint32_t plain;
    volatile uint32_t status[2];
};
static struct device device;

static uint32_t drive(int n) {
    for (int i = 0; i < n; i++) {
        device.control = (uint32_t)i;
        device.control |= 0x100;
        device.plain += device.control;
        device.status[i & 1] = device.plain - device.status[!(i & 1)];
    }
    return device.status[0] * 31 + device.status[1];
}

int main(void) {
    void (*previous)(int) = signal(SIGUSR1, handler);
    CHECK(previous != SIG_ERR);
    observe_stores();
    CHECK(observed == 13456);
    mix((uint64_t)observed);
    signal(SIGUSR1, SIG_DFL);

    for (int tries = 0; tries < 10; tries++) {
        port = tries;
        int changes = poll_port(tries);
        CHECK(changes == tries / 2 && port == tries + tries / 2);
        mix((uint64_t)changes);
    }
    unsigned sum = toggle();
    CHECK(registers[3] == 9 && registers[4] == 0 && registers[5] == 33 && registers[6] == 33 && registers[7] == 129);
    CHECK(sum == ((((((1 * 3 + 2) * 3 + 4) * 3 + 9) * 3 + 0) * 3 + 33) * 3 + 33) * 3 + 129);
    mix(sum);
    volatile int value = 21;
    CHECK(read_twice(&value) == 42 && unused_reads(&value) == 42);
    for (int n = 0; n < 12; n++) mix(drive(n));
    CHECK(device.control == 0x10a);
    volatile double real = 1.5;
    real *= real;
    real -= 0.25;
    CHECK(real == 2.0);
    volatile int64_t wide = INT64_MIN;
    wide++;
    wide--;
    CHECK(wide == INT64_MIN);
    const volatile int constant = 77;
    CHECK(constant - constant == 0 && constant == 77);
    return finish("volatile_counts", UINT64_C(0xb3ac1aa95e6f718d));
}
