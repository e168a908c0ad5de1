/* SPDX-License-Identifier: Apache-2.0 */
/* Builtins for equality, control, errors, text output and the collector. */
#include "lisp.h"

#include <stdlib.h>

static Value core_is_eqv(int argc, Value *argv) {
    (void)argc;
    return boolean(is_eqv(argv[0], argv[1]));
}

static Value core_is_equal(int argc, Value *argv) {
    (void)argc;
    return boolean(is_equal(argv[0], argv[1]));
}

static Value core_not(int argc, Value *argv) {
    (void)argc;
    return boolean(!is_true(argv[0]));
}

static Value core_is_boolean(int argc, Value *argv) {
    (void)argc;
    return boolean(argv[0] == TRUE_VALUE || argv[0] == FALSE_VALUE);
}

static Value core_is_procedure(int argc, Value *argv) {
    (void)argc;
    return boolean(is_procedure(argv[0]));
}

static Value core_eval(int argc, Value *argv) {
    (void)argc;
    return eval(argv[0], NIL);
}

static Value core_error(int argc, Value *argv) {
    Value irritants = NIL;
    for (int i = argc - 1; i > 0; i--) {
        irritants = cons(argv[i], irritants);
    }
    raise_value(make_error(argv[0], irritants));
}

static Value core_raise(int argc, Value *argv) {
    (void)argc;
    raise_value(argv[0]);
}

static Value core_is_error(int argc, Value *argv) {
    (void)argc;
    return boolean(has_type(argv[0], TYPE_ERROR));
}

static const Object *error_argument(const char *who, Value v) {
    if (!has_type(v, TYPE_ERROR)) {
        fail_type(who, "an error", v);
    }
    return object_of(v);
}

static Value core_error_message(int argc, Value *argv) {
    (void)argc;
    return error_argument("error-message", argv[0])->as.error.message;
}

static Value core_error_irritants(int argc, Value *argv) {
    (void)argc;
    return error_argument("error-irritants", argv[0])->as.error.irritants;
}

static Value core_display(int argc, Value *argv) {
    for (int i = 0; i < argc; i++) {
        print_value(stdout, argv[i], false);
    }
    return UNSPECIFIED;
}

static Value core_write(int argc, Value *argv) {
    (void)argc;
    print_value(stdout, argv[0], true);
    return UNSPECIFIED;
}

static Value core_newline(int argc, Value *argv) {
    (void)argc;
    (void)argv;
    putchar('\n');
    return UNSPECIFIED;
}

static Value core_write_to_string(int argc, Value *argv) {
    (void)argc;
    Buffer buffer = {0};
    print_to_buffer(&buffer, argv[0], true);
    Value text = make_string(buffer.data, buffer.length);
    buffer_free(&buffer);
    return text;
}

/* Frees the reader's token even where the text is wrong. */
static Value core_read_from_string(int argc, Value *argv) {
    (void)argc;
    if (!is_string(argv[0])) {
        fail_type("read-from-string", "a string", argv[0]);
    }
    static Reader reader;
    ErrorTrap trap;
    reader_from_text(&reader, object_of(argv[0])->as.text.data);
    trap_enter(&trap);
    if (setjmp(trap.jump)) {
        reader_close(&reader);
        raise_value(error_raised());
    }
    Value v = read_value(&reader);
    trap_leave(&trap);
    reader_close(&reader);
    return v;
}

static Value core_gensym(int argc, Value *argv) {
    (void)argc;
    (void)argv;
    static unsigned long counter;
    char name[32];
    int length = snprintf(name, sizeof name, "%%g%lu", ++counter);
    return intern_length(name, (size_t)length);
}

static Value core_gc(int argc, Value *argv) {
    (void)argc;
    (void)argv;
    gc_collect();
    return make_fixnum((int64_t)gc_stats().live_cells);
}

static Value core_gc_count(int argc, Value *argv) {
    (void)argc;
    (void)argv;
    return make_fixnum((int64_t)gc_stats().collections);
}

static Value core_exit(int argc, Value *argv) {
    int status = argc == 1 ? (int)(integer_argument("exit", argv[0]) & 0xff) : 0;
    fflush(stdout);
    exit(status);
}

const Builtin core_builtins[] = {
    {"eq?", core_is_eqv, 2, 2},
    {"eqv?", core_is_eqv, 2, 2},
    {"equal?", core_is_equal, 2, 2},
    {"not", core_not, 1, 1},
    {"boolean?", core_is_boolean, 1, 1},
    {"procedure?", core_is_procedure, 1, 1},
    {"apply", builtin_apply, 2, -1},
    {"eval", core_eval, 1, 1},
    {"error", core_error, 1, -1},
    {"raise", core_raise, 1, 1},
    {"error?", core_is_error, 1, 1},
    {"error-message", core_error_message, 1, 1},
    {"error-irritants", core_error_irritants, 1, 1},
    {"display", core_display, 0, -1},
    {"write", core_write, 1, 1},
    {"newline", core_newline, 0, 0},
    {"write-to-string", core_write_to_string, 1, 1},
    {"read-from-string", core_read_from_string, 1, 1},
    {"gensym", core_gensym, 0, 0},
    {"gc", core_gc, 0, 0},
    {"gc-count", core_gc_count, 0, 0},
    {"exit", core_exit, 0, 1},
    {NULL, NULL, 0, 0},
};
