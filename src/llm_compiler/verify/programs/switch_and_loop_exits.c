/* Exercises: loops left through switch cases and several exits with phi values, infinite loops with switches inside, unreachable defaults. */
#include <inttypes.h>
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


static int scan_number(const char *s, int *consumed) {
    int value = 0, sign = 1, seen = 0, i = 0;
    for (;;) {
        switch (s[i]) {
        case ' ':
            if (seen) goto done;
            break;
        case '-':
            if (seen) return *consumed = i, -1000;
            sign = -sign;
            break;
        case '0' ... '9':
            value = value * 10 + (s[i] - '0');
            seen = 1;
            if (value > 99999) {
                *consumed = i;
                return sign * 99999;
            }
            break;
        case '\0':
            if (!seen) return *consumed = -1, -2000;
            goto done;
        default:
            goto done;
        }
        i++;
    }
done:
    *consumed = i;
    return sign * value;
}

static int route(unsigned kind, int x) {
    switch (kind & 3) {
    case 0: x += 9; break;
    case 1: x -= 4; break;
    case 2: x *= 3; break;
    case 3: x /= 2; break;
    default: __builtin_unreachable();
    }
    return x;
}

int robot(const signed char *program, int n) {
    int x = 0, y = 0, heading = 0, fuel = 50, at = 0;
    while (fuel-- > 0) {
        if (at < 0 || at >= n) return 10000 + x * 100 + y;
        signed char op = program[at++];
        switch (op) {
        case 1:
            switch (heading) {
            case 0: y++; continue;
            case 1: x++; continue;
            case 2: y--; continue;
            case 3: x--; continue;
            }
            return -1;
        case 2: heading = (heading + 1) % 4; break;
        case 3: heading = (heading + 3) % 4; break;
        case 4:
            if (x < y) at += 2;
            else if (x == y) at--;
            else goto crash;
            if (x == y) heading = 2 - heading % 2;
            break;
        case -1: at = 0; fuel -= 3; break;
        case -2: return x * 100 + y;
        default: x += op; break;
        }
    }
    return 20000 + x * 100 + y;
crash:
    return -x * 100 - y;
}

int main(void) {
    static const char *const texts[] = {"42", "  -17x", "--5", "", "   ", "12-3", "123456789", "-9999999", "7 8", "x"};
    static const int values[] = {42, -17, 5, -2000, -2000, -1000, 99999, -99999, 7, 0};
    static const int ends[] = {2, 5, 3, -1, -1, 2, 5, 6, 1, 0};
    for (int i = 0; i < 10; i++) {
        int consumed = 77;
        CHECK(scan_number(texts[i], &consumed) == values[i]);
        CHECK(consumed == ends[i]);
    }
    for (unsigned kind = 0; kind < 9; kind++) mix((uint64_t)route(kind, (int)kind * 7 - 20));
    CHECK(route(0, 1) == 10 && route(1, 1) == -3 && route(2, 5) == 15 && route(7, -9) == -4);

    static const signed char programs[][10] = {
        {1, 1, 2, 1, -2}, {2, 1, 1, 4, 1, 1, -2}, {1, 4, 2, 2, 3, 1, -2}, {1, 2, 1, -1}, {3, 1, 2, 1, 1, 4, 9, 9, 1, -2},
        {1, 2, 1, 4, 1, -2}, {5, 2, 2, 1, -2}, {-7, 4, 3, 3, 1, 1, 1, 4, -1}};
    for (int p = 0; p < 8; p++)
        for (int n = 0; n <= 10; n++) mix((uint64_t)robot(programs[p], n));
    CHECK(robot(programs[0], 10) == 102 && robot(programs[0], 2) == 10002 && robot(programs[1], 10) == -200);
    CHECK(robot(programs[6], 10) == 499);
    return finish("switch_and_loop_exits", UINT64_C(0xb36c1b1da593e9f1));
}
