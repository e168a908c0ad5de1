/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: scripts, expressions, or an interactive session on the standard input. */
#include "lisp.h"

#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: lisp [--gc-stress] [-e EXPRESSION | SCRIPT | -]...\n"
    "Without scripts or expressions it reads, evaluates and prints what is typed.\n";

/* What is simpler said in the language itself. */
static const char prelude[] =
    "(define (list-index test list)"
    "  (let loop ((rest list) (i 0))"
    "    (cond ((null? rest) #f) ((test (car rest)) i) (else (loop (cdr rest) (+ i 1))))))"
    "(define (compose . procedures)"
    "  (lambda (x) (fold-right (lambda (procedure value) (procedure value)) x procedures)))"
    "(define (assert-equal expected got)"
    "  (unless (equal? expected got) (error \"assertion failed\" expected got)))"
    "(define-macro (while test . body)"
    "  (let ((loop (gensym)))"
    "    `(let ,loop () (when ,test ,@body (,loop)))))";

static void define_builtins(const Builtin *builtins) {
    for (; builtins->name; builtins++) {
        Value builtin = make_builtin(builtins);
        size_t base = root_push(builtin);
        define(intern(builtins->name), builtin, NIL);
        root_release(base);
    }
}

static void report(Value error) {
    fflush(stdout);
    fputs("error: ", stderr);
    if (has_type(error, TYPE_ERROR)) {
        print_value(stderr, object_of(error)->as.error.message, false);
        for (Value v = object_of(error)->as.error.irritants; is_pair(v); v = cdr(v)) {
            fputc(' ', stderr);
            print_value(stderr, car(v), true);
        }
    } else {
        print_value(stderr, error, true);
    }
    fputc('\n', stderr);
}

/* Evaluates all that the reader gives; false after an error. */
static bool run_reader(Reader *reader, bool print_results) {
    ErrorTrap trap;
    trap_enter(&trap);
    if (setjmp(trap.jump)) {
        report(error_raised());
        return false;
    }
    for (;;) {
        if (print_results) {
            fputs("> ", stdout);
            fflush(stdout);
        }
        Value expression = read_value(reader);
        if (expression == END_OF_FILE) {
            break;
        }
        Value result = eval(expression, NIL);
        if (print_results && result != UNSPECIFIED) {
            print_value(stdout, result, true);
            putchar('\n');
        }
    }
    trap_leave(&trap);
    return true;
}

static bool run_text(const char *text, bool print_results) {
    Reader reader;
    reader_from_text(&reader, text);
    bool good = run_reader(&reader, print_results);
    reader_close(&reader);
    return good;
}

static bool run_file(const char *path) {
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
    if (!file) {
        fprintf(stderr, "lisp: cannot open %s\n", path);
        return false;
    }
    Reader reader;
    reader_from_file(&reader, file);
    bool good = run_reader(&reader, false);
    reader_close(&reader);
    if (file != stdin) {
        fclose(file);
    }
    return good;
}

static void run_session(void) {
    Reader reader;
    reader_from_file(&reader, stdin);
    while (!run_reader(&reader, true)) {
        /* after an error: go on with the next expression */
    }
    putchar('\n');
    reader_close(&reader);
}

static void stop(void) {
    gc_stop();
    symbols_stop();
}

static bool run_arguments(int argc, char **argv) {
    bool any = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--gc-stress") == 0) {
            gc_stress = true;
        } else if (strcmp(argv[i], "-e") == 0 && i + 1 < argc) {
            any = true;
            if (!run_text(argv[++i], false)) {
                return false;
            }
        } else if (argv[i][0] == '-' && argv[i][1] != '\0') {
            fputs(usage, stderr);
            return false;
        } else {
            any = true;
            if (!run_file(argv[i])) {
                return false;
            }
        }
    }
    if (!any) {
        run_session();
    }
    return true;
}

int main(int argc, char **argv) {
    gc_start();
    symbols_start();
    atexit(stop);
    forms_start();
    define_builtins(number_builtins);
    define_builtins(string_builtins);
    define_builtins(list_builtins);
    define_builtins(core_builtins);
    bool good = run_text(prelude, false) && run_arguments(argc, argv);
    if (fflush(stdout) != 0) {
        fputs("lisp: cannot write the output\n", stderr);
        good = false;
    }
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
