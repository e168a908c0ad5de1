/* SPDX-License-Identifier: Apache-2.0 */
/* Pairs, lists, vectors and hash tables. */
#include "lisp.h"

static Value pair_argument(const char *who, Value v) {
    if (!is_pair(v)) {
        fail_type(who, "a pair", v);
    }
    return v;
}

static size_t list_length(const char *who, Value list) {
    size_t length = 0;
    Value v = list;
    for (; is_pair(v); v = cdr(v)) {
        length++;
    }
    if (v != NIL) {
        fail_type(who, "a list", list);
    }
    return length;
}

static Value list_cons(int argc, Value *argv) {
    (void)argc;
    return cons(argv[0], argv[1]);
}

static Value list_car(int argc, Value *argv) {
    (void)argc;
    return car(pair_argument("car", argv[0]));
}

static Value list_cdr(int argc, Value *argv) {
    (void)argc;
    return cdr(pair_argument("cdr", argv[0]));
}

static Value list_caar(int argc, Value *argv) {
    (void)argc;
    return car(pair_argument("caar", car(pair_argument("caar", argv[0]))));
}

static Value list_cadr(int argc, Value *argv) {
    (void)argc;
    return car(pair_argument("cadr", cdr(pair_argument("cadr", argv[0]))));
}

static Value list_cddr(int argc, Value *argv) {
    (void)argc;
    return cdr(pair_argument("cddr", cdr(pair_argument("cddr", argv[0]))));
}

static Value list_caddr(int argc, Value *argv) {
    (void)argc;
    return car(pair_argument("caddr", cdr(pair_argument("caddr", cdr(pair_argument("caddr", argv[0]))))));
}

static Value list_set_car(int argc, Value *argv) {
    (void)argc;
    object_of(pair_argument("set-car!", argv[0]))->as.pair.car = argv[1];
    return UNSPECIFIED;
}

static Value list_set_cdr(int argc, Value *argv) {
    (void)argc;
    object_of(pair_argument("set-cdr!", argv[0]))->as.pair.cdr = argv[1];
    return UNSPECIFIED;
}

static Value list_is_pair(int argc, Value *argv) {
    (void)argc;
    return boolean(is_pair(argv[0]));
}

static Value list_is_null(int argc, Value *argv) {
    (void)argc;
    return boolean(argv[0] == NIL);
}

static Value list_list(int argc, Value *argv) {
    Value list = NIL;
    for (int i = argc; i > 0; i--) {
        list = cons(argv[i - 1], list);
    }
    return list;
}

static Value list_get_length(int argc, Value *argv) {
    (void)argc;
    return make_fixnum((int64_t)list_length("length", argv[0]));
}

static Value list_append(int argc, Value *argv) {
    if (argc == 0) {
        return NIL;
    }
    ListBuilder list;
    list_start(&list);
    for (int i = 0; i + 1 < argc; i++) {
        list_length("append", argv[i]);
        for (Value v = argv[i]; is_pair(v); v = cdr(v)) {
            list_add(&list, car(v));
        }
    }
    return list_finish(&list, argv[argc - 1]);
}

static Value list_reverse(int argc, Value *argv) {
    (void)argc;
    Value reversed = NIL;
    list_length("reverse", argv[0]);
    for (Value v = argv[0]; is_pair(v); v = cdr(v)) {
        reversed = cons(car(v), reversed);
    }
    return reversed;
}

static Value list_tail(int argc, Value *argv) {
    (void)argc;
    Value v = argv[0];
    for (int64_t n = integer_argument("list-tail", argv[1]); n > 0; n--) {
        v = cdr(pair_argument("list-tail", v));
    }
    return v;
}

static Value list_ref(int argc, Value *argv) { return car(pair_argument("list-ref", list_tail(argc, argv))); }

static Value list_iota(int argc, Value *argv) {
    int64_t count = integer_argument("iota", argv[0]);
    int64_t start = argc > 1 ? integer_argument("iota", argv[1]) : 0;
    int64_t step = argc > 2 ? integer_argument("iota", argv[2]) : 1;
    ListBuilder list;
    list_start(&list);
    for (int64_t i = 0; i < count; i++) {
        int64_t offset, n;
        if (__builtin_mul_overflow(i, step, &offset) || __builtin_add_overflow(start, offset, &n)) {
            fail_type("iota", "a step in range", argv[argc - 1]);
        }
        list_add(&list, make_integer(n));
    }
    return list_finish(&list, NIL);
}

static Value find_member(Value *argv, bool (*same)(Value, Value)) {
    Value v = argv[1];
    while (is_pair(v) && !same(argv[0], car(v))) {
        v = cdr(v);
    }
    return is_pair(v) ? v : FALSE_VALUE;
}

static Value list_memv(int argc, Value *argv) {
    (void)argc;
    return find_member(argv, is_eqv);
}

static Value list_member(int argc, Value *argv) {
    (void)argc;
    return find_member(argv, is_equal);
}

