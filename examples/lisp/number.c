/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers: small integers that become doubles where they overflow, and doubles. */
#include "lisp.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

Value make_integer(int64_t n) {
    return n >= FIXNUM_MIN && n <= FIXNUM_MAX ? make_fixnum(n) : make_flonum((double)n);
}

static double to_double(const char *who, Value v) {
    if (is_fixnum(v)) {
        return (double)fixnum_of(v);
    }
    if (is_flonum(v)) {
        return object_of(v)->as.flonum;
    }
    fail_type(who, "a number", v);
}

int64_t integer_argument(const char *who, Value v) {
    if (!is_fixnum(v)) {
        fail_type(who, "an integer", v);
    }
    return fixnum_of(v);
}

size_t index_argument(const char *who, Value v, size_t limit) {
    int64_t n = integer_argument(who, v);
    if (n < 0 || (uint64_t)n > limit) {
        fail_type(who, "an index in range", v);
    }
    return (size_t)n;
}

/* text ----------------------------------------------------------------------------------------- */

bool parse_number(const char *text, int radix, Value *number) {
    const char *digits = text + (*text == '-' || *text == '+');
    bool hexadecimal_digit = radix == 16 && strchr("abcdefABCDEF", *digits) != NULL;
    bool starts_well = (*digits >= '0' && *digits <= '9') || (*digits == '.' && digits[1] >= '0') ||
                       (*digits != '\0' && hexadecimal_digit);
    if (!starts_well || strpbrk(text, radix == 16 ? "xX" : "xXpPnN")) {
        return false;
    }
    char *end;
    errno = 0;
    long long n = strtoll(text, &end, radix);
    if (*end == '\0' && errno == 0) {
        *number = make_integer(n);
        return true;
    }
    if (radix != 10) {
        return false;
    }
    double d = strtod(text, &end);
    if (*end != '\0') {
        return false;
    }
    *number = make_flonum(d);
    return true;
}

static void format_double(double d, char *out, size_t size) {
    if (isnan(d) || isinf(d)) {
        snprintf(out, size, "%s", isnan(d) ? "+nan.0" : d < 0 ? "-inf.0" : "+inf.0");
        return;
    }
    for (int precision = 15; precision <= 17; precision++) {
        snprintf(out, size, "%.*g", precision, d);
        if (strtod(out, NULL) == d) {
            break;
        }
    }
    if (!strpbrk(out, ".e")) {
        strncat(out, ".0", size - strlen(out) - 1);
    }
}

void format_number(Value number, int radix, char *out, size_t size) {
    if (is_flonum(number)) {
        format_double(object_of(number)->as.flonum, out, size);
        return;
    }
    int64_t n = fixnum_of(number);
    if (radix == 10) {
        snprintf(out, size, "%" PRId64, n);
        return;
    }
    char digits[72];
    size_t count = 0;
    uint64_t rest = n < 0 ? (uint64_t)-n : (uint64_t)n;
    do {
        digits[count++] = "0123456789abcdefghijklmnopqrstuvwxyz"[rest % (uint64_t)radix];
        rest /= (uint64_t)radix;
    } while (rest > 0);
    size_t length = 0;
    if (n < 0 && length + 1 < size) {
        out[length++] = '-';
    }
    while (count > 0 && length + 1 < size) {
        out[length++] = digits[--count];
    }
    out[length] = '\0';
}

/* arithmetic ----------------------------------------------------------------------------------- */

typedef enum { ADD, SUBTRACT, MULTIPLY } Operation;

static Value combine(const char *who, Operation operation, Value a, Value b) {
    if (is_fixnum(a) && is_fixnum(b)) {
        int64_t x = fixnum_of(a), y = fixnum_of(b), result;
        bool overflow = operation == ADD        ? __builtin_add_overflow(x, y, &result)
                        : operation == SUBTRACT ? __builtin_sub_overflow(x, y, &result)
                                                : __builtin_mul_overflow(x, y, &result);
        if (!overflow) {
            return make_integer(result);
        }
    }
    double x = to_double(who, a), y = to_double(who, b);
    return make_flonum(operation == ADD ? x + y : operation == SUBTRACT ? x - y : x * y);
}

