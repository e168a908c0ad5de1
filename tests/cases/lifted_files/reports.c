#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
struct value { int kind; volatile long count; void *data; };
struct report { char text[80]; int line, column; long position; };
struct reader { struct report *report; int line, column; long position; };
__attribute__((noinline)) static void destroy(struct value *v) { free(v->data); free(v); }
__attribute__((noinline)) static void drop(struct value *v) {
    if (v && v->count != -1 && __atomic_sub_fetch(&v->count, 1, __ATOMIC_SEQ_CST) == 0) destroy(v);
}
__attribute__((noinline)) void replace(struct value **slot, struct value *v) { struct value *old = *slot; *slot = v; drop(old); }
__attribute__((noinline)) static void vreport(struct report *r, int line, int column, long position, int code, const char *format, va_list rest) {
    if (!r) return;
    r->line = line; r->column = column; r->position = position;
    vsnprintf(r->text, sizeof r->text - 1, format, rest);
    r->text[sizeof r->text - 1] = (char)code;
}
__attribute__((noinline)) static void complain(struct reader *in, const char *source, int code, const char *format, ...) {
    va_list rest;
    va_start(rest, format);
    vreport(in->report, in->line, in->column, in->position, code, format, rest);
    if (in->report) in->report->text[0] = source[0];
    va_end(rest);
}
__attribute__((noinline)) static int same(const char *text, size_t size, const char *other) { return strlen(other) == size && !memcmp(text, other, size); }
__attribute__((noinline)) int parse(struct reader *in, const char *text, struct value **out) {
    if (same(text, 4, "true")) { complain(in, "<keyword>", 1, "unexpected '%s' after %d values", text, in->column); return -1; }
    if (!*text) { complain(in, "<end>", 2, "nothing in line %d", in->line); return -1; }
    struct value *v = malloc(sizeof *v);
    v->kind = *text; v->count = 1; v->data = malloc(strlen(text) + 1);
    strcpy(v->data, text);
    replace(out, v);
    return 0;
}
int main(void) {
    struct report report = {{0}};
    struct reader in = {&report, 3, 7, 1L << 33};
    struct value *v = 0;
    const char *texts[] = {"12", "x = 3.5", "true", ""};
    for (int i = 0; i < 4; i++) {
        int failed = parse(&in, texts[i], &v);
        printf("%d %s %s %d %d %ld %d\n", failed, (char *)v->data, report.text, report.line, report.column, report.position, report.text[79]);
    }
    v->count++;
    replace(&v, v); replace(&v, 0);
    puts(v ? "kept" : "gone");
    return 0;
}
