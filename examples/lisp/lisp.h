/* SPDX-License-Identifier: Apache-2.0 */
/* A small Scheme-like Lisp: the types and functions that its files share. */
#ifndef LISP_H
#define LISP_H

#include <setjmp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/*
 * A Value is one word: a small integer (lowest bit 1), an immediate constant (lowest bits 10) or the
 * address of a heap object (lowest bits 00).
 */
typedef uintptr_t Value;

#define IMMEDIATE(kind, payload) (((Value)(payload) << 8) | ((Value)(kind) << 2) | 2u)

enum { IMM_CONSTANT, IMM_CHAR };

#define NIL IMMEDIATE(IMM_CONSTANT, 0)
#define FALSE_VALUE IMMEDIATE(IMM_CONSTANT, 1)
#define TRUE_VALUE IMMEDIATE(IMM_CONSTANT, 2)
#define UNSPECIFIED IMMEDIATE(IMM_CONSTANT, 3)
#define END_OF_FILE IMMEDIATE(IMM_CONSTANT, 4)
#define UNBOUND IMMEDIATE(IMM_CONSTANT, 5)

#define FIXNUM_MAX (INT64_MAX / 2)
#define FIXNUM_MIN (INT64_MIN / 2)

typedef enum {
    TYPE_FREE,
    TYPE_PAIR,
    TYPE_SYMBOL,
    TYPE_FLONUM,
    TYPE_STRING,
    TYPE_VECTOR,
    TYPE_CLOSURE,
    TYPE_BUILTIN,
    TYPE_FRAME,
    TYPE_TABLE,
    TYPE_ERROR
} Type;

/* The special forms; a symbol that names one carries its number. */
typedef enum {
    FORM_NONE,
    FORM_QUOTE,
    FORM_QUASIQUOTE,
    FORM_IF,
    FORM_COND,
    FORM_CASE,
    FORM_AND,
    FORM_OR,
    FORM_WHEN,
    FORM_UNLESS,
    FORM_LET,
    FORM_LET_STAR,
    FORM_LETREC,
    FORM_LAMBDA,
    FORM_DEFINE,
    FORM_DEFINE_MACRO,
    FORM_SET,
    FORM_BEGIN,
    FORM_DO,
    FORM_GUARD
} Form;

typedef Value (*BuiltinFunction)(int argc, Value *argv);

typedef struct {
    const char *name;
    BuiltinFunction function;
    int min_args;
    int max_args; /* -1: any number */
} Builtin;

typedef struct {
    Value name;
    Value value;
} Binding;

/* Keys and values in the order of insertion, and an index into them by hash. */
typedef struct {
    Binding *entries; /* a deleted one has the key UNBOUND */
    int32_t *index;   /* -1: empty; a power of two of them */
    uint32_t used;
    uint32_t live;
    uint32_t capacity;
    bool by_content; /* compare keys with equal?, else with eqv? */
} Table;

typedef struct {
    uint8_t type;
    uint8_t marked;
    uint8_t form;  /* symbols: the special form */
    bool is_macro; /* closures */
    uint32_t hash; /* symbols: of the name */
    union {
        struct {
            Value car, cdr;
        } pair;
        struct {
            char *data;
            size_t length;
        } text; /* strings and symbols; a zero byte follows */
        struct {
            Value *items;
            size_t length;
        } vector;
        struct {
            Value code; /* (parameters . body) */
            Value frame;
            Value name;
        } closure;
        struct {
            Binding *slots;
            Value parent;
            uint32_t count, capacity;
        } frame;
        struct {
            Value message, irritants;
        } error;
        const Builtin *builtin;
        Table *table;
        double flonum;
    } as;
} Object;

static inline bool is_fixnum(Value v) { return (v & 1u) != 0; }
static inline bool is_object(Value v) { return (v & 3u) == 0; }
static inline bool is_char(Value v) { return (v & 0xffu) == IMMEDIATE(IMM_CHAR, 0); }
static inline Object *object_of(Value v) { return (Object *)v; }
static inline bool has_type(Value v, Type type) { return is_object(v) && object_of(v)->type == type; }
static inline bool is_pair(Value v) { return has_type(v, TYPE_PAIR); }
static inline bool is_symbol(Value v) { return has_type(v, TYPE_SYMBOL); }
static inline bool is_string(Value v) { return has_type(v, TYPE_STRING); }
static inline bool is_flonum(Value v) { return has_type(v, TYPE_FLONUM); }
static inline bool is_number(Value v) { return is_fixnum(v) || is_flonum(v); }
static inline bool is_procedure(Value v) { return has_type(v, TYPE_CLOSURE) || has_type(v, TYPE_BUILTIN); }
static inline bool is_true(Value v) { return v != FALSE_VALUE; }
static inline Value boolean(bool b) { return b ? TRUE_VALUE : FALSE_VALUE; }
static inline Value car(Value v) { return object_of(v)->as.pair.car; }
static inline Value cdr(Value v) { return object_of(v)->as.pair.cdr; }
static inline Value make_char(unsigned c) { return IMMEDIATE(IMM_CHAR, c); }
static inline unsigned char_of(Value v) { return (unsigned)(v >> 8); }
static inline Value make_fixnum(int64_t n) { return ((Value)n << 1) | 1u; }
static inline int64_t fixnum_of(Value v) { return (int64_t)v >> 1; }