static Value fold(const char *who, Operation operation, Value start, int argc, const Value *argv) {
    size_t base = root_push(start);
    for (int i = 0; i < argc; i++) {
        *root_at(base) = combine(who, operation, *root_at(base), argv[i]);
    }
    Value result = *root_at(base);
    root_release(base);
    return result;
}

static Value number_add(int argc, Value *argv) { return fold("+", ADD, make_fixnum(0), argc, argv); }

static Value number_multiply(int argc, Value *argv) {
    return fold("*", MULTIPLY, make_fixnum(1), argc, argv);
}

static Value number_subtract(int argc, Value *argv) {
    return argc == 1 ? combine("-", SUBTRACT, make_fixnum(0), argv[0])
                     : fold("-", SUBTRACT, argv[0], argc - 1, argv + 1);
}

static Value divide(Value a, Value b) {
    if (b == make_fixnum(0)) {
        fail("/: division by zero", a);
    }
    if (is_fixnum(a) && is_fixnum(b) && fixnum_of(a) % fixnum_of(b) == 0) {
        return make_integer(fixnum_of(a) / fixnum_of(b));
    }
    return make_flonum(to_double("/", a) / to_double("/", b));
}

static Value number_divide(int argc, Value *argv) {
    if (argc == 1) {
        return divide(make_fixnum(1), argv[0]);
    }
    for (int i = 1; i < argc; i++) {
        argv[0] = divide(argv[0], argv[i]);
    }
    return argv[0];
}

static int64_t divisor(const char *who, Value v) {
    int64_t n = integer_argument(who, v);
    if (n == 0) {
        fail_type(who, "a divisor other than zero", v);
    }
    return n;
}

static Value number_quotient(int argc, Value *argv) {
    (void)argc;
    int64_t n = integer_argument("quotient", argv[0]);
    return make_integer(n / divisor("quotient", argv[1]));
}

static Value number_remainder(int argc, Value *argv) {
    (void)argc;
    int64_t n = integer_argument("remainder", argv[0]);
    return make_integer(n % divisor("remainder", argv[1]));
}

static Value number_modulo(int argc, Value *argv) {
    (void)argc;
    int64_t n = integer_argument("modulo", argv[0]), d = divisor("modulo", argv[1]);
    int64_t result = n % d;
    return make_integer(result != 0 && (result < 0) != (d < 0) ? result + d : result);
}

static Value number_gcd(int argc, Value *argv) {
    int64_t a = 0;
    for (int i = 0; i < argc; i++) {
        int64_t b = integer_argument("gcd", argv[i]);
        while (b != 0) {
            int64_t next = a % b;
            a = b;
            b = next;
        }
    }
    return make_integer(a < 0 ? -a : a);
}

/* comparison ----------------------------------------------------------------------------------- */

static int compare(const char *who, Value a, Value b) {
    if (is_fixnum(a) && is_fixnum(b)) {
        int64_t x = fixnum_of(a), y = fixnum_of(b);
        return (x > y) - (x < y);
    }
    double x = to_double(who, a), y = to_double(who, b);
    return isnan(x) || isnan(y) ? 2 : (x > y) - (x < y);
}

/* Whether each neighbouring pair compares as one of the bits says: 1 less, 2 equal, 4 greater. */
static Value ordered(const char *who, unsigned wanted, int argc, const Value *argv) {
    bool result = true;
    for (int i = 0; i + 1 < argc; i++) {
        int order = compare(who, argv[i], argv[i + 1]);
        result = result && order != 2 && (wanted >> (order + 1) & 1u);
    }
    if (argc == 1) {
        to_double(who, argv[0]);
    }
    return boolean(result);
}

