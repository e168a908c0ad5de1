/* Exercises: fallthrough, a switch around a loop body (jump into a loop), break against continue, nested switches. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>

static int failed_line;
static uint64_t digest = UINT64_C(0xcbf29ce484222325);

#define CHECK(condition) \
    do { \
        if (!(condition) && failed_line == 0) failed_line = __LINE__ < 255 ? __LINE__ : 255; \
    } while (0)

static void mix(uint64_t value) {
    digest = (digest ^ value) * UINT64_C(0x100000001b3);
    digest ^= digest >> 29;
}

static int finish(const char *name, uint64_t expected) {
    printf("%s %016" PRIx64 "\n", name, digest);
    CHECK(digest == expected);
    return failed_line;
}


static unsigned char buffer[64];

/* Unrolled copy that enters the loop in its middle. */
static void copy_unrolled(unsigned char *to, const unsigned char *from, int count) {
    int rounds = (count + 7) / 8;
    if (count <= 0) return;
    switch (count % 8) {
    case 0: do { *to++ = *from++; __attribute__((fallthrough));
    case 7: *to++ = *from++; __attribute__((fallthrough));
    case 6: *to++ = *from++; __attribute__((fallthrough));
    case 5: *to++ = *from++; __attribute__((fallthrough));
    case 4: *to++ = *from++; __attribute__((fallthrough));
    case 3: *to++ = *from++; __attribute__((fallthrough));
    case 2: *to++ = *from++; __attribute__((fallthrough));
    case 1: *to++ = *from++;
            } while (--rounds > 0);
    }
}

static int accumulate(int start) {
    int total = 0;
    switch (start) {
    default: total += 1000;
    /* fall through */
    case 5: total += 50;
    /* fall through */
    case 4: total *= 3;
    /* fall through */
    case 3: total -= 7; break;
    case 2: total = 222;
    /* fall through */
    case 1: total ^= 0x55;
    }
    return total;
}

int walk(const int *codes, int count, int *steps) {
    int state = 1;
    for (int i = 0; i < count; i++) {
        switch (codes[i]) {
        case 0: continue;
        case 1: state += 2; break;
        case 2:
            switch (state & 3) {
            case 0: state = state * 5 + 1; continue;
            case 1: state -= 3; break;
            default: state = -state;
            }
            break;
        case 3:
            for (int k = 0;; k++) {
                switch (k) {
                case 2: state ^= 8; continue;
                case 4: goto inner_done;
                default: state += k;
                }
            }
        inner_done:
            state *= state < 0 ? 1 : 2;
            break;
        case 9: return state;
        default: *steps += 100;
        }
        ++*steps;
    }
    return -state;
}

int main(void) {
    unsigned char source[64];
    for (int i = 0; i < 64; i++) source[i] = (unsigned char)(i * 37 + 11);
    for (int count = 0; count <= 40; count++) {
        for (int i = 0; i < 64; i++) buffer[i] = 0xee;
        copy_unrolled(buffer + 3, source, count);
        for (int i = 0; i < 64; i++) {
            int inside = i >= 3 && i < 3 + count;
            CHECK(buffer[i] == (inside ? source[i - 3] : 0xee));
        }
        mix(buffer[count + 2]);
    }

    static const int expected[] = {3143, 0x55, 222 ^ 0x55, -7, -7, 143, 3143};
    for (volatile int i = 0; i < 7; i++) CHECK(accumulate(i) == expected[i]);
    CHECK(accumulate(-1) == 3143);

    static const int codes[] = {0, 1, 2, 3, 7, 2, 1, 2, 3, 0, 2, 5, 3, 1, 1, 2, 2, 9, 1, 1};
    for (int count = 0; count <= 20; count++) {
        int steps = 0;
        int state = walk(codes, count, &steps);
        mix((uint64_t)state);
        mix((uint64_t)steps);
        if (count == 2) CHECK(state == -3 && steps == 1);
        if (count == 3) CHECK(state == 3 && steps == 2);
    }
    return finish("switch_fallthrough_in_loops", UINT64_C(0x306a7da5d5725f61));
}