/* gc.c: the heap and the roots ----------------------------------------------------------------- */

typedef struct {
    size_t collections;
    size_t live_cells;
    size_t total_cells;
    size_t external_bytes;
} GcStats;

extern bool gc_stress; /* collect before each allocation: finds values that are not rooted */

void gc_start(void);
void gc_stop(void);
void gc_collect(void);
GcStats gc_stats(void);

/* The stack of roots; what lies below the mark of a caller stays where it is. */
size_t root_mark(void);
void root_release(size_t mark);
size_t root_push(Value v);
Value *root_at(size_t position);

void *allocate_bytes(size_t size); /* memory that an object owns */
void free_bytes(void *memory, size_t size);

Value cons(Value head, Value tail);
Value make_flonum(double d);
Value make_string(const char *data, size_t length); /* data NULL: filled with zeros */
Value make_symbol(const char *data, size_t length, uint32_t hash);
Value make_vector(size_t length, Value fill);
Value make_closure(Value code, Value frame, Value name);
Value make_builtin(const Builtin *builtin);
Value make_frame(Value parent, uint32_t capacity);
Value make_table(bool by_content);
Value make_error(Value message, Value irritants);

/* Lists that are built front to back; the two roots it takes are released at the end. */
typedef struct {
    size_t base;
} ListBuilder;

void list_start(ListBuilder *list);
void list_add(ListBuilder *list, Value v);
Value list_finish(ListBuilder *list, Value tail);

/* table.c: hash tables, symbols, environments -------------------------------------------------- */

Table *table_new(bool by_content);
void table_free(Table *table);
Value table_get(const Table *table, Value key); /* UNBOUND: not there */
void table_put(Table *table, Value key, Value value);
bool table_delete(Table *table, Value key);
void table_mark(const Table *table, void (*mark)(Value));

void symbols_start(void);
void symbols_stop(void);
void symbols_mark(void (*mark)(Value));
Value intern(const char *name);
Value intern_length(const char *name, size_t length);

Value lookup(Value name, Value frame);
void define(Value name, Value value, Value frame);
void assign(Value name, Value value, Value frame);

bool is_eqv(Value a, Value b);
bool is_equal(Value a, Value b);

/* reader.c ------------------------------------------------------------------------------------- */

typedef struct {
    FILE *file;       /* or: */
    const char *text; /* a zero byte ends it */
    int line;
    int depth;
    char *token;
    size_t token_length, token_capacity;
} Reader;

void reader_from_file(Reader *reader, FILE *file);
void reader_from_text(Reader *reader, const char *text);
void reader_close(Reader *reader);
Value read_value(Reader *reader); /* END_OF_FILE at the end */

/* printer.c ------------------------------------------------------------------------------------ */

typedef struct {
    char *data;
    size_t length, capacity;
} Buffer;

void buffer_add(Buffer *buffer, const char *data, size_t length);
void buffer_add_char(Buffer *buffer, char c);
void buffer_add_text(Buffer *buffer, const char *text);
void buffer_free(Buffer *buffer);
void print_to_buffer(Buffer *buffer, Value v, bool readable);
void print_value(FILE *stream, Value v, bool readable);

/* eval.c --------------------------------------------------------------------------------------- */

Value eval(Value expression, Value frame);
Value apply(Value procedure, int argc, const Value *argv);
void forms_start(void);
Value builtin_apply(int argc, Value *argv);

/* errors.c ------------------------------------------------------------------------------------- */

typedef struct ErrorTrap {
    jmp_buf jump;
    struct ErrorTrap *outer;
    size_t roots;
    int depth;
} ErrorTrap;

extern int eval_depth;

/* Between the two, an error returns to `if (setjmp(trap.jump))` with the value in error_raised(). */
void trap_enter(ErrorTrap *trap);
void trap_leave(ErrorTrap *trap);
Value error_raised(void);
void errors_mark(void (*mark)(Value));
_Noreturn void raise_value(Value v);
_Noreturn void fail(const char *message, Value irritant); /* UNBOUND: no irritant */
_Noreturn void fail_type(const char *who, const char *expected, Value got);
_Noreturn void out_of_memory(void);

/* number.c ------------------------------------------------------------------------------------- */

Value make_integer(int64_t n); /* a double where no small integer holds it */
bool parse_number(const char *text, int radix, Value *number);
void format_number(Value number, int radix, char *out, size_t size);
int64_t integer_argument(const char *who, Value v);
size_t index_argument(const char *who, Value v, size_t limit); /* 0 to limit */

/* The tables of builtins, each ended by a name that is NULL. */
extern const Builtin number_builtins[];
extern const Builtin string_builtins[];
extern const Builtin list_builtins[];
extern const Builtin core_builtins[];

#endif
