/* SPDX-License-Identifier: Apache-2.0 */
/* Text to values. */
#include "lisp.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NESTING = 2000 };

void reader_from_file(Reader *reader, FILE *file) { *reader = (Reader){.file = file, .line = 1}; }

void reader_from_text(Reader *reader, const char *text) { *reader = (Reader){.text = text, .line = 1}; }

void reader_close(Reader *reader) {
    free(reader->token);
    reader->token = NULL;
    reader->token_capacity = 0;
}

static int next_char(Reader *reader) {
    int c;
    if (reader->file) {
        c = fgetc(reader->file);
    } else {
        c = (unsigned char)*reader->text;
        if (c == 0) {
            return EOF;
        }
        reader->text++;
    }
    if (c == '\n') {
        reader->line++;
    }
    return c;
}

static void put_back(Reader *reader, int c) {
    if (c == EOF) {
        return;
    }
    if (c == '\n') {
        reader->line--;
    }
    if (reader->file) {
        ungetc(c, reader->file);
    } else {
        reader->text--;
    }
}

static _Noreturn void syntax_error(Reader *reader, const char *what) {
    char message[128];
    snprintf(message, sizeof message, "line %d: %s", reader->line, what);
    reader->depth = 0;
    fail(message, UNBOUND);
}

static void token_add(Reader *reader, int c) {
    if (reader->token_length + 1 >= reader->token_capacity) {
        size_t capacity = reader->token_capacity ? reader->token_capacity * 2 : 64;
        char *bigger = realloc(reader->token, capacity);
        if (!bigger) {
            out_of_memory();
        }
        reader->token = bigger;
        reader->token_capacity = capacity;
    }
    reader->token[reader->token_length++] = (char)c;
    reader->token[reader->token_length] = '\0';
}

static void skip_block_comment(Reader *reader) {
    int depth = 1;
    int previous = 0;
    while (depth > 0) {
        int c = next_char(reader);
        if (c == EOF) {
            syntax_error(reader, "a comment #| that does not end");
        }
        if (previous == '|' && c == '#') {
            depth--;
            c = 0;
        } else if (previous == '#' && c == '|') {
            depth++;
            c = 0;
        }
        previous = c;
    }
}

/* The next character that is not in white space or a comment; "#;" is left to read_hash. */
static int skip_space(Reader *reader) {
    for (;;) {
        int c = next_char(reader);
        if (c == ';') {
            while (c != '\n' && c != EOF) {
                c = next_char(reader);
            }
        } else if (c == '#') {
            int next = next_char(reader);
            if (next != '|') {
                put_back(reader, next);
                return c;
            }
            skip_block_comment(reader);
        } else if (c == EOF || !isspace(c)) {
            return c;
        }
    }
}

static bool ends_token(int c) { return c == EOF || isspace(c) || strchr("()\"';`,", c) != NULL; }

static void read_token(Reader *reader, int first) {
    reader->token_length = 0;
    token_add(reader, first);
    for (;;) {
        int c = next_char(reader);
        if (ends_token(c)) {
            put_back(reader, c);
            return;
        }
        token_add(reader, c);
    }
}

static Value read_string(Reader *reader) {
    reader->token_length = 0;
    for (;;) {
        int c = next_char(reader);
        if (c == '"') {
            break;
        }
        if (c == '\\') {
            c = next_char(reader);
            switch (c) {
            case 'n':
                c = '\n';
                break;
            case 't':
                c = '\t';
                break;
            case 'r':
                c = '\r';
                break;
            default:
                break;
            }
        }
        if (c == EOF) {
            syntax_error(reader, "a string that does not end");
        }
        token_add(reader, c);
    }
    return make_string(reader->token_length ? reader->token : "", reader->token_length);
}

static Value read_from(Reader *reader, int c);

static Value read_inner(Reader *reader) {
    Value v;
    do {
        int c = skip_space(reader);
        if (c == EOF) {
            syntax_error(reader, "the text ends too early");
        }
        v = read_from(reader, c);
    } while (v == UNBOUND);
    return v;
}