static Value number_equal(int argc, Value *argv) { return ordered("=", 2, argc, argv); }
static Value number_less(int argc, Value *argv) { return ordered("<", 1, argc, argv); }
static Value number_greater(int argc, Value *argv) { return ordered(">", 4, argc, argv); }
static Value number_less_equal(int argc, Value *argv) { return ordered("<=", 3, argc, argv); }
static Value number_greater_equal(int argc, Value *argv) { return ordered(">=", 6, argc, argv); }

static Value extreme(const char *who, int sign, int argc, const Value *argv) {
    Value best = argv[0];
    to_double(who, best);
    for (int i = 1; i < argc; i++) {
        if (compare(who, argv[i], best) == sign) {
            best = argv[i];
        }
    }
    return best;
}

static Value number_min(int argc, Value *argv) { return extreme("min", -1, argc, argv); }
static Value number_max(int argc, Value *argv) { return extreme("max", 1, argc, argv); }

/* predicates and functions --------------------------------------------------------------------- */

static Value number_is_number(int argc, Value *argv) {
    (void)argc;
    return boolean(is_number(argv[0]));
}

static Value number_is_integer(int argc, Value *argv) {
    (void)argc;
    Value v = argv[0];
    return boolean(is_fixnum(v) || (is_flonum(v) && floor(object_of(v)->as.flonum) == object_of(v)->as.flonum));
}

static Value number_is_exact(int argc, Value *argv) {
    (void)argc;
    to_double("exact?", argv[0]);
    return boolean(is_fixnum(argv[0]));
}

static Value number_is_zero(int argc, Value *argv) {
    (void)argc;
    return boolean(to_double("zero?", argv[0]) == 0);
}

static Value number_is_even(int argc, Value *argv) {
    (void)argc;
    return boolean(integer_argument("even?", argv[0]) % 2 == 0);
}

static Value number_is_odd(int argc, Value *argv) {
    (void)argc;
    return boolean(integer_argument("odd?", argv[0]) % 2 != 0);
}

static Value number_abs(int argc, Value *argv) {
    (void)argc;
    return is_fixnum(argv[0]) ? make_integer(llabs(fixnum_of(argv[0])))
                              : make_flonum(fabs(to_double("abs", argv[0])));
}

static Value rounded(const char *who, Value v, double (*function)(double)) {
    return is_fixnum(v) ? v : make_flonum(function(to_double(who, v)));
}

static Value number_floor(int argc, Value *argv) {
    (void)argc;
    return rounded("floor", argv[0], floor);
}

static Value number_ceiling(int argc, Value *argv) {
    (void)argc;
    return rounded("ceiling", argv[0], ceil);
}

static Value number_truncate(int argc, Value *argv) {
    (void)argc;
    return rounded("truncate", argv[0], trunc);
}

static Value number_round(int argc, Value *argv) {
    (void)argc;
    return rounded("round", argv[0], nearbyint);
}

static Value number_exact(int argc, Value *argv) {
    (void)argc;
    double d = to_double("exact", argv[0]);
    if (is_fixnum(argv[0])) {
        return argv[0];
    }
    if (!(fabs(d) < 4e18) || trunc(d) != d) {
        fail_type("exact", "a whole number in range", argv[0]);
    }
    return make_integer((int64_t)d);
}

static Value number_inexact(int argc, Value *argv) {
    (void)argc;
    return make_flonum(to_double("inexact", argv[0]));
}

static Value number_sqrt(int argc, Value *argv) {
    (void)argc;
    double d = to_double("sqrt", argv[0]);
    double root = sqrt(d);
    return is_fixnum(argv[0]) && root == floor(root) && root < 3e9 ? make_integer((int64_t)root)
                                                                   : make_flonum(root);
}

