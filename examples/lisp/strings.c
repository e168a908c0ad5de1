/* SPDX-License-Identifier: Apache-2.0 */
/* Strings, characters and symbols. */
#include "lisp.h"

#include <ctype.h>
#include <string.h>

static Object *text_argument(const char *who, Value v) {
    if (!is_string(v)) {
        fail_type(who, "a string", v);
    }
    return object_of(v);
}

static int char_argument(const char *who, Value v) {
    if (!is_char(v)) {
        fail_type(who, "a character", v);
    }
    return (int)char_of(v);
}

/* The range that optional arguments give: argv[at] to argv[at + 1]. */
static void range_arguments(const char *who, int argc, const Value *argv, int at, size_t length,
                            size_t *from, size_t *to) {
    *to = argc > at + 1 ? index_argument(who, argv[at + 1], length) : length;
    *from = argc > at ? index_argument(who, argv[at], *to) : 0;
}

static size_t find_text(const Object *text, const Object *wanted, size_t from) {
    size_t length = wanted->as.text.length;
    for (; from + length <= text->as.text.length; from++) {
        if (memcmp(text->as.text.data + from, wanted->as.text.data, length) == 0) {
            return from;
        }
    }
    return SIZE_MAX;
}

static Value string_is_string(int argc, Value *argv) {
    (void)argc;
    return boolean(is_string(argv[0]));
}

static Value string_length(int argc, Value *argv) {
    (void)argc;
    return make_fixnum((int64_t)text_argument("string-length", argv[0])->as.text.length);
}

static Value string_ref(int argc, Value *argv) {
    (void)argc;
    const Object *text = text_argument("string-ref", argv[0]);
    size_t i = index_argument("string-ref", argv[1], text->as.text.length);
    if (i == text->as.text.length) {
        fail_type("string-ref", "an index in range", argv[1]);
    }
    return make_char((unsigned char)text->as.text.data[i]);
}

static Value string_make(int argc, Value *argv) {
    size_t length = index_argument("make-string", argv[0], (size_t)1 << 28);
    int fill = argc == 2 ? char_argument("make-string", argv[1]) : ' ';
    Value v = make_string(NULL, length);
    memset(object_of(v)->as.text.data, fill, length);
    return v;
}

static Value string_append(int argc, Value *argv) {
    size_t length = 0;
    for (int i = 0; i < argc; i++) {
        length += text_argument("string-append", argv[i])->as.text.length;
    }
    Value v = make_string(NULL, length);
    char *out = object_of(v)->as.text.data;
    for (int i = 0; i < argc; i++) {
        const Object *text = object_of(argv[i]);
        memcpy(out, text->as.text.data, text->as.text.length);
        out += text->as.text.length;
    }
    return v;
}

static Value string_substring(int argc, Value *argv) {
    const Object *text = text_argument("substring", argv[0]);
    size_t from, to;
    range_arguments("substring", argc, argv, 1, text->as.text.length, &from, &to);
    return make_string(text->as.text.data + from, to - from);
}

static Value string_to_list(int argc, Value *argv) {
    (void)argc;
    const Object *text = text_argument("string->list", argv[0]);
    Value list = NIL;
    for (size_t i = text->as.text.length; i > 0; i--) {
        list = cons(make_char((unsigned char)text->as.text.data[i - 1]), list);
    }
    return list;
}

static Value string_from_list(int argc, Value *argv) {
    (void)argc;
    size_t length = 0;
    for (Value v = argv[0]; is_pair(v); v = cdr(v), length++) {
        char_argument("list->string", car(v));
    }
    Value string = make_string(NULL, length);
    char *out = object_of(string)->as.text.data;
    for (Value v = argv[0]; is_pair(v); v = cdr(v)) {
        *out++ = (char)char_of(car(v));
    }
    return string;
}

static int compare_texts(const char *who, const Value *argv) {
    const Object *a = text_argument(who, argv[0]), *b = text_argument(who, argv[1]);
    size_t x = a->as.text.length, y = b->as.text.length;
    int order = memcmp(a->as.text.data, b->as.text.data, x < y ? x : y);
    return order ? order : (x > y) - (x < y);
}

static Value string_equal(int argc, Value *argv) {
    (void)argc;
    return boolean(compare_texts("string=?", argv) == 0);
}

static Value string_less(int argc, Value *argv) {
    (void)argc;
    return boolean(compare_texts("string<?", argv) < 0);
}

static Value map_characters(const char *who, Value v, int (*function)(int)) {
    const Object *text = text_argument(who, v);
    Value copy = make_string(text->as.text.data, text->as.text.length);
    char *data = object_of(copy)->as.text.data;
    for (size_t i = 0; i < text->as.text.length; i++) {
        data[i] = (char)function((unsigned char)data[i]);
    }
    return copy;
}

static Value string_upcase(int argc, Value *argv) {
    (void)argc;
    return map_characters("string-upcase", argv[0], toupper);
}

static Value string_downcase(int argc, Value *argv) {
    (void)argc;
    return map_characters("string-downcase", argv[0], tolower);
}

static Value string_trim(int argc, Value *argv) {
    (void)argc;
    const Object *text = text_argument("string-trim", argv[0]);
    const char *data = text->as.text.data;
    size_t from = 0, to = text->as.text.length;
    while (from < to && isspace((unsigned char)data[from])) {
        from++;
    }
    while (to > from && isspace((unsigned char)data[to - 1])) {
        to--;
    }
    return make_string(data + from, to - from);
}

