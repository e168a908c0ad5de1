/* Exercises: a recursive JSON-like parser over an arena, error positions, escapes, numbers, a printer that gives the text back. */
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


enum kind { NIL, BOOLEAN, NUMBER, STRING, LIST, OBJECT };
struct value {
    enum kind kind;
    const char *key;
    union { double number; const char *text; struct value *first; };
    struct value *next;
};
static char text_arena[1024];
static struct value arena[128];
static int arena_used, text_used, depth;
static const char *at, *error;

static struct value *parse(void);
static void blank(void) {
    while (*at == ' ' || *at == '\n') at++;
}
static struct value *fail(const char *why) {
    if (!error) error = why;
    return NULL;
}
static const char *parse_text(void) {
    char *out = text_arena + text_used, *p = out;
    for (at++; *at != '"'; at++) {
        char c = *at;
        if (c == '\0') return (const char *)fail("open string");
        if (c == '\\') {
            switch (*++at) {
            case 'n': c = '\n'; break;
            case 't': c = '\t'; break;
            case '"': case '\\': case '/': c = *at; break;
            default: return (const char *)fail("bad escape");
            }
        }
        *p++ = c;
    }
    at++;
    *p++ = '\0';
    text_used += (int)(p - out);
    return out;
}
static double parse_number(void) {
    double sign = 1, value = 0, scale = 1;
    if (*at == '-') sign = -1, at++;
    while (*at >= '0' && *at <= '9') value = value * 10 + (*at++ - '0');
    if (*at == '.')
        for (at++; *at >= '0' && *at <= '9'; at++) value = value * 10 + (*at - '0'), scale *= 10;
    if (*at == 'e') {
        int exponent = 0;
        for (at++; *at >= '0' && *at <= '9'; at++) exponent = exponent * 10 + (*at - '0');
        while (exponent-- > 0) value *= 10;
    }
    return sign * value / scale;
}
static struct value *members(struct value *v, char close) {
    struct value **link = &v->first;
    v->first = NULL;
    at++;
    blank();
    if (*at == close) return at++, v;
    for (;;) {
        const char *key = NULL;
        blank();
        if (close == '}') {
            if (*at != '"') return fail("key");
            if (!(key = parse_text())) return NULL;
            blank();
            if (*at++ != ':') return fail("colon");
        }
        if (!(*link = parse())) return NULL;
        (*link)->key = key;
        link = &(*link)->next;
        blank();
        if (*at == close) return at++, v;
        if (*at++ != ',') return fail("comma");
    }
}
static struct value *parse(void) {
    struct value *v = &arena[arena_used++], *result = v;
    memset(v, 0, sizeof *v);
    blank();
    if (++depth > 20) return fail("depth");
    switch (*at) {
    case '{': v->kind = OBJECT; result = members(v, '}'); break;
    case '[': v->kind = LIST; result = members(v, ']'); break;
    case '"':
        v->kind = STRING;
        if (!(v->text = parse_text())) result = NULL;
        break;
    case '-': case '0' ... '9': v->kind = NUMBER; v->number = parse_number(); break;
    case 't': case 'f':
        v->kind = BOOLEAN;
        v->number = *at == 't';
        if (strncmp(at, *at == 't' ? "true" : "false", *at == 't' ? 4 : 5) != 0) return fail("word");
        at += *at == 't' ? 4 : 5;
        break;
    case 'n':
        if (strncmp(at, "null", 4) != 0) return fail("word");
        at += 4;
        break;
    default: return fail("value");
    }
    depth--;
    return result;
}
static char *print(const struct value *v, char *out) {
    switch (v->kind) {
    case NIL: return out + sprintf(out, "null");
    case BOOLEAN: return out + sprintf(out, v->number != 0 ? "true" : "false");
    case NUMBER: return out + sprintf(out, "%.10g", v->number);
    case STRING: return out + sprintf(out, "\"%s\"", v->text);
    case LIST: case OBJECT: break;
    }
    *out++ = v->kind == LIST ? '[' : '{';
    for (const struct value *m = v->first; m; m = m->next) {
        if (m->key) out += sprintf(out, "\"%s\":", m->key);
        out = print(m, out);
        if (m->next) *out++ = ',';
    }
    *out++ = v->kind == LIST ? ']' : '}';
    *out = '\0';
    return out;
}
static const char *round_trip(const char *text) {
    static char out[512];
    arena_used = text_used = depth = 0;
    error = NULL;
    at = text;
    struct value *v = parse();
    blank();
    if (v && *at) fail("rest");
    if (error) {
        sprintf(out, "%s@%d", error, (int)(at - text));
        return out;
    }
    print(v, out);
    return out;
}

int main(void) {
    static const char *const cases[][2] = {
        {" [1, -2.5, 3e2, 0.125 ]", "[1,-2.5,300,0.125]"}, {"{}", "{}"}, {"[ ]", "[]"},
        {"{\"a\": {\"b\":[true,false,null]}, \"c\":\"x\\ny\"}", "{\"a\":{\"b\":[true,false,null]},\"c\":\"x\ny\"}"},
        {"[[[[1],2],3],[]]", "[[[[1],2],3],[]]"}, {"[1 2]", "comma@4"}, {"{\"a\" 1}", "colon@6"}, {"{a:1}", "key@1"},
        {"\"open", "open string@5"}, {"\"\\q\"", "bad escape@2"}, {"tru", "word@0"}, {"", "value@0"}, {"1 x", "rest@2"},
        {"[[[[[[[[[[[[[[[[[[[[[[1", "depth@20"}, {"-0.5e1", "-5"}, {"[19.99,90]", "[19.99,90]"}, {"2e9", "2000000000"}, {"[1,]", "value@3"}, {"\"\\\\\\/\\\"\\t\"", "\"\\/\"\t\""}};
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *got = round_trip(cases[i][0]);
        CHECK(strcmp(got, cases[i][1]) == 0);
        while (*got) mix((uint64_t)*got++);
        mix((uint64_t)(arena_used * 100 + text_used));
    }
    return finish("json_parser", UINT64_C(0x3f9c1896c07217f7));
}