static Value number_expt(int argc, Value *argv) {
    (void)argc;
    if (!is_fixnum(argv[0]) || !is_fixnum(argv[1]) || fixnum_of(argv[1]) < 0) {
        return make_flonum(pow(to_double("expt", argv[0]), to_double("expt", argv[1])));
    }
    size_t result = root_push(make_fixnum(1));
    size_t square = root_push(argv[0]);
    for (int64_t n = fixnum_of(argv[1]); n > 0; n /= 2) {
        if (n % 2) {
            *root_at(result) = combine("expt", MULTIPLY, *root_at(result), *root_at(square));
        }
        if (n > 1) {
            *root_at(square) = combine("expt", MULTIPLY, *root_at(square), *root_at(square));
        }
    }
    root_release(result);
    return *root_at(result);
}

static Value number_exp(int argc, Value *argv) {
    (void)argc;
    return make_flonum(exp(to_double("exp", argv[0])));
}

static Value number_log(int argc, Value *argv) {
    double d = log(to_double("log", argv[0]));
    return make_flonum(argc == 2 ? d / log(to_double("log", argv[1])) : d);
}

static Value number_sin(int argc, Value *argv) {
    (void)argc;
    return make_flonum(sin(to_double("sin", argv[0])));
}

static Value number_cos(int argc, Value *argv) {
    (void)argc;
    return make_flonum(cos(to_double("cos", argv[0])));
}

static Value number_atan(int argc, Value *argv) {
    double y = to_double("atan", argv[0]);
    return make_flonum(argc == 2 ? atan2(y, to_double("atan", argv[1])) : atan(y));
}

static int radix_argument(const char *who, int argc, const Value *argv) {
    int64_t radix = argc == 2 ? integer_argument(who, argv[1]) : 10;
    if (radix < 2 || radix > 36) {
        fail_type(who, "a radix from 2 to 36", argv[1]);
    }
    return (int)radix;
}

static Value number_to_string(int argc, Value *argv) {
    char text[80];
    to_double("number->string", argv[0]);
    format_number(argv[0], radix_argument("number->string", argc, argv), text, sizeof text);
    return make_string(text, strlen(text));
}

static Value number_from_string(int argc, Value *argv) {
    if (!is_string(argv[0])) {
        fail_type("string->number", "a string", argv[0]);
    }
    Value number;
    int radix = radix_argument("string->number", argc, argv);
    return parse_number(object_of(argv[0])->as.text.data, radix, &number) ? number : FALSE_VALUE;
}

const Builtin number_builtins[] = {
    {"+", number_add, 0, -1},
    {"*", number_multiply, 0, -1},
    {"-", number_subtract, 1, -1},
    {"/", number_divide, 1, -1},
    {"quotient", number_quotient, 2, 2},
    {"remainder", number_remainder, 2, 2},
    {"modulo", number_modulo, 2, 2},
    {"gcd", number_gcd, 0, -1},
    {"=", number_equal, 1, -1},
    {"<", number_less, 1, -1},
    {">", number_greater, 1, -1},
    {"<=", number_less_equal, 1, -1},
    {">=", number_greater_equal, 1, -1},
    {"min", number_min, 1, -1},
    {"max", number_max, 1, -1},
    {"number?", number_is_number, 1, 1},
    {"integer?", number_is_integer, 1, 1},
    {"exact?", number_is_exact, 1, 1},
    {"zero?", number_is_zero, 1, 1},
    {"even?", number_is_even, 1, 1},
    {"odd?", number_is_odd, 1, 1},
    {"abs", number_abs, 1, 1},
    {"floor", number_floor, 1, 1},
    {"ceiling", number_ceiling, 1, 1},
    {"truncate", number_truncate, 1, 1},
    {"round", number_round, 1, 1},
    {"exact", number_exact, 1, 1},
    {"inexact", number_inexact, 1, 1},
    {"sqrt", number_sqrt, 1, 1},
    {"expt", number_expt, 2, 2},
    {"exp", number_exp, 1, 1},
    {"log", number_log, 1, 2},
    {"sin", number_sin, 1, 1},
    {"cos", number_cos, 1, 1},
    {"atan", number_atan, 1, 2},
    {"number->string", number_to_string, 1, 2},
    {"string->number", number_from_string, 1, 2},
    {NULL, NULL, 0, 0},
};
