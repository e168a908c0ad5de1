/* SPDX-License-Identifier: Apache-2.0 */
/* The evaluator: special forms, procedure calls, macros; calls in tail position take no stack. */
#include "lisp.h"

enum { MAX_DEPTH = 10000 };

/* Interned once; the symbol table keeps them alive. */
static Value symbol_else, symbol_arrow, symbol_unquote, symbol_splicing, symbol_quasiquote;

/* An evaluation in progress: two roots, which a tail call replaces. */
typedef struct {
    Value *expression;
    Value *frame;
    Value result;
} State;

typedef bool (*FormFunction)(State *state, Value arguments); /* true: evaluate *expression next */

static Value evaluate(size_t base);

static bool finish(State *state, Value result) {
    state->result = result;
    return false;
}

static bool tail(State *state, Value expression) {
    *state->expression = expression;
    return true;
}

static Value first(Value list) {
    if (!is_pair(list)) {
        fail("bad syntax: a part is missing", UNBOUND);
    }
    return car(list);
}

static Value rest(Value list) {
    first(list);
    return cdr(list);
}

static Value variable(Value v) {
    if (!is_symbol(v)) {
        fail("bad syntax: expected a name, got", v);
    }
    return v;
}

static bool run_body(State *state, Value body) {
    if (!is_pair(body)) {
        return finish(state, UNSPECIFIED);
    }
    size_t base = root_push(body);
    for (; is_pair(cdr(body)); body = cdr(body)) {
        eval(car(body), *state->frame);
    }
    root_release(base);
    return tail(state, car(body));
}

/* calls ---------------------------------------------------------------------------------------- */

static Value bind_arguments(Value closure, int argc, const Value *argv) {
    Value frame = make_frame(object_of(closure)->as.closure.frame, (uint32_t)argc + 1);
    size_t base = root_push(frame);
    Value parameters = car(object_of(closure)->as.closure.code);
    Binding *slots = object_of(frame)->as.frame.slots;
    uint32_t count = 0;
    for (; is_pair(parameters); parameters = cdr(parameters)) {
        if ((int)count == argc) {
            fail("too few arguments for", closure);
        }
        slots[count] = (Binding){car(parameters), argv[count]};
        object_of(frame)->as.frame.count = ++count;
    }
    if (parameters != NIL) {
        Value list = NIL;
        for (int i = argc; i > (int)count; i--) {
            list = cons(argv[i - 1], list);
        }
        define(parameters, list, frame);
    } else if ((int)count < argc) {
        fail("too many arguments for", closure);
    }
    root_release(base);
    return frame;
}

/* `(apply f a b '(c d))`: makes the roots look like a call of f with a b c d. */
static int spread_arguments(size_t callee, int argc) {
    size_t end = callee + (size_t)argc;
    Value list = *root_at(end);
    for (size_t i = callee; i + 1 < end; i++) {
        *root_at(i) = *root_at(i + 1);
    }
    root_release(end - 1);
    int count = argc - 2;
    for (; is_pair(list); list = cdr(list), count++) {
        root_push(car(list));
    }
    return count;
}

/* The procedure is the root at `callee`, its arguments are the roots behind it. */
static bool run_call(State *state, size_t callee, int argc) {
    for (;;) {
        Value procedure = *root_at(callee);
        if (has_type(procedure, TYPE_CLOSURE)) {
            *state->frame = bind_arguments(procedure, argc, root_at(callee + 1));
            root_release(callee);
            return run_body(state, cdr(object_of(procedure)->as.closure.code));
        }
        if (!has_type(procedure, TYPE_BUILTIN)) {
            fail("not a procedure", procedure);
        }
        const Builtin *builtin = object_of(procedure)->as.builtin;
        if (argc < builtin->min_args || (builtin->max_args >= 0 && argc > builtin->max_args)) {
            fail("wrong number of arguments for", procedure);
        }
        if (builtin->function != builtin_apply) {
            Value result = builtin->function(argc, root_at(callee + 1));
            root_release(callee);
            return finish(state, result);
        }
        argc = spread_arguments(callee, argc);
    }
}

/* Only a name for `apply`: run_call never calls it, so that its calls can be tail calls. */
Value builtin_apply(int argc, Value *argv) {
    (void)argc;
    fail("apply: cannot be called directly", argv[0]);
}

Value apply(Value procedure, int argc, const Value *argv) {
    size_t base = root_push(NIL);
    root_push(NIL);
    size_t callee = root_push(procedure);
    for (int i = 0; i < argc; i++) {
        root_push(argv[i]);
    }
    State state = {root_at(base), root_at(base + 1), UNSPECIFIED};
    Value result = run_call(&state, callee, argc) ? evaluate(base) : state.result;
    root_release(base);
    return result;
}

