/* Exercises: nested switches in a loop as a tokenizer state machine with a state on an enum, many edges, shared exits. */
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


enum state { START, NUMBER, FRACTION, WORD, TEXT, ESCAPE, COMMENT, FAILED };
enum { COUNT_NUMBER, COUNT_REAL, COUNT_WORD, COUNT_TEXT, COUNT_SIGN, COUNT_COMMENT, COUNTS };

static enum state step(enum state state, int c, int counts[COUNTS]) {
    switch (state) {
    case START:
        switch (c) {
        case ' ': case '\n': case '\0': return START;
        case '0' ... '9': return NUMBER;
        case 'a' ... 'z': case 'A' ... 'Z': case '_': return WORD;
        case '"': return TEXT;
        case '#': return COMMENT;
        case '+': case '-': case '*': case '/': counts[COUNT_SIGN]++; return START;
        default: return FAILED;
        }
    case NUMBER:
        switch (c) {
        case '0' ... '9': return NUMBER;
        case '.': return FRACTION;
        default: counts[COUNT_NUMBER]++; return step(START, c, counts);
        }
    case FRACTION:
        if (c >= '0' && c <= '9') return FRACTION;
        counts[COUNT_REAL]++;
        return step(START, c, counts);
    case WORD:
        switch (c) {
        case 'a' ... 'z': case 'A' ... 'Z': case '0' ... '9': case '_': return WORD;
        }
        counts[COUNT_WORD]++;
        return step(START, c, counts);
    case TEXT:
        if (c == '\\') return ESCAPE;
        if (c == '"') {
            counts[COUNT_TEXT]++;
            return START;
        }
        return c == '\0' ? FAILED : TEXT;
    case ESCAPE: return c == 'n' || c == '"' || c == '\\' ? TEXT : FAILED;
    case COMMENT:
        if (c != '\n') return c ? COMMENT : START;
        counts[COUNT_COMMENT]++;
        return START;
    case FAILED: break;
    }
    return FAILED;
}

static enum state scan(const char *text, int counts[COUNTS]) {
    enum state state = START;
    memset(counts, 0, COUNTS * sizeof *counts);
    for (;; text++) {
        state = step(state, *text, counts);
        mix((uint64_t)state);
        if (state == FAILED || *text == '\0') return state;
    }
}

int main(void) {
    int counts[COUNTS];
    CHECK(scan("alpha 12 3.5 beta_2 + 7*x1 # note\n\"a\\\"b\" \"\" -1.25.", counts) == FAILED);
    CHECK(counts[COUNT_NUMBER] == 2 && counts[COUNT_REAL] == 2 && counts[COUNT_WORD] == 3);
    CHECK(counts[COUNT_TEXT] == 2 && counts[COUNT_SIGN] == 3 && counts[COUNT_COMMENT] == 1);
    CHECK(scan("a-b/9.0", counts) == START);
    CHECK(counts[COUNT_WORD] == 2 && counts[COUNT_SIGN] == 2 && counts[COUNT_REAL] == 1);
    CHECK(scan("\"open", counts) == FAILED);
    CHECK(scan("\"bad \\q\"", counts) == FAILED);
    CHECK(scan("", counts) == START);
    CHECK(scan("Zz_9@", counts) == FAILED && counts[COUNT_WORD] == 1);
    CHECK(scan("# to the end", counts) == START && counts[COUNT_COMMENT] == 0);
    for (int i = 0; i < COUNTS; i++) mix((uint64_t)counts[i]);
    return finish("switch_state_machine", UINT64_C(0x7b299974c594539e));
}