static Value read_list(Reader *reader) {
    ListBuilder list;
    list_start(&list);
    if (++reader->depth > MAX_NESTING) {
        syntax_error(reader, "lists are nested too deeply");
    }
    Value tail = NIL;
    for (;;) {
        int c = skip_space(reader);
        if (c == EOF) {
            syntax_error(reader, "a list that does not end");
        }
        if (c == ')') {
            break;
        }
        if (c == '.') {
            int next = next_char(reader);
            put_back(reader, next);
            if (ends_token(next)) {
                tail = read_inner(reader);
                if (skip_space(reader) != ')') {
                    syntax_error(reader, "more than one value behind a dot");
                }
                break;
            }
        }
        Value v = read_from(reader, c);
        if (v != UNBOUND) {
            list_add(&list, v);
        }
    }
    reader->depth--;
    return list_finish(&list, tail);
}

static Value read_char_name(Reader *reader) {
    static const struct {
        const char *name;
        char c;
    } names[] = {{"space", ' '}, {"newline", '\n'}, {"tab", '\t'}, {"null", '\0'}};
    int first = next_char(reader);
    if (first == EOF) {
        syntax_error(reader, "the text ends in a character");
    }
    read_token(reader, first);
    if (reader->token_length == 1) {
        return make_char((unsigned char)reader->token[0]);
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(reader->token, names[i].name) == 0) {
            return make_char((unsigned char)names[i].c);
        }
    }
    syntax_error(reader, "an unknown name of a character");
}

static Value list_to_vector(Value list) {
    size_t length = 0;
    for (Value v = list; is_pair(v); v = cdr(v)) {
        length++;
    }
    size_t base = root_push(list);
    Value vector = make_vector(length, NIL);
    for (size_t i = 0; i < length; i++, list = cdr(list)) {
        object_of(vector)->as.vector.items[i] = car(list);
    }
    root_release(base);
    return vector;
}

/* What begins with "#". A datum comment gives UNBOUND. */
static Value read_hash(Reader *reader) {
    int c = next_char(reader);
    if (c == '(') {
        return list_to_vector(read_list(reader));
    }
    if (c == '\\') {
        return read_char_name(reader);
    }
    if (c == ';') {
        read_inner(reader);
        return UNBOUND;
    }
    if (c == EOF) {
        syntax_error(reader, "the text ends behind #");
    }
    read_token(reader, c);
    if (strcmp(reader->token, "t") == 0 || strcmp(reader->token, "true") == 0) {
        return TRUE_VALUE;
    }
    if (strcmp(reader->token, "f") == 0 || strcmp(reader->token, "false") == 0) {
        return FALSE_VALUE;
    }
    Value number;
    int radix = c == 'x' ? 16 : c == 'b' ? 2 : c == 'o' ? 8 : 0;
    if (radix && parse_number(reader->token + 1, radix, &number)) {
        return number;
    }
    syntax_error(reader, "an unknown # syntax");
}

static Value read_prefixed(Reader *reader, const char *name) {
    if (++reader->depth > MAX_NESTING) {
        syntax_error(reader, "quotes are nested too deeply");
    }
    Value v = read_inner(reader);
    reader->depth--;
    Value rest = cons(v, NIL);
    size_t base = root_push(rest);
    Value symbol = intern(name);
    root_release(base);
    return cons(symbol, rest);
}

static Value read_from(Reader *reader, int c) {
    switch (c) {
    case '(':
        return read_list(reader);
    case ')':
        syntax_error(reader, "a ) too many");
    case '\'':
        return read_prefixed(reader, "quote");
    case '`':
        return read_prefixed(reader, "quasiquote");
    case ',': {
        int next = next_char(reader);
        if (next == '@') {
            return read_prefixed(reader, "unquote-splicing");
        }
        put_back(reader, next);
        return read_prefixed(reader, "unquote");
    }
    case '"':
        return read_string(reader);
    case '#':
        return read_hash(reader);
    default: {
        Value number;
        read_token(reader, c);
        if (parse_number(reader->token, 10, &number)) {
            return number;
        }
        return intern_length(reader->token, reader->token_length);
    }
    }
}

Value read_value(Reader *reader) {
    Value v;
    reader->depth = 0;
    do {
        int c = skip_space(reader);
        if (c == EOF) {
            return END_OF_FILE;
        }
        v = read_from(reader, c);
    } while (v == UNBOUND);
    return v;
}
