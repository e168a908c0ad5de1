/* SPDX-License-Identifier: Apache-2.0 */
/* Cells of one size in chunks, a free list, and a mark-and-sweep collector with explicit roots. */
#include "lisp.h"

#include <stdlib.h>
#include <string.h>

enum { CHUNK_CELLS = 2048, ROOT_CAPACITY = 1 << 18, FIRST_LIMIT = 1 << 20 };

typedef struct Chunk {
    struct Chunk *next;
    Object cells[CHUNK_CELLS];
} Chunk;

bool gc_stress;

static Chunk *chunks;
static Object *free_cells; /* linked by as.pair.cdr */
static size_t collections, live_cells, total_cells;
static size_t external_bytes, allocated_since, collect_after;

static Value *roots;
static size_t root_count;

static Object **mark_stack;
static size_t mark_count, mark_capacity;

/* roots ---------------------------------------------------------------------------------------- */

size_t root_mark(void) { return root_count; }

void root_release(size_t mark) { root_count = mark; }

size_t root_push(Value v) {
    if (root_count == ROOT_CAPACITY) {
        fail("out of stack", UNBOUND);
    }
    roots[root_count] = v;
    return root_count++;
}

Value *root_at(size_t position) { return &roots[position]; }

/* marking -------------------------------------------------------------------------------------- */

static void mark(Value v) {
    if (!is_object(v)) {
        return;
    }
    Object *object = object_of(v);
    if (object->marked) {
        return;
    }
    object->marked = 1;
    if (mark_count == mark_capacity) {
        size_t capacity = mark_capacity ? mark_capacity * 2 : 1024;
        Object **bigger = realloc(mark_stack, capacity * sizeof *bigger);
        if (!bigger) {
            out_of_memory();
        }
        mark_stack = bigger;
        mark_capacity = capacity;
    }
    mark_stack[mark_count++] = object;
}

static void mark_children(const Object *object) {
    switch ((Type)object->type) {
    case TYPE_PAIR:
        mark(object->as.pair.car);
        mark(object->as.pair.cdr);
        break;
    case TYPE_VECTOR:
        for (size_t i = 0; i < object->as.vector.length; i++) {
            mark(object->as.vector.items[i]);
        }
        break;
    case TYPE_CLOSURE:
        mark(object->as.closure.code);
        mark(object->as.closure.frame);
        mark(object->as.closure.name);
        break;
    case TYPE_FRAME:
        mark(object->as.frame.parent);
        for (uint32_t i = 0; i < object->as.frame.count; i++) {
            mark(object->as.frame.slots[i].name);
            mark(object->as.frame.slots[i].value);
        }
        break;
    case TYPE_TABLE:
        table_mark(object->as.table, mark);
        break;
    case TYPE_ERROR:
        mark(object->as.error.message);
        mark(object->as.error.irritants);
        break;
    case TYPE_FREE:
    case TYPE_SYMBOL:
    case TYPE_FLONUM:
    case TYPE_STRING:
    case TYPE_BUILTIN:
        break;
    }
}

/* sweeping ------------------------------------------------------------------------------------- */

static void release(Object *object) {
    switch ((Type)object->type) {
    case TYPE_SYMBOL:
    case TYPE_STRING:
        free_bytes(object->as.text.data, object->as.text.length + 1);
        break;
    case TYPE_VECTOR:
        free_bytes(object->as.vector.items, object->as.vector.length * sizeof(Value));
        break;
    case TYPE_FRAME:
        free_bytes(object->as.frame.slots, object->as.frame.capacity * sizeof(Binding));
        break;
    case TYPE_TABLE:
        table_free(object->as.table);
        break;
    default:
        break;
    }
    object->type = TYPE_FREE;
}

static void put_on_free_list(Object *object) {
    object->as.pair.cdr = (Value)free_cells;
    free_cells = object;
}

static void sweep(void) {
    free_cells = NULL;
    live_cells = 0;
    for (Chunk *chunk = chunks; chunk; chunk = chunk->next) {
        for (size_t i = 0; i < CHUNK_CELLS; i++) {
            Object *object = &chunk->cells[i];
            if (object->marked) {
                object->marked = 0;
                live_cells++;
                continue;
            }
            if (object->type != TYPE_FREE) {
                release(object);
            }
            put_on_free_list(object);
        }
    }
}

void gc_collect(void) {
    for (size_t i = 0; i < root_count; i++) {
        mark(roots[i]);
    }
    symbols_mark(mark);
    errors_mark(mark);
    while (mark_count > 0) {
        mark_children(mark_stack[--mark_count]);
    }
    sweep();
    collections++;
    allocated_since = 0;
    size_t live_bytes = live_cells * sizeof(Object) + external_bytes;
    collect_after = live_bytes > FIRST_LIMIT ? live_bytes : FIRST_LIMIT;
}

/* allocation ----------------------------------------------------------------------------------- */

static void add_chunk(void) {
    Chunk *chunk = malloc(sizeof *chunk);
    if (!chunk) {
        out_of_memory();
    }
    chunk->next = chunks;
    chunks = chunk;
    total_cells += CHUNK_CELLS;
    for (size_t i = CHUNK_CELLS; i-- > 0;) {
        chunk->cells[i].type = TYPE_FREE;
        chunk->cells[i].marked = 0;
        put_on_free_list(&chunk->cells[i]);
    }
}