static Value string_search(int argc, Value *argv) {
    const Object *text = text_argument("string-search", argv[0]);
    const Object *wanted = text_argument("string-search", argv[1]);
    size_t from = argc == 3 ? index_argument("string-search", argv[2], text->as.text.length) : 0;
    size_t found = find_text(text, wanted, from);
    return found == SIZE_MAX ? FALSE_VALUE : make_fixnum((int64_t)found);
}

static Value string_split(int argc, Value *argv) {
    (void)argc;
    const Object *text = text_argument("string-split", argv[0]);
    const Object *separator = text_argument("string-split", argv[1]);
    if (separator->as.text.length == 0) {
        fail_type("string-split", "a separator", argv[1]);
    }
    ListBuilder list;
    list_start(&list);
    for (size_t from = 0;;) {
        size_t end = find_text(text, separator, from);
        size_t to = end == SIZE_MAX ? text->as.text.length : end;
        list_add(&list, make_string(text->as.text.data + from, to - from));
        if (end == SIZE_MAX) {
            return list_finish(&list, NIL);
        }
        from = end + separator->as.text.length;
    }
}

static Value string_join(int argc, Value *argv) {
    (void)argc;
    const Object *separator = text_argument("string-join", argv[1]);
    for (Value v = argv[0]; is_pair(v); v = cdr(v)) {
        text_argument("string-join", car(v));
    }
    Buffer buffer = {0};
    for (Value v = argv[0]; is_pair(v); v = cdr(v)) {
        const Object *text = object_of(car(v));
        if (v != argv[0]) {
            buffer_add(&buffer, separator->as.text.data, separator->as.text.length);
        }
        buffer_add(&buffer, text->as.text.data, text->as.text.length);
    }
    Value result = make_string(buffer.data, buffer.length);
    buffer_free(&buffer);
    return result;
}

static Value string_to_symbol(int argc, Value *argv) {
    (void)argc;
    const Object *text = text_argument("string->symbol", argv[0]);
    return intern_length(text->as.text.data, text->as.text.length);
}

static Value symbol_to_string(int argc, Value *argv) {
    (void)argc;
    if (!is_symbol(argv[0])) {
        fail_type("symbol->string", "a symbol", argv[0]);
    }
    const Object *name = object_of(argv[0]);
    return make_string(name->as.text.data, name->as.text.length);
}

static Value symbol_is_symbol(int argc, Value *argv) {
    (void)argc;
    return boolean(is_symbol(argv[0]));
}

static Value char_is_char(int argc, Value *argv) {
    (void)argc;
    return boolean(is_char(argv[0]));
}

static Value char_to_integer(int argc, Value *argv) {
    (void)argc;
    return make_fixnum(char_argument("char->integer", argv[0]));
}

static Value char_from_integer(int argc, Value *argv) {
    (void)argc;
    return make_char((unsigned)index_argument("integer->char", argv[0], 255));
}

static Value char_upcase(int argc, Value *argv) {
    (void)argc;
    return make_char((unsigned)toupper(char_argument("char-upcase", argv[0])));
}

static Value char_is_alphabetic(int argc, Value *argv) {
    (void)argc;
    return boolean(isalpha(char_argument("char-alphabetic?", argv[0])) != 0);
}

static Value char_is_numeric(int argc, Value *argv) {
    (void)argc;
    return boolean(isdigit(char_argument("char-numeric?", argv[0])) != 0);
}

static Value char_is_whitespace(int argc, Value *argv) {
    (void)argc;
    return boolean(isspace(char_argument("char-whitespace?", argv[0])) != 0);
}

static Value char_less(int argc, Value *argv) {
    (void)argc;
    return boolean(char_argument("char<?", argv[0]) < char_argument("char<?", argv[1]));
}

const Builtin string_builtins[] = {
    {"string?", string_is_string, 1, 1},
    {"string-length", string_length, 1, 1},
    {"string-ref", string_ref, 2, 2},
    {"make-string", string_make, 1, 2},
    {"string-append", string_append, 0, -1},
    {"substring", string_substring, 2, 3},
    {"string->list", string_to_list, 1, 1},
    {"list->string", string_from_list, 1, 1},
    {"string=?", string_equal, 2, 2},
    {"string<?", string_less, 2, 2},
    {"string-upcase", string_upcase, 1, 1},
    {"string-downcase", string_downcase, 1, 1},
    {"string-trim", string_trim, 1, 1},
    {"string-search", string_search, 2, 3},
    {"string-split", string_split, 2, 2},
    {"string-join", string_join, 2, 2},
    {"string->symbol", string_to_symbol, 1, 1},
    {"symbol->string", symbol_to_string, 1, 1},
    {"symbol?", symbol_is_symbol, 1, 1},
    {"char?", char_is_char, 1, 1},
    {"char->integer", char_to_integer, 1, 1},
    {"integer->char", char_from_integer, 1, 1},
    {"char-upcase", char_upcase, 1, 1},
    {"char-alphabetic?", char_is_alphabetic, 1, 1},
    {"char-numeric?", char_is_numeric, 1, 1},
    {"char-whitespace?", char_is_whitespace, 1, 1},
    {"char<?", char_less, 2, 2},
    {NULL, NULL, 0, 0},
};