static Value find_pair(const char *who, Value *argv, bool (*same)(Value, Value)) {
    Value v = argv[1];
    while (is_pair(v) && !same(argv[0], car(pair_argument(who, car(v))))) {
        v = cdr(v);
    }
    return is_pair(v) ? car(v) : FALSE_VALUE;
}

static Value list_assv(int argc, Value *argv) {
    (void)argc;
    return find_pair("assv", argv, is_eqv);
}

static Value list_assoc(int argc, Value *argv) {
    (void)argc;
    return find_pair("assoc", argv, is_equal);
}

/* procedures over lists ------------------------------------------------------------------------ */

/* Pushes the first element of each list and steps to the next ones; false at the shortest's end. */
static bool next_elements(int lists, Value *argv) {
    for (int i = 0; i < lists; i++) {
        if (!is_pair(argv[i])) {
            return false;
        }
    }
    for (int i = 0; i < lists; i++) {
        root_push(car(argv[i]));
        argv[i] = cdr(argv[i]);
    }
    return true;
}

static Value list_map(int argc, Value *argv) {
    ListBuilder list;
    list_start(&list);
    size_t base = root_mark();
    while (next_elements(argc - 1, argv + 1)) {
        Value v = apply(argv[0], argc - 1, root_at(base));
        root_release(base);
        list_add(&list, v);
    }
    return list_finish(&list, NIL);
}

static Value list_for_each(int argc, Value *argv) {
    size_t base = root_mark();
    while (next_elements(argc - 1, argv + 1)) {
        apply(argv[0], argc - 1, root_at(base));
        root_release(base);
    }
    return UNSPECIFIED;
}

static Value list_filter(int argc, Value *argv) {
    (void)argc;
    ListBuilder list;
    list_start(&list);
    for (; is_pair(argv[1]); argv[1] = cdr(argv[1])) {
        Value element = car(argv[1]);
        if (is_true(apply(argv[0], 1, &element))) {
            list_add(&list, car(argv[1]));
        }
    }
    return list_finish(&list, NIL);
}

static Value list_fold_left(int argc, Value *argv) {
    (void)argc;
    for (; is_pair(argv[2]); argv[2] = cdr(argv[2])) {
        argv[1] = apply(argv[0], 2, (Value[]){argv[1], car(argv[2])});
    }
    return argv[1];
}

static Value list_fold_right(int argc, Value *argv) {
    argv[2] = list_reverse(argc, argv + 2);
    for (; is_pair(argv[2]); argv[2] = cdr(argv[2])) {
        argv[1] = apply(argv[0], 2, (Value[]){car(argv[2]), argv[1]});
    }
    return argv[1];
}

/* A stable merge sort of items[0..count), which are roots, as is the room behind them. */
static void merge_sort(Value less, size_t items, size_t room, size_t count) {
    if (count < 2) {
        return;
    }
    size_t half = count / 2;
    merge_sort(less, items, room, half);
    merge_sort(less, items + half, room, count - half);
    for (size_t i = 0; i < half; i++) {
        *root_at(room + i) = *root_at(items + i);
    }
    size_t left = 0, right = half, out = 0;
    while (left < half && right < count) {
        Value pair[] = {*root_at(items + right), *root_at(room + left)};
        bool take_right = is_true(apply(less, 2, pair));
        *root_at(items + out++) = take_right ? *root_at(items + right) : *root_at(room + left);
        *(take_right ? &right : &left) += 1;
    }
    while (left < half) {
        *root_at(items + out++) = *root_at(room + left++);
    }
}

static Value list_sort(int argc, Value *argv) {
    (void)argc;
    size_t length = list_length("sort", argv[0]);
    size_t items = root_mark();
    for (Value v = argv[0]; is_pair(v); v = cdr(v)) {
        root_push(car(v));
    }
    size_t room = root_mark();
    for (size_t i = 0; i < length / 2; i++) {
        root_push(NIL);
    }
    merge_sort(argv[1], items, room, length);
    Value sorted = NIL;
    for (size_t i = length; i > 0; i--) {
        sorted = cons(*root_at(items + i - 1), sorted);
    }
    root_release(items);
    return sorted;
}

/* vectors -------------------------------------------------------------------------------------- */

static Object *vector_argument(const char *who, Value v) {
    if (!has_type(v, TYPE_VECTOR)) {
        fail_type(who, "a vector", v);
    }
    return object_of(v);
}

static Value *vector_place(const char *who, const Value *argv) {
    const Object *vector = vector_argument(who, argv[0]);
    size_t i = index_argument(who, argv[1], vector->as.vector.length);
    if (i == vector->as.vector.length) {
        fail_type(who, "an index in range", argv[1]);
    }
    return &vector->as.vector.items[i];
}

static Value vector_is_vector(int argc, Value *argv) {
    (void)argc;
    return boolean(has_type(argv[0], TYPE_VECTOR));
}

static Value vector_make(int argc, Value *argv) {
    size_t length = index_argument("make-vector", argv[0], (size_t)1 << 26);
    return make_vector(length, argc == 2 ? argv[1] : make_fixnum(0));
}

static Value vector_vector(int argc, Value *argv) {
    Value vector = make_vector((size_t)argc, NIL);
    for (int i = 0; i < argc; i++) {
        object_of(vector)->as.vector.items[i] = argv[i];
    }
    return vector;
}

