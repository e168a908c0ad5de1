/* Exercises: a class hierarchy of expressions: virtual evaluation, double dispatch visitors, simplification by dynamic_cast, clone, derivative. */
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string.h>

static int failed_line;
static uint64_t digest = UINT64_C(0xcbf29ce484222325);

#define CHECK(condition) \
    do { \
        if (!(condition) && failed_line == 0) failed_line = __LINE__ < 255 ? __LINE__ : 255; \
    } while (0)

static __attribute__((noinline)) void mix(uint64_t value) {
    digest = (digest ^ value) * UINT64_C(0x100000001b3);
    digest ^= digest >> 29;
}

static int finish(const char *name, uint64_t expected) {
    printf("%s %016" PRIx64 "\n", name, digest);
    CHECK(digest == expected);
    return failed_line;
}


struct Number; struct Variable; struct Binary;
struct Visitor { virtual void see(const Number &) = 0; virtual void see(const Variable &) = 0; virtual void see(const Binary &) = 0; virtual ~Visitor() = default; };
static int live;
struct Expression {
    Expression() { live++; }
    virtual ~Expression() { live--; }
    virtual int64_t value(const int64_t *v) const = 0;
    virtual void accept(Visitor &) const = 0;
};
using Owned = std::unique_ptr<Expression>;
struct Number : Expression {
    int64_t n;
    explicit Number(int64_t x) : n(x) {}
    int64_t value(const int64_t *) const override { return n; }
    void accept(Visitor &v) const override { v.see(*this); }
};
struct Variable : Expression {
    int index;
    explicit Variable(int i) : index(i) {}
    int64_t value(const int64_t *v) const override { return v[index]; }
    void accept(Visitor &v) const override { v.see(*this); }
};
struct Binary : Expression {
    char op;
    Owned l, r;
    Binary(char o, Owned a, Owned b) : op(o), l(std::move(a)), r(std::move(b)) {}
    int64_t value(const int64_t *v) const override {
        int64_t a = l->value(v), b = r->value(v);
        switch (op) {
        case '+': return a + b;
        case '-': return a - b;
        case '*': return a * b;
        default: throw op;
        }
    }
    void accept(Visitor &v) const override { v.see(*this); }
};
static Owned num(int64_t n) { return std::make_unique<Number>(n); }
static Owned var(int i) { return std::make_unique<Variable>(i); }
static Owned bin(char op, Owned a, Owned b) { return std::make_unique<Binary>(op, std::move(a), std::move(b)); }

struct Printer : Visitor {
    char text[256] = "";
    int n = 0;
    void put(const char *s) { while (*s && n < 255) text[n++] = *s++; text[n] = 0; }
    void see(const Number &x) override { char t[24]; snprintf(t, sizeof t, "%" PRId64, x.n); put(t); }
    void see(const Variable &x) override { char t[2] = {char('x' + x.index), 0}; put(t); }
    void see(const Binary &b) override { char t[2] = {b.op, 0}; put("("); b.l->accept(*this); put(t); b.r->accept(*this); put(")"); }
};
struct Depth : Visitor {
    int depth = 0, deepest = 0, leaves = 0;
    void leaf() { leaves++; if (depth > deepest) deepest = depth; }
    void see(const Number &) override { leaf(); }
    void see(const Variable &) override { leaf(); }
    void see(const Binary &b) override { depth++; b.l->accept(*this); b.r->accept(*this); depth--; }
};
static Owned clone(const Expression &e) {
    if (auto *n = dynamic_cast<const Number *>(&e)) return num(n->n);
    if (auto *v = dynamic_cast<const Variable *>(&e)) return var(v->index);
    auto &b = dynamic_cast<const Binary &>(e);
    return bin(b.op, clone(*b.l), clone(*b.r));
}
static Owned simplify(Owned e) {
    auto *b = dynamic_cast<Binary *>(e.get());
    if (!b) return e;
    b->l = simplify(std::move(b->l));
    b->r = simplify(std::move(b->r));
    auto *l = dynamic_cast<Number *>(b->l.get()), *r = dynamic_cast<Number *>(b->r.get());
    if (l && r) return num(b->value(nullptr));
    if (b->op == '*' && ((l && l->n == 0) || (r && r->n == 0))) return num(0);
    if (l && l->n == (b->op == '*') && b->op != '-') return std::move(b->r);
    if (r && r->n == (b->op == '*')) return std::move(b->l);
    return e;
}
static Owned derive(const Expression &e, int by) {
    if (dynamic_cast<const Number *>(&e)) return num(0);
    if (auto *v = dynamic_cast<const Variable *>(&e)) return num(v->index == by);
    auto &b = static_cast<const Binary &>(e);
    if (b.op != '*') return bin(b.op, derive(*b.l, by), derive(*b.r, by));
    return bin('+', bin('*', derive(*b.l, by), clone(*b.r)), bin('*', clone(*b.l), derive(*b.r, by)));
}
static bool prints(const Expression &e, const char *expected) {
    Printer p;
    e.accept(p);
    for (char *c = p.text; *c; c++) mix(uint64_t(*c));
    return strcmp(p.text, expected) == 0;
}

int main() {
    {
        Owned e = bin('-', bin('*', bin('*', var(0), var(0)), num(3)), bin('+', bin('*', var(0), var(1)), num(-7)));
        CHECK(prints(*e, "(((x*x)*3)-((x*y)+-7))") && live == 11);
        for (int64_t x = -4; x < 5; x++)
            for (int64_t y = -2; y < 3; y++) {
                int64_t v[] = {x, y};
                CHECK(e->value(v) == x * x * 3 - (x * y - 7));
                CHECK(derive(*e, 0)->value(v) == 6 * x - y && simplify(derive(*e, 1))->value(v) == -x);
            }
        CHECK(prints(*simplify(derive(*e, 0)), "(((x+x)*3)-y)") && prints(*simplify(derive(*e, 1)), "(0-x)"));
        Depth d;
        e->accept(d);
        CHECK(d.leaves == 6 && d.deepest == 3 && d.depth == 0);
        CHECK(prints(*simplify(bin('+', bin('*', num(6), num(7)), bin('-', num(1), num(1)))), "42"));
        bool thrown = false;
        try {
            bin('?', num(1), num(2))->value(nullptr);
        } catch (char c) {
            thrown = c == '?';
        }
        CHECK(thrown && live == 11);
    }
    CHECK(live == 0);
    return finish("expression_tree_visitors", UINT64_C(0x657e60c6aa74b103));
}
