/* SPDX-License-Identifier: Apache-2.0 */
/* Values as text: for people (display) or as the reader takes them (write). */
#include "lisp.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_NESTING = 1000 };

void buffer_add(Buffer *buffer, const char *data, size_t length) {
    if (buffer->capacity - buffer->length <= length) {
        size_t capacity = buffer->capacity ? buffer->capacity * 2 : 64;
        while (capacity - buffer->length <= length) {
            capacity *= 2;
        }
        char *bigger = realloc(buffer->data, capacity);
        if (!bigger) {
            out_of_memory();
        }
        buffer->data = bigger;
        buffer->capacity = capacity;
    }
    memcpy(buffer->data + buffer->length, data, length);
    buffer->length += length;
    buffer->data[buffer->length] = '\0';
}

void buffer_add_char(Buffer *buffer, char c) { buffer_add(buffer, &c, 1); }

void buffer_add_text(Buffer *buffer, const char *text) { buffer_add(buffer, text, strlen(text)); }

void buffer_free(Buffer *buffer) {
    free(buffer->data);
    *buffer = (Buffer){0};
}

static void print(Buffer *out, Value v, bool readable, int depth);

static void print_quoted(Buffer *out, const char *data, size_t length) {
    buffer_add_char(out, '"');
    for (size_t i = 0; i < length; i++) {
        switch (data[i]) {
        case '"':
        case '\\':
            buffer_add_char(out, '\\');
            buffer_add_char(out, data[i]);
            break;
        case '\n':
            buffer_add_text(out, "\\n");
            break;
        case '\t':
            buffer_add_text(out, "\\t");
            break;
        case '\r':
            buffer_add_text(out, "\\r");
            break;
        default:
            buffer_add_char(out, data[i]);
        }
    }
    buffer_add_char(out, '"');
}

static void print_char(Buffer *out, unsigned c, bool readable) {
    if (readable) {
        buffer_add_text(out, "#\\");
        if (c == ' ' || c == '\n' || c == '\t' || c == 0) {
            buffer_add_text(out, c == ' ' ? "space" : c == '\n' ? "newline" : c == '\t' ? "tab" : "null");
            return;
        }
    }
    buffer_add_char(out, (char)c);
}

/* 'x for (quote x), and so on. */
static const char *abbreviation(Value v) {
    static const char *const names[][2] = {
        {"quote", "'"}, {"quasiquote", "`"}, {"unquote", ","}, {"unquote-splicing", ",@"}};
    if (!is_symbol(car(v)) || !is_pair(cdr(v)) || cdr(cdr(v)) != NIL) {
        return NULL;
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(object_of(car(v))->as.text.data, names[i][0]) == 0) {
            return names[i][1];
        }
    }
    return NULL;
}

static void print_pair(Buffer *out, Value v, bool readable, int depth) {
    const char *prefix = abbreviation(v);
    if (prefix) {
        buffer_add_text(out, prefix);
        print(out, car(cdr(v)), readable, depth + 1);
        return;
    }
    buffer_add_char(out, '(');
    print(out, car(v), readable, depth + 1);
    for (v = cdr(v); is_pair(v); v = cdr(v)) {
        buffer_add_char(out, ' ');
        print(out, car(v), readable, depth + 1);
    }
    if (v != NIL) {
        buffer_add_text(out, " . ");
        print(out, v, readable, depth + 1);
    }
    buffer_add_char(out, ')');
}

static void print_named(Buffer *out, const char *what, const char *name) {
    buffer_add_text(out, "#<");
    buffer_add_text(out, what);
    if (name) {
        buffer_add_char(out, ' ');
        buffer_add_text(out, name);
    }
    buffer_add_char(out, '>');
}

static void print_object(Buffer *out, const Object *object, bool readable, int depth) {
    char number[48];
    switch ((Type)object->type) {
    case TYPE_PAIR:
        print_pair(out, (Value)object, readable, depth);
        break;
    case TYPE_SYMBOL:
        buffer_add(out, object->as.text.data, object->as.text.length);
        break;
    case TYPE_STRING:
        if (readable) {
            print_quoted(out, object->as.text.data, object->as.text.length);
        } else {
            buffer_add(out, object->as.text.data, object->as.text.length);
        }
        break;
    case TYPE_FLONUM:
        format_number((Value)object, 10, number, sizeof number);
        buffer_add_text(out, number);
        break;
    case TYPE_VECTOR:
        buffer_add_text(out, "#(");
        for (size_t i = 0; i < object->as.vector.length; i++) {
            if (i > 0) {
                buffer_add_char(out, ' ');
            }
            print(out, object->as.vector.items[i], readable, depth + 1);
        }
        buffer_add_char(out, ')');
        break;
    case TYPE_CLOSURE:
        print_named(out, object->is_macro ? "macro" : "procedure",
                    is_symbol(object->as.closure.name) ? object_of(object->as.closure.name)->as.text.data
                                                       : NULL);
        break;
    case TYPE_BUILTIN:
        print_named(out, "builtin", object->as.builtin->name);
        break;
    case TYPE_TABLE:
        snprintf(number, sizeof number, "%lu", (unsigned long)object->as.table->live);
        print_named(out, "hash-table", number);
        break;
    case TYPE_ERROR:
        buffer_add_text(out, "#<error ");
        print(out, object->as.error.message, true, depth + 1);
        for (Value v = object->as.error.irritants; is_pair(v); v = cdr(v)) {
            buffer_add_char(out, ' ');
            print(out, car(v), true, depth + 1);
        }
        buffer_add_char(out, '>');
        break;
    case TYPE_FRAME:
        print_named(out, "frame", NULL);
        break;
    case TYPE_FREE:
        print_named(out, "freed", NULL);
        break;
    }
}

static void print(Buffer *out, Value v, bool readable, int depth) {
    char number[80];
    if (depth > MAX_NESTING) {
        buffer_add_text(out, "...");
    } else if (is_object(v)) {
        print_object(out, object_of(v), readable, depth);
    } else if (is_fixnum(v)) {
        format_number(v, 10, number, sizeof number);
        buffer_add_text(out, number);
    } else if (is_char(v)) {
        print_char(out, char_of(v), readable);
    } else {
        buffer_add_text(out, v == NIL           ? "()"
                             : v == TRUE_VALUE  ? "#t"
                             : v == FALSE_VALUE ? "#f"
                             : v == END_OF_FILE ? "#<eof>"
                             : v == UNBOUND     ? "#<unbound>"
                                                : "#<unspecified>");
    }
}

void print_to_buffer(Buffer *buffer, Value v, bool readable) { print(buffer, v, readable, 0); }

void print_value(FILE *stream, Value v, bool readable) {
    Buffer buffer = {0};
    print(&buffer, v, readable, 0);
    if (buffer.length > 0) {
        fwrite(buffer.data, 1, buffer.length, stream);
    }
    buffer_free(&buffer);
}
