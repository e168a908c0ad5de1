/* SPDX-License-Identifier: Apache-2.0 */
/* Hash tables, the symbols, the global variables and the frames of local ones. */
#include "lisp.h"

#include <stdlib.h>
#include <string.h>

/* equality and hashing ------------------------------------------------------------------------- */

bool is_eqv(Value a, Value b) {
    if (a == b) {
        return true;
    }
    return is_flonum(a) && is_flonum(b) && object_of(a)->as.flonum == object_of(b)->as.flonum;
}

bool is_equal(Value a, Value b) {
    for (;;) {
        if (is_eqv(a, b)) {
            return true;
        }
        if (!is_object(a) || !is_object(b) || object_of(a)->type != object_of(b)->type) {
            return false;
        }
        const Object *x = object_of(a), *y = object_of(b);
        if (x->type == TYPE_STRING) {
            return x->as.text.length == y->as.text.length &&
                   memcmp(x->as.text.data, y->as.text.data, x->as.text.length) == 0;
        }
        if (x->type == TYPE_VECTOR) {
            if (x->as.vector.length != y->as.vector.length) {
                return false;
            }
            for (size_t i = 0; i < x->as.vector.length; i++) {
                if (!is_equal(x->as.vector.items[i], y->as.vector.items[i])) {
                    return false;
                }
            }
            return true;
        }
        if (x->type != TYPE_PAIR || !is_equal(x->as.pair.car, y->as.pair.car)) {
            return false;
        }
        a = x->as.pair.cdr;
        b = y->as.pair.cdr;
    }
}

static uint32_t hash_bytes(const char *data, size_t length) {
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < length; i++) {
        hash = (hash ^ (unsigned char)data[i]) * 16777619u;
    }
    return hash;
}

static uint32_t hash_word(uint64_t word) {
    word *= UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(word >> 32);
}

static uint32_t hash_value(Value v, bool by_content, int depth) {
    if (!is_object(v)) {
        return hash_word(v);
    }
    const Object *object = object_of(v);
    switch ((Type)object->type) {
    case TYPE_SYMBOL:
        return object->hash;
    case TYPE_FLONUM: {
        double d = object->as.flonum == 0 ? 0 : object->as.flonum; /* -0.0 is 0.0 */
        uint64_t bits;
        memcpy(&bits, &d, sizeof bits);
        return hash_word(bits);
    }
    case TYPE_STRING:
        if (by_content) {
            return hash_bytes(object->as.text.data, object->as.text.length);
        }
        break;
    case TYPE_PAIR:
        if (by_content) {
            uint32_t hash = 17;
            for (; is_pair(v) && depth > 0; v = cdr(v), depth--) {
                hash = hash * 31 + hash_value(car(v), true, depth / 2);
            }
            return hash;
        }
        break;
    case TYPE_VECTOR:
        if (by_content) {
            return hash_word(object->as.vector.length);
        }
        break;
    default:
        break;
    }
    return hash_word(v);
}

/* hash tables ---------------------------------------------------------------------------------- */

Table *table_new(bool by_content) {
    Table *table = allocate_bytes(sizeof *table);
    *table = (Table){.by_content = by_content};
    return table;
}

static size_t index_size(const Table *table) { return (size_t)table->capacity * 2; }

static void free_arrays(Table *table) {
    free_bytes(table->entries, table->capacity * sizeof *table->entries);
    free_bytes(table->index, index_size(table) * sizeof *table->index);
}

void table_free(Table *table) {
    free_arrays(table);
    free_bytes(table, sizeof *table);
}

static int32_t *find_place(const Table *table, Value key) {
    size_t mask = index_size(table) - 1;
    size_t place = hash_value(key, table->by_content, 8) & mask;
    for (;; place = (place + 1) & mask) {
        int32_t number = table->index[place];
        if (number < 0) {
            return &table->index[place];
        }
        Value other = table->entries[number].name;
        if (other != UNBOUND && (table->by_content ? is_equal(other, key) : is_eqv(other, key))) {
            return &table->index[place];
        }
    }
}

static void rebuild(Table *table, uint32_t capacity) {
    Table old = *table;
    table->capacity = capacity;
    table->entries = allocate_bytes(capacity * sizeof *table->entries);
    table->index = allocate_bytes(index_size(table) * sizeof *table->index);
    memset(table->index, -1, index_size(table) * sizeof *table->index);
    table->used = table->live = 0;
    for (uint32_t i = 0; i < old.used; i++) {
        if (old.entries[i].name != UNBOUND) {
            *find_place(table, old.entries[i].name) = (int32_t)table->used;
            table->entries[table->used++] = old.entries[i];
            table->live++;
        }
    }
    free_arrays(&old);
}

Value table_get(const Table *table, Value key) {
    if (table->capacity == 0) {
        return UNBOUND;
    }
    int32_t number = *find_place(table, key);
    return number < 0 ? UNBOUND : table->entries[number].value;
}