static Object *allocate(Type type) {
    if (gc_stress || allocated_since >= collect_after) {
        gc_collect();
    }
    if (!free_cells) {
        add_chunk();
    }
    Object *object = free_cells;
    free_cells = object_of(object->as.pair.cdr);
    memset(object, 0, sizeof *object);
    object->type = (uint8_t)type;
    allocated_since += sizeof *object;
    live_cells++;
    return object;
}

void *allocate_bytes(size_t size) {
    void *memory = malloc(size ? size : 1);
    if (!memory) {
        out_of_memory();
    }
    external_bytes += size;
    allocated_since += size;
    return memory;
}

void free_bytes(void *memory, size_t size) {
    if (memory) {
        external_bytes -= size;
        free(memory);
    }
}

Value cons(Value head, Value tail) {
    size_t base = root_push(head);
    root_push(tail);
    Object *object = allocate(TYPE_PAIR);
    object->as.pair.car = head;
    object->as.pair.cdr = tail;
    root_release(base);
    return (Value)object;
}

Value make_flonum(double d) {
    Object *object = allocate(TYPE_FLONUM);
    object->as.flonum = d;
    return (Value)object;
}

static Value make_text(Type type, const char *data, size_t length) {
    char *copy = allocate_bytes(length + 1);
    if (data) {
        memcpy(copy, data, length);
    } else {
        memset(copy, 0, length);
    }
    copy[length] = '\0';
    Object *object = allocate(type);
    object->as.text.data = copy;
    object->as.text.length = length;
    return (Value)object;
}

Value make_string(const char *data, size_t length) { return make_text(TYPE_STRING, data, length); }

Value make_symbol(const char *data, size_t length, uint32_t hash) {
    Value symbol = make_text(TYPE_SYMBOL, data, length);
    object_of(symbol)->hash = hash;
    return symbol;
}

Value make_vector(size_t length, Value fill) {
    size_t base = root_push(fill);
    Object *object = allocate(TYPE_VECTOR);
    object->as.vector.items = allocate_bytes(length * sizeof(Value));
    object->as.vector.length = length;
    for (size_t i = 0; i < length; i++) {
        object->as.vector.items[i] = fill;
    }
    root_release(base);
    return (Value)object;
}

Value make_closure(Value code, Value frame, Value name) {
    size_t base = root_push(code);
    root_push(frame);
    root_push(name);
    Object *object = allocate(TYPE_CLOSURE);
    object->as.closure.code = code;
    object->as.closure.frame = frame;
    object->as.closure.name = name;
    root_release(base);
    return (Value)object;
}

Value make_builtin(const Builtin *builtin) {
    Object *object = allocate(TYPE_BUILTIN);
    object->as.builtin = builtin;
    return (Value)object;
}

Value make_frame(Value parent, uint32_t capacity) {
    size_t base = root_push(parent);
    Object *object = allocate(TYPE_FRAME);
    object->as.frame.parent = parent;
    if (capacity > 0) {
        object->as.frame.slots = allocate_bytes(capacity * sizeof(Binding));
        object->as.frame.capacity = capacity;
    }
    root_release(base);
    return (Value)object;
}

Value make_table(bool by_content) {
    Object *object = allocate(TYPE_TABLE);
    object->as.table = table_new(by_content);
    return (Value)object;
}

Value make_error(Value message, Value irritants) {
    size_t base = root_push(message);
    root_push(irritants);
    Object *object = allocate(TYPE_ERROR);
    object->as.error.message = message;
    object->as.error.irritants = irritants;
    root_release(base);
    return (Value)object;
}

void list_start(ListBuilder *list) {
    list->base = root_push(NIL); /* the first pair */
    root_push(NIL);              /* the last pair */
}

void list_add(ListBuilder *list, Value v) {
    Value pair = cons(v, NIL);
    if (roots[list->base] == NIL) {
        roots[list->base] = pair;
    } else {
        object_of(roots[list->base + 1])->as.pair.cdr = pair;
    }
    roots[list->base + 1] = pair;
}

Value list_finish(ListBuilder *list, Value tail) {
    Value first = roots[list->base];
    if (first == NIL) {
        first = tail;
    } else {
        object_of(roots[list->base + 1])->as.pair.cdr = tail;
    }
    root_release(list->base);
    return first;
}

/* life and death ------------------------------------------------------------------------------- */

GcStats gc_stats(void) {
    return (GcStats){
        .collections = collections,
        .live_cells = live_cells,
        .total_cells = total_cells,
        .external_bytes = external_bytes,
    };
}

void gc_start(void) {
    roots = malloc(ROOT_CAPACITY * sizeof *roots);
    if (!roots) {
        out_of_memory();
    }
    collect_after = FIRST_LIMIT;
}

void gc_stop(void) {
    while (chunks) {
        Chunk *next = chunks->next;
        for (size_t i = 0; i < CHUNK_CELLS; i++) {
            if (chunks->cells[i].type != TYPE_FREE) {
                release(&chunks->cells[i]);
            }
        }
        free(chunks);
        chunks = next;
    }
    free_cells = NULL;
    free(mark_stack);
    mark_stack = NULL;
    mark_count = mark_capacity = 0;
    free(roots);
    roots = NULL;
    root_count = 0;
}