static Value expand_macro(Value macro, Value arguments) {
    size_t base = root_push(macro);
    int argc = 0;
    for (; is_pair(arguments); arguments = cdr(arguments), argc++) {
        root_push(car(arguments));
    }
    Value result = apply(macro, argc, root_at(base + 1));
    root_release(base);
    return result;
}

/* special forms -------------------------------------------------------------------------------- */

static bool form_quote(State *state, Value arguments) { return finish(state, first(arguments)); }

static Value quasi(Value template, Value frame, int level) {
    if (!is_pair(template)) {
        return template;
    }
    Value head = car(template);
    if (head == symbol_unquote && level == 1) {
        return eval(first(cdr(template)), frame);
    }
    if (is_pair(head) && car(head) == symbol_splicing && level == 1) {
        ListBuilder list;
        list_start(&list);
        Value v = eval(first(cdr(head)), frame);
        size_t base = root_push(v);
        for (; is_pair(v); v = cdr(v)) {
            list_add(&list, car(v));
        }
        root_release(base);
        return list_finish(&list, quasi(cdr(template), frame, level));
    }
    level += head == symbol_quasiquote ? 1 : head == symbol_unquote ? -1 : 0;
    size_t base = root_push(quasi(head, frame, level));
    Value end = quasi(cdr(template), frame, level);
    Value result = cons(*root_at(base), end);
    root_release(base);
    return result;
}

static bool form_quasiquote(State *state, Value arguments) {
    return finish(state, quasi(first(arguments), *state->frame, 1));
}

static bool form_if(State *state, Value arguments) {
    Value branches = rest(arguments);
    if (is_true(eval(car(arguments), *state->frame))) {
        return tail(state, first(branches));
    }
    branches = rest(branches);
    return is_pair(branches) ? tail(state, car(branches)) : finish(state, UNSPECIFIED);
}

static bool run_clauses(State *state, Value clauses, bool *matched) {
    *matched = true;
    for (; is_pair(clauses); clauses = cdr(clauses)) {
        Value clause = car(clauses);
        if (first(clause) == symbol_else) {
            return run_body(state, cdr(clause));
        }
        Value test = eval(car(clause), *state->frame);
        if (!is_true(test)) {
            continue;
        }
        if (!is_pair(cdr(clause))) {
            return finish(state, test);
        }
        if (car(cdr(clause)) != symbol_arrow) {
            return run_body(state, cdr(clause));
        }
        size_t base = root_push(test);
        Value receiver = eval(first(cdr(cdr(clause))), *state->frame);
        Value result = apply(receiver, 1, root_at(base));
        root_release(base);
        return finish(state, result);
    }
    *matched = false;
    return finish(state, UNSPECIFIED);
}

static bool form_cond(State *state, Value arguments) {
    bool matched;
    return run_clauses(state, arguments, &matched);
}

static bool form_case(State *state, Value arguments) {
    Value key = eval(first(arguments), *state->frame);
    for (Value clauses = cdr(arguments); is_pair(clauses); clauses = cdr(clauses)) {
        Value clause = car(clauses);
        Value datums = first(clause);
        if (datums == symbol_else) {
            return run_body(state, cdr(clause));
        }
        for (; is_pair(datums); datums = cdr(datums)) {
            if (is_eqv(car(datums), key)) {
                return run_body(state, cdr(clause));
            }
        }
    }
    return finish(state, UNSPECIFIED);
}

static bool and_or(State *state, Value arguments, bool stop_at) {
    if (!is_pair(arguments)) {
        return finish(state, boolean(!stop_at));
    }
    for (; is_pair(cdr(arguments)); arguments = cdr(arguments)) {
        Value v = eval(car(arguments), *state->frame);
        if (is_true(v) == stop_at) {
            return finish(state, v);
        }
    }
    return tail(state, car(arguments));
}

static bool form_and(State *state, Value arguments) { return and_or(state, arguments, false); }

static bool form_or(State *state, Value arguments) { return and_or(state, arguments, true); }

static bool form_when(State *state, Value arguments) {
    return is_true(eval(first(arguments), *state->frame)) ? run_body(state, cdr(arguments))
                                                          : finish(state, UNSPECIFIED);
}

static bool form_unless(State *state, Value arguments) {
    return is_true(eval(first(arguments), *state->frame)) ? finish(state, UNSPECIFIED)
                                                          : run_body(state, cdr(arguments));
}

