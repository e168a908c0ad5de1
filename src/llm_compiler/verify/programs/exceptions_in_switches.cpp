/* Exercises: exceptions thrown and caught inside switches and loops with several exits, state kept across catches, cleanup with calls that throw. */
#include <cinttypes>
#include <cstdint>
#include <cstdio>

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


struct Stop { int at; };
struct Retry { int times; };
static int depth, cleanups;
struct Scope {
    int *slot;
    int saved;
    explicit Scope(int *s, int value) : slot(s), saved(*s) { *s = value; }
    ~Scope() { *slot = saved; cleanups++; }
};
__attribute__((noinline)) int operation(int code, int x) {
    Scope s(&depth, depth + 1);
    switch (code) {
    case 0: return x + depth;
    case 1: if (x > 5) throw Stop{x}; return x - 1;
    case 2: if (x % 3 == 0) throw Retry{2}; return x * 2;
    case 3: return operation(x & 1, x) + operation(2, x + 1);
    case 4: throw x;
    default: return code;
    }
}
static int interpret(const signed char *program, int n, int x) {
    int retries = 0, i = 0;
    while (true) {
        try {
            for (; i < n; i++) {
                switch (program[i]) {
                case -1: return x;
                case -2: i++; continue;
                case -3: if (x < 0) goto negative; break;
                case -4: i = -1; if (++retries > 3) throw "loop"; continue;
                default: x = operation(program[i], x);
                }
                if (x > 100) break;
            }
            return x * 10 + retries;
        } catch (const Retry &r) {
            if ((retries += r.times) > 5) return -retries;
            x++;
        } catch (const Stop &s) {
            x = s.at - 4;
            i++;
        } catch (int value) {
            if (value == 7) throw;
            x = -value;
            i += 2;
        }
    }
negative:
    return -1000 + x;
}
static int outer(const signed char *program, int n, int x) {
    try {
        return interpret(program, n, x);
    } catch (const char *text) {
        return text[0] * 100;
    } catch (int v) {
        return v * 1000;
    }
}

int main() {
    static const signed char programs[][8] = {{0, 1, 2, 3, -1}, {1, 1, 4, 0, -3, 2, 0}, {-2, 4, 0, 0, 2, 1, 3}, {2, 2, 2, 2, -4}, {3, 3, 9, 0, 1, -4}, {4, -1}, {1, -3, -4}};
    for (const auto &program : programs)
        for (int n = 0; n <= 8; n++)
            for (int x = -3; x < 10; x++) {
                mix(uint64_t(outer(program, n, x)));
                CHECK(depth == 0);
            }
    mix(uint64_t(cleanups));
    CHECK(outer(programs[5], 2, 7) == 7000 && outer(programs[5], 2, 3) == -30 && outer(programs[5], 2, 0) == 0);
    CHECK(outer(programs[6], 3, 1) == -1001);
    CHECK(outer(programs[0], 1, 4) == 50 && outer(programs[1], 1, 9) == 50 && outer(programs[3], 1, 3) == 82);
    bool caught = false;
    try {
        operation(3, 5);
    } catch (const Retry &r) {
        caught = r.times == 2;
    }
    CHECK(caught && depth == 0 && operation(0, 5) == 6 && operation(3, 1) == 4);
    return finish("exceptions_in_switches", UINT64_C(0xa3e637ada4bf01a4));
}
