/* Exercises: arbitrary precision: add, subtract, multiply, divide by limb and by number, powers, decimal output, Fibonacci, factorial. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

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


enum { LIMBS = 24 };
struct big {
    uint32_t limb[LIMBS];
    int size;
};

static struct big from_small(uint32_t x) {
    struct big r = {{x}, x != 0};
    return r;
}
static void trim(struct big *a) {
    while (a->size > 0 && a->limb[a->size - 1] == 0) a->size--;
}
static int compare(const struct big *a, const struct big *b) {
    if (a->size != b->size) return a->size < b->size ? -1 : 1;
    for (int i = a->size - 1; i >= 0; i--)
        if (a->limb[i] != b->limb[i]) return a->limb[i] < b->limb[i] ? -1 : 1;
    return 0;
}
static struct big add(struct big a, const struct big *b) {
    uint64_t carry = 0;
    int n = a.size > b->size ? a.size : b->size;
    for (int i = 0; i < n || carry; i++) {
        carry += (uint64_t)a.limb[i] + b->limb[i];
        a.limb[i] = (uint32_t)carry;
        carry >>= 32;
        if (i >= a.size) a.size = i + 1;
    }
    return a;
}
static struct big subtract(struct big a, const struct big *b) {
    int64_t borrow = 0;
    for (int i = 0; i < a.size; i++) {
        borrow += (int64_t)a.limb[i] - b->limb[i];
        a.limb[i] = (uint32_t)borrow;
        borrow >>= 32;
    }
    trim(&a);
    return a;
}
struct big multiply(const struct big *a, const struct big *b) {
    struct big r = {{0}, a->size + b->size};
    for (int i = 0; i < a->size; i++) {
        uint64_t carry = 0;
        for (int j = 0; j < b->size || carry; j++) {
            carry += r.limb[i + j] + (uint64_t)a->limb[i] * (j < b->size ? b->limb[j] : 0);
            r.limb[i + j] = (uint32_t)carry;
            carry >>= 32;
        }
    }
    trim(&r);
    return r;
}
static uint32_t divide_small(struct big *a, uint32_t by) {
    uint64_t rest = 0;
    for (int i = a->size - 1; i >= 0; i--) {
        rest = rest << 32 | a->limb[i];
        a->limb[i] = (uint32_t)(rest / by);
        rest %= by;
    }
    trim(a);
    return (uint32_t)rest;
}
static struct big divide(const struct big *a, const struct big *b, struct big *rest) {
    struct big q = {{0}, a->size};
    memset(rest, 0, sizeof *rest);
    for (int bit = a->size * 32 - 1; bit >= 0; bit--) {
        *rest = add(*rest, rest);
        if (a->limb[bit / 32] >> bit % 32 & 1) {
            rest->limb[0] |= 1;
            if (rest->size == 0) rest->size = 1;
        }
        if (compare(rest, b) >= 0) {
            *rest = subtract(*rest, b);
            q.limb[bit / 32] |= 1u << bit % 32;
        }
    }
    trim(&q);
    return q;
}
static const char *decimal(struct big a, char *end) {
    *--end = '\0';
    do *--end = (char)('0' + divide_small(&a, 10));
    while (a.size > 0);
    return end;
}
static void mix_big(const struct big *a) {
    mix((uint64_t)a->size);
    for (int i = 0; i < a->size; i++) mix(a->limb[i]);
}

int main(void) {
    char text[256], *end = text + sizeof text;
    struct big f = from_small(1), a = from_small(0), b = from_small(1);
    for (uint32_t i = 2; i <= 30; i++) {
        struct big n = from_small(i);
        f = multiply(&f, &n);
        mix_big(&f);
    }
    CHECK(strcmp(decimal(f, end), "265252859812191058636308480000000") == 0);
    for (int i = 0; i < 200; i++) {
        struct big next = add(a, &b);
        a = b;
        b = next;
    }
    CHECK(strcmp(decimal(a, end), "280571172992510140037611932413038677189525") == 0);
    struct big two = from_small(2), power = from_small(1), one = from_small(1);
    for (int i = 0; i < 127; i++) power = multiply(&power, &two);
    power = subtract(power, &one);
    CHECK(strcmp(decimal(power, end), "170141183460469231731687303715884105727") == 0 && power.size == 4);
    static const uint32_t square[] = {1, 0, 0, 0, ~0u, ~0u, ~0u, 0x3fffffff}; /* 2^254 - 2^128 + 1 */
    struct big wide = multiply(&power, &power);
    CHECK(wide.size == 8 && memcmp(wide.limb, square, sizeof square) == 0);
    struct big rest, q = divide(&power, &a, &rest), zero = from_small(0);
    CHECK(compare(&q, &zero) == 0 && compare(&rest, &power) == 0 && strcmp(decimal(zero, end), "0") == 0);
    q = divide(&a, &f, &rest);
    mix_big(&q);
    mix_big(&rest);
    struct big back = multiply(&q, &f);
    back = add(back, &rest);
    CHECK(compare(&back, &a) == 0 && compare(&rest, &f) < 0 && compare(&a, &f) > 0);
    CHECK(divide_small(&f, 31) == 30); /* Wilson: 30! = -1 mod 31 */
    b = subtract(a, &a);
    CHECK(b.size == 0);
    return finish("big_number_arithmetic", UINT64_C(0x82617be8bdf3e67a));
}