/* (let name ((variable value) ...) body ...): a procedure that sees its own name, called once. */
static bool named_let(State *state, Value name, Value bindings, Value body) {
    size_t base = root_push(make_frame(*state->frame, 1));
    size_t callee = root_push(UNSPECIFIED);
    ListBuilder parameters;
    list_start(&parameters);
    for (Value v = bindings; is_pair(v); v = cdr(v)) {
        list_add(&parameters, variable(first(car(v))));
    }
    Value code = cons(list_finish(&parameters, NIL), body);
    *root_at(callee) = make_closure(code, *root_at(base), name);
    define(name, *root_at(callee), *root_at(base));
    int argc = 0;
    for (Value v = bindings; is_pair(v); v = cdr(v), argc++) {
        root_push(eval(first(cdr(car(v))), *state->frame));
    }
    return run_call(state, callee, argc);
}

static bool form_let(State *state, Value arguments) {
    Value bindings = first(arguments);
    if (is_symbol(bindings)) {
        return named_let(state, bindings, first(cdr(arguments)), cdr(cdr(arguments)));
    }
    size_t base = root_mark();
    uint32_t count = 0;
    for (Value v = bindings; is_pair(v); v = cdr(v), count++) {
        root_push(eval(first(rest(car(v))), *state->frame));
    }
    Value frame = make_frame(*state->frame, count);
    for (Value v = bindings; is_pair(v); v = cdr(v)) {
        define(variable(car(car(v))), *root_at(base++), frame);
    }
    *state->frame = frame;
    return run_body(state, cdr(arguments));
}

/* letrec: one frame, in which each value is evaluated in turn. */
static bool form_letrec(State *state, Value arguments) {
    Value bindings = first(arguments);
    *state->frame = make_frame(*state->frame, 4);
    for (; is_pair(bindings); bindings = cdr(bindings)) {
        Value name = variable(first(car(bindings)));
        define(name, eval(first(cdr(car(bindings))), *state->frame), *state->frame);
    }
    return run_body(state, cdr(arguments));
}

/* let*: a frame for each variable, so that a closure over an earlier one of the name keeps it. */
static bool form_let_star(State *state, Value arguments) {
    for (Value v = first(arguments); is_pair(v); v = cdr(v)) {
        size_t value = root_push(eval(first(rest(car(v))), *state->frame));
        *state->frame = make_frame(*state->frame, 1);
        define(variable(car(car(v))), *root_at(value), *state->frame);
        root_release(value);
    }
    return run_body(state, cdr(arguments));
}

static bool form_lambda(State *state, Value arguments) {
    Value parameters = first(arguments);
    for (; is_pair(parameters); parameters = cdr(parameters)) {
        variable(car(parameters));
    }
    if (parameters != NIL) {
        variable(parameters);
    }
    return finish(state, make_closure(arguments, *state->frame, FALSE_VALUE));
}

static Value define_procedure(State *state, Value signature, Value body) {
    size_t base = root_push(cons(cdr(signature), body));
    Value closure = make_closure(*root_at(base), *state->frame, variable(car(signature)));
    root_release(base);
    return closure;
}

static bool form_define(State *state, Value arguments) {
    Value target = first(arguments);
    if (is_pair(target)) {
        define(variable(car(target)), define_procedure(state, target, cdr(arguments)), *state->frame);
    } else {
        Value value = eval(first(cdr(arguments)), *state->frame);
        if (has_type(value, TYPE_CLOSURE) && object_of(value)->as.closure.name == FALSE_VALUE) {
            object_of(value)->as.closure.name = target;
        }
        define(variable(target), value, *state->frame);
    }
    return finish(state, UNSPECIFIED);
}

static bool form_define_macro(State *state, Value arguments) {
    Value signature = first(arguments);
    variable(first(signature));
    Value macro = define_procedure(state, signature, cdr(arguments));
    object_of(macro)->is_macro = true;
    define(car(signature), macro, *state->frame);
    return finish(state, UNSPECIFIED);
}

static bool form_set(State *state, Value arguments) {
    Value name = variable(first(arguments));
    assign(name, eval(first(cdr(arguments)), *state->frame), *state->frame);
    return finish(state, UNSPECIFIED);
}

/* (do ((variable start step) ...) (test result ...) body ...) */
static bool form_do(State *state, Value arguments) {
    Value variables = first(arguments);
    Value end = first(cdr(arguments));
    Value body = cdr(cdr(arguments));
    size_t outer = root_push(*state->frame);
    for (bool started = false;; started = true) {
        size_t base = root_mark();
        uint32_t count = 0;
        for (Value v = variables; is_pair(v); v = cdr(v), count++) {
            Value part = rest(car(v));
            Value step = started && is_pair(rest(part)) ? cdr(part) : part;
            root_push(started && step == part ? lookup(car(car(v)), *state->frame)
                                              : eval(car(step), *state->frame));
        }
        Value frame = make_frame(*root_at(outer), count);
        for (Value v = variables; is_pair(v); v = cdr(v)) {
            define(variable(car(car(v))), *root_at(base + object_of(frame)->as.frame.count), frame);
        }
        *state->frame = frame;
        root_release(base);
        if (is_true(eval(first(end), *state->frame))) {
            root_release(outer);
            return run_body(state, cdr(end));
        }
        for (Value v = body; is_pair(v); v = cdr(v)) {
            eval(car(v), *state->frame);
        }
    }
}