static Value vector_length(int argc, Value *argv) {
    (void)argc;
    return make_fixnum((int64_t)vector_argument("vector-length", argv[0])->as.vector.length);
}

static Value vector_ref(int argc, Value *argv) {
    (void)argc;
    return *vector_place("vector-ref", argv);
}

static Value vector_set(int argc, Value *argv) {
    (void)argc;
    *vector_place("vector-set!", argv) = argv[2];
    return UNSPECIFIED;
}

static Value vector_to_list(int argc, Value *argv) {
    (void)argc;
    const Object *vector = vector_argument("vector->list", argv[0]);
    Value list = NIL;
    for (size_t i = vector->as.vector.length; i > 0; i--) {
        list = cons(vector->as.vector.items[i - 1], list);
    }
    return list;
}

static Value vector_from_list(int argc, Value *argv) {
    (void)argc;
    size_t length = list_length("list->vector", argv[0]);
    Value vector = make_vector(length, NIL);
    Value list = argv[0];
    for (size_t i = 0; i < length; i++, list = cdr(list)) {
        object_of(vector)->as.vector.items[i] = car(list);
    }
    return vector;
}

/* hash tables ---------------------------------------------------------------------------------- */

static Table *table_argument(const char *who, Value v) {
    if (!has_type(v, TYPE_TABLE)) {
        fail_type(who, "a hash table", v);
    }
    return object_of(v)->as.table;
}

static Value hash_make(int argc, Value *argv) {
    (void)argc;
    (void)argv;
    return make_table(true);
}

static Value hash_set(int argc, Value *argv) {
    (void)argc;
    table_put(table_argument("hash-set!", argv[0]), argv[1], argv[2]);
    return UNSPECIFIED;
}

static Value hash_ref(int argc, Value *argv) {
    Value v = table_get(table_argument("hash-ref", argv[0]), argv[1]);
    return v != UNBOUND ? v : argc == 3 ? argv[2] : FALSE_VALUE;
}

static Value hash_delete(int argc, Value *argv) {
    (void)argc;
    return boolean(table_delete(table_argument("hash-delete!", argv[0]), argv[1]));
}

static Value hash_count(int argc, Value *argv) {
    (void)argc;
    return make_fixnum(table_argument("hash-count", argv[0])->live);
}

static Value hash_to_list(int argc, Value *argv) {
    (void)argc;
    const Table *table = table_argument("hash->list", argv[0]);
    ListBuilder list;
    list_start(&list);
    for (uint32_t i = 0; i < table->used; i++) {
        if (table->entries[i].name != UNBOUND) {
            list_add(&list, cons(table->entries[i].name, table->entries[i].value));
        }
    }
    return list_finish(&list, NIL);
}

const Builtin list_builtins[] = {
    {"cons", list_cons, 2, 2},
    {"car", list_car, 1, 1},
    {"cdr", list_cdr, 1, 1},
    {"caar", list_caar, 1, 1},
    {"cadr", list_cadr, 1, 1},
    {"cddr", list_cddr, 1, 1},
    {"caddr", list_caddr, 1, 1},
    {"set-car!", list_set_car, 2, 2},
    {"set-cdr!", list_set_cdr, 2, 2},
    {"pair?", list_is_pair, 1, 1},
    {"null?", list_is_null, 1, 1},
    {"list", list_list, 0, -1},
    {"length", list_get_length, 1, 1},
    {"append", list_append, 0, -1},
    {"reverse", list_reverse, 1, 1},
    {"list-tail", list_tail, 2, 2},
    {"list-ref", list_ref, 2, 2},
    {"iota", list_iota, 1, 3},
    {"memv", list_memv, 2, 2},
    {"memq", list_memv, 2, 2},
    {"member", list_member, 2, 2},
    {"assv", list_assv, 2, 2},
    {"assq", list_assv, 2, 2},
    {"assoc", list_assoc, 2, 2},
    {"map", list_map, 2, -1},
    {"for-each", list_for_each, 2, -1},
    {"filter", list_filter, 2, 2},
    {"fold-left", list_fold_left, 3, 3},
    {"fold-right", list_fold_right, 3, 3},
    {"sort", list_sort, 2, 2},
    {"vector?", vector_is_vector, 1, 1},
    {"make-vector", vector_make, 1, 2},
    {"vector", vector_vector, 0, -1},
    {"vector-length", vector_length, 1, 1},
    {"vector-ref", vector_ref, 2, 2},
    {"vector-set!", vector_set, 3, 3},
    {"vector->list", vector_to_list, 1, 1},
    {"list->vector", vector_from_list, 1, 1},
    {"make-hash-table", hash_make, 0, 0},
    {"hash-set!", hash_set, 3, 3},
    {"hash-ref", hash_ref, 2, 3},
    {"hash-delete!", hash_delete, 2, 2},
    {"hash-count", hash_count, 1, 1},
    {"hash->list", hash_to_list, 1, 1},
    {NULL, NULL, 0, 0},
};
