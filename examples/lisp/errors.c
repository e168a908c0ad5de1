/* SPDX-License-Identifier: Apache-2.0 */
/* Errors: raised as Lisp values, caught by traps that setjmp sets. */
#include "lisp.h"

#include <stdlib.h>
#include <string.h>

int eval_depth;

static ErrorTrap *innermost;
static Value raised = UNSPECIFIED;

void trap_enter(ErrorTrap *trap) {
    trap->outer = innermost;
    trap->roots = root_mark();
    trap->depth = eval_depth;
    innermost = trap;
}

void trap_leave(ErrorTrap *trap) { innermost = trap->outer; }

Value error_raised(void) { return raised; }

void errors_mark(void (*mark)(Value)) { mark(raised); }

void raise_value(Value v) {
    raised = v;
    if (!innermost) {
        fputs("lisp: an error with nothing to catch it: ", stderr);
        print_value(stderr, v, true);
        fputc('\n', stderr);
        exit(70);
    }
    ErrorTrap *trap = innermost;
    innermost = trap->outer;
    root_release(trap->roots);
    eval_depth = trap->depth;
    longjmp(trap->jump, 1);
}

static void make_room(void) {
    /* The root stack may be what is full; its top is about to be dropped anyway. */
    if (innermost) {
        root_release(innermost->roots);
    }
}

void fail(const char *message, Value irritant) {
    raised = irritant; /* keeps it alive while the error is made */
    make_room();
    Value irritants = irritant == UNBOUND ? NIL : cons(irritant, NIL);
    size_t base = root_push(irritants);
    Value text = make_string(message, strlen(message));
    Value error = make_error(text, irritants);
    root_release(base);
    raise_value(error);
}

void fail_type(const char *who, const char *expected, Value got) {
    char message[128];
    snprintf(message, sizeof message, "%s: expected %s, got", who, expected);
    fail(message, got);
}

void out_of_memory(void) {
    fputs("lisp: out of memory\n", stderr);
    exit(71);
}
