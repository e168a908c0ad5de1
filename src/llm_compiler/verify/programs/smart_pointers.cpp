/* Exercises: unique_ptr with deleters, shared_ptr, weak_ptr cycles, enable_shared_from_this, own intrusive pointer, arrays. */
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <vector>

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


static int live;
struct Node : std::enable_shared_from_this<Node> {
    int id;
    std::shared_ptr<Node> child;
    std::weak_ptr<Node> parent;
    explicit Node(int i) : id(i) { live++; }
    virtual ~Node() { live--; mix(uint64_t(id)); }
    void adopt(int i) {
        child = std::make_shared<Node>(i);
        child->parent = shared_from_this();
    }
};
struct Special : Node { using Node::Node; ~Special() override { mix(999); } };
struct Deleter {
    int *calls;
    void operator()(int *p) const { ++*calls; delete p; }
};
static std::unique_ptr<Node> make(int i) { return i % 2 ? std::make_unique<Node>(i) : std::unique_ptr<Node>(new Special(i)); }
static int consume(std::unique_ptr<Node> p) { return p ? p->id : -1; }

template <typename T> class Counted {
    T *p;
    void drop() { if (p && --p->references == 0) delete p; }
public:
    explicit Counted(T *t = nullptr) : p(t) { if (p) p->references++; }
    Counted(const Counted &o) : Counted(o.p) {}
    Counted &operator=(const Counted &o) {
        if (o.p) o.p->references++;
        drop();
        p = o.p;
        return *this;
    }
    ~Counted() { drop(); }
    T *operator->() const { return p; }
    explicit operator bool() const { return p != nullptr; }
};
struct Thing { int references = 0, value; explicit Thing(int v) : value(v) { live++; } ~Thing() { live--; } };

int main() {
    {
        auto a = make(1), b = make(2);
        CHECK(live == 2);
        int consumed = consume(std::move(a));
        CHECK(consumed == 1 && live == 1 && !a && consume(std::move(a)) == -1);
        a = std::move(b);
        CHECK(a->id == 2 && !b && live == 1);
        Node *raw = a.release();
        b.reset(raw);
        b.reset(new Node(5));
        CHECK(live == 1 && b->id == 5);
        b.swap(a);
        CHECK(a && !b);
    }
    CHECK(live == 0);
    int calls = 0;
    {
        std::unique_ptr<int, Deleter> p(new int(4), Deleter{&calls}), q(nullptr, Deleter{&calls});
        *p += 3;
        q = std::move(p);
        CHECK(*q == 7 && calls == 0);
        q.reset(new int(8));
        CHECK(calls == 1 && *q == 8);
    }
    CHECK(calls == 2);
    {
        auto root = std::make_shared<Node>(10);
        root->adopt(11);
        root->child->adopt(12);
        std::weak_ptr<Node> leaf = root->child->child;
        CHECK(live == 3 && leaf.lock()->parent.lock()->parent.lock() == root);
        CHECK(root.use_count() == 1 && root->child.use_count() == 1);
        std::shared_ptr<Node> kept = root->child;
        CHECK(kept.use_count() == 2);
        root.reset();
        CHECK(live == 2 && kept->parent.expired() && !leaf.expired());
        std::shared_ptr<int> inside(kept, &kept->id);
        kept.reset();
        CHECK(live == 2 && *inside == 11);
        inside.reset();
        CHECK(live == 0 && leaf.expired() && !leaf.lock());
    }
    {
        std::vector<std::shared_ptr<Node>> all;
        for (int i = 0; i < 12; i++) all.push_back(i % 3 && i > 1 ? all[size_t(i / 2)] : std::shared_ptr<Node>(make(i)));
        for (auto &p : all) mix(uint64_t(p.use_count()) * 100 + uint64_t(p->id));
        all.erase(all.begin() + 2, all.begin() + 9);
        mix(uint64_t(live));
        auto special = std::dynamic_pointer_cast<Special>(all[0]);
        CHECK(special && special->id == 0 && !std::dynamic_pointer_cast<Special>(all[1]));
    }
    CHECK(live == 0);
    {
        Counted<Thing> a(new Thing(5)), b = a, none;
        CHECK(a->references == 2 && !none);
        none = b;
        b = Counted<Thing>(new Thing(6));
        CHECK(a->references == 2 && b->references == 1 && live == 2 && none->value == 5);
        const Counted<Thing> &same = b;
        b = same;
        a = none = b;
        CHECK(live == 1 && a->references == 3 && a->value == 6);
        auto array = std::make_unique<int[]>(10);
        array[3] = a->value * 7;
        CHECK(array[3] == 42 && array[9] == 0);
    }
    CHECK(live == 0);
    return finish("smart_pointers", UINT64_C(0x805b0b1482280927));
}