static Value eval_all(Value body, Value frame) {
    Value result = UNSPECIFIED;
    for (; is_pair(body); body = cdr(body)) {
        result = eval(car(body), frame);
    }
    return result;
}

/* Evaluates the body with a trap set; false: it raised. A function of its own because of setjmp. */
static bool run_guarded(Value body, Value frame, Value *result) {
    ErrorTrap trap;
    trap_enter(&trap);
    if (setjmp(trap.jump)) {
        return false;
    }
    *result = eval_all(body, frame);
    trap_leave(&trap);
    return true;
}

/* (guard (variable clause ...) body ...): the clauses as in cond; without a match it goes on. */
static bool form_guard(State *state, Value arguments) {
    Value name = variable(first(first(arguments)));
    Value clauses = cdr(car(arguments));
    Value result;
    if (run_guarded(cdr(arguments), *state->frame, &result)) {
        return finish(state, result);
    }
    size_t raised = root_push(error_raised());
    *state->frame = make_frame(*state->frame, 1);
    define(name, *root_at(raised), *state->frame);
    bool matched;
    bool again = run_clauses(state, clauses, &matched);
    if (!matched) {
        raise_value(*root_at(raised));
    }
    return again;
}

static const struct {
    const char *name;
    FormFunction function;
} forms[] = {
    [FORM_QUOTE] = {"quote", form_quote},
    [FORM_QUASIQUOTE] = {"quasiquote", form_quasiquote},
    [FORM_IF] = {"if", form_if},
    [FORM_COND] = {"cond", form_cond},
    [FORM_CASE] = {"case", form_case},
    [FORM_AND] = {"and", form_and},
    [FORM_OR] = {"or", form_or},
    [FORM_WHEN] = {"when", form_when},
    [FORM_UNLESS] = {"unless", form_unless},
    [FORM_LET] = {"let", form_let},
    [FORM_LET_STAR] = {"let*", form_let_star},
    [FORM_LETREC] = {"letrec", form_letrec},
    [FORM_LAMBDA] = {"lambda", form_lambda},
    [FORM_DEFINE] = {"define", form_define},
    [FORM_DEFINE_MACRO] = {"define-macro", form_define_macro},
    [FORM_SET] = {"set!", form_set},
    [FORM_BEGIN] = {"begin", run_body},
    [FORM_DO] = {"do", form_do},
    [FORM_GUARD] = {"guard", form_guard},
};

void forms_start(void) {
    for (size_t i = FORM_NONE + 1; i < sizeof forms / sizeof forms[0]; i++) {
        object_of(intern(forms[i].name))->form = (uint8_t)i;
    }
    symbol_else = intern("else");
    symbol_arrow = intern("=>");
    symbol_unquote = intern("unquote");
    symbol_splicing = intern("unquote-splicing");
    symbol_quasiquote = intern("quasiquote");
}

/* the loop ------------------------------------------------------------------------------------- */

static bool run_combination(State *state) {
    size_t callee = root_push(eval(car(*state->expression), *state->frame));
    Value procedure = *root_at(callee);
    if (has_type(procedure, TYPE_CLOSURE) && object_of(procedure)->is_macro) {
        return tail(state, expand_macro(procedure, cdr(*state->expression)));
    }
    int argc = 0;
    for (Value v = cdr(*state->expression); is_pair(v); v = cdr(v), argc++) {
        root_push(eval(car(v), *state->frame));
    }
    return run_call(state, callee, argc);
}

static bool run_step(State *state) {
    Value expression = *state->expression;
    if (is_symbol(expression)) {
        return finish(state, lookup(expression, *state->frame));
    }
    if (!is_pair(expression)) {
        return finish(state, expression);
    }
    Value head = car(expression);
    if (is_symbol(head) && object_of(head)->form != FORM_NONE) {
        return forms[object_of(head)->form].function(state, cdr(expression));
    }
    return run_combination(state);
}

/* The expression is the root at `base`, its frame the one behind it. */
static Value evaluate(size_t base) {
    if (eval_depth >= MAX_DEPTH) {
        fail("the recursion is too deep", UNBOUND);
    }
    eval_depth++;
    State state = {root_at(base), root_at(base + 1), UNSPECIFIED};
    do {
        root_release(base + 2);
    } while (run_step(&state));
    eval_depth--;
    return state.result;
}

Value eval(Value expression, Value frame) {
    size_t base = root_push(expression);
    root_push(frame);
    Value result = evaluate(base);
    root_release(base);
    return result;
}