void table_put(Table *table, Value key, Value value) {
    if (table->capacity > 0) {
        int32_t number = *find_place(table, key);
        if (number >= 0) {
            table->entries[number].value = value;
            return;
        }
    }
    if (table->used == table->capacity) {
        bool crowded = table->live >= table->capacity / 2;
        rebuild(table, table->capacity == 0 ? 8 : crowded ? table->capacity * 2 : table->capacity);
    }
    *find_place(table, key) = (int32_t)table->used;
    table->entries[table->used++] = (Binding){key, value};
    table->live++;
}

bool table_delete(Table *table, Value key) {
    if (table->capacity == 0) {
        return false;
    }
    int32_t number = *find_place(table, key);
    if (number < 0) {
        return false;
    }
    table->entries[number] = (Binding){UNBOUND, UNBOUND};
    table->live--;
    return true;
}

void table_mark(const Table *table, void (*mark)(Value)) {
    for (uint32_t i = 0; i < table->used; i++) {
        mark(table->entries[i].name);
        mark(table->entries[i].value);
    }
}

/* symbols -------------------------------------------------------------------------------------- */

static Value *symbols; /* open addressing; UNBOUND is an empty place */
static size_t symbol_count, symbol_capacity;
static Table *globals;

static Value *find_symbol(const char *name, size_t length, uint32_t hash) {
    size_t place = hash & (symbol_capacity - 1);
    while (symbols[place] != UNBOUND) {
        const Object *symbol = object_of(symbols[place]);
        if (symbol->hash == hash && symbol->as.text.length == length &&
            memcmp(symbol->as.text.data, name, length) == 0) {
            break;
        }
        place = (place + 1) & (symbol_capacity - 1);
    }
    return &symbols[place];
}

static void resize_symbols(size_t capacity) {
    Value *old = symbols;
    size_t old_capacity = symbol_capacity;
    symbols = malloc(capacity * sizeof *symbols);
    if (!symbols) {
        out_of_memory();
    }
    symbol_capacity = capacity;
    for (size_t i = 0; i < capacity; i++) {
        symbols[i] = UNBOUND;
    }
    for (size_t i = 0; i < old_capacity; i++) {
        if (old[i] != UNBOUND) {
            const Object *symbol = object_of(old[i]);
            *find_symbol(symbol->as.text.data, symbol->as.text.length, symbol->hash) = old[i];
        }
    }
    free(old);
}

Value intern_length(const char *name, size_t length) {
    uint32_t hash = hash_bytes(name, length);
    Value *place = find_symbol(name, length, hash);
    if (*place != UNBOUND) {
        return *place;
    }
    if ((symbol_count + 1) * 2 > symbol_capacity) {
        resize_symbols(symbol_capacity * 2);
    }
    Value symbol = make_symbol(name, length, hash);
    *find_symbol(name, length, hash) = symbol;
    symbol_count++;
    return symbol;
}

Value intern(const char *name) { return intern_length(name, strlen(name)); }

void symbols_start(void) {
    resize_symbols(256);
    globals = table_new(false);
}

void symbols_stop(void) {
    free(symbols);
    symbols = NULL;
    symbol_count = symbol_capacity = 0;
    table_free(globals);
    globals = NULL;
}

void symbols_mark(void (*mark)(Value)) {
    for (size_t i = 0; i < symbol_capacity; i++) {
        mark(symbols[i]);
    }
    if (globals) {
        table_mark(globals, mark);
    }
}

/* environments: a frame's local variables, then its parents', then the global ones ------------- */

static Binding *find_local(Value name, Value frame) {
    for (; frame != NIL; frame = object_of(frame)->as.frame.parent) {
        Object *object = object_of(frame);
        for (uint32_t i = 0; i < object->as.frame.count; i++) {
            if (object->as.frame.slots[i].name == name) {
                return &object->as.frame.slots[i];
            }
        }
    }
    return NULL;
}

Value lookup(Value name, Value frame) {
    const Binding *local = find_local(name, frame);
    Value value = local ? local->value : table_get(globals, name);
    if (value == UNBOUND) {
        fail("unbound variable", name);
    }
    return value;
}

void assign(Value name, Value value, Value frame) {
    Binding *local = find_local(name, frame);
    if (local) {
        local->value = value;
    } else if (table_get(globals, name) != UNBOUND) {
        table_put(globals, name, value);
    } else {
        fail("set! of an unbound variable", name);
    }
}

void define(Value name, Value value, Value frame) {
    if (frame == NIL) {
        table_put(globals, name, value);
        return;
    }
    Object *object = object_of(frame);
    for (uint32_t i = 0; i < object->as.frame.count; i++) {
        if (object->as.frame.slots[i].name == name) {
            object->as.frame.slots[i].value = value;
            return;
        }
    }
    if (object->as.frame.count == object->as.frame.capacity) {
        uint32_t capacity = object->as.frame.capacity ? object->as.frame.capacity * 2 : 4;
        Binding *slots = allocate_bytes(capacity * sizeof *slots);
        if (object->as.frame.count > 0) {
            memcpy(slots, object->as.frame.slots, object->as.frame.count * sizeof *slots);
        }
        free_bytes(object->as.frame.slots, object->as.frame.capacity * sizeof *slots);
        object->as.frame.slots = slots;
        object->as.frame.capacity = capacity;
    }
    object->as.frame.slots[object->as.frame.count++] = (Binding){name, value};
}
