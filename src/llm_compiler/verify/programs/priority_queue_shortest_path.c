/* Exercises: Dijkstra on a grid graph with a binary heap, Bellman-Ford as the check, union-find spanning tree, flood fill. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>

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


enum { SIDE = 9, NODES = SIDE * SIDE, FAR = 1 << 20 };
static int cost[NODES], distance[NODES], second[NODES];
static struct { int node, key; } heap[NODES * 4];
static int heap_size;

static void push(int node, int key) {
    int i = heap_size++;
    while (i > 0 && heap[(i - 1) / 2].key > key) {
        heap[i] = heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    heap[i].node = node;
    heap[i].key = key;
}
static int pop(int *key) {
    int node = heap[0].node, at = 0;
    *key = heap[0].key;
    heap_size--;
    for (;;) {
        int child = at * 2 + 1;
        if (child >= heap_size) break;
        if (child + 1 < heap_size && heap[child + 1].key < heap[child].key) child++;
        if (heap[heap_size].key <= heap[child].key) break;
        heap[at] = heap[child];
        at = child;
    }
    heap[at] = heap[heap_size];
    return node;
}
static int neighbour(int node, int direction) {
    int row = node / SIDE, column = node % SIDE;
    switch (direction) {
    case 0: return row > 0 ? node - SIDE : -1;
    case 1: return column < SIDE - 1 ? node + 1 : -1;
    case 2: return row < SIDE - 1 ? node + SIDE : -1;
    default: return column > 0 ? node - 1 : -1;
    }
}
static int dijkstra(int from) {
    int pops = 0;
    for (int i = 0; i < NODES; i++) distance[i] = FAR;
    distance[from] = 0;
    push(from, 0);
    while (heap_size > 0) {
        int key, node = pop(&key);
        pops++;
        if (key > distance[node]) continue;
        for (int d = 0; d < 4; d++) {
            int to = neighbour(node, d);
            if (to < 0 || cost[to] == 0) continue;
            if (key + cost[to] < distance[to]) {
                distance[to] = key + cost[to];
                push(to, distance[to]);
            }
        }
    }
    return pops;
}
static void relax_all(int from) {
    int changed;
    for (int i = 0; i < NODES; i++) second[i] = i == from ? 0 : FAR;
    do {
        changed = 0;
        for (int node = NODES - 1; node >= 0; node--)
            for (int d = 0; d < 4; d++) {
                int to = neighbour(node, d);
                if (to >= 0 && cost[to] && second[node] < FAR && second[to] > second[node] + cost[to]) second[to] = second[node] + cost[to], changed = 1;
            }
    } while (changed);
}
static int parent[NODES];
static int find(int x) {
    while (parent[x] != x) x = parent[x] = parent[parent[x]];
    return x;
}
static int fill(int node, unsigned char *seen) {
    if (node < 0 || seen[node] || cost[node] == 0) return 0;
    seen[node] = 1;
    int area = 1;
    for (int d = 0; d < 4; d++) area += fill(neighbour(node, d), seen);
    return area;
}

int main(void) {
    uint32_t x = 7;
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < NODES; i++) {
            x = x * 1103515245 + 12345;
            cost[i] = (x >> 16) % 4 == 0 ? 0 : (int)((x >> 20) % 9) + 1; /* 0 is a wall */
        }
        cost[40] = 1;
        mix((uint64_t)dijkstra(40));
        relax_all(40);
        int reached = 0, sets = 0;
        for (int i = 0; i < NODES; i++) {
            CHECK(distance[i] == second[i]);
            mix((uint64_t)distance[i]);
            reached += distance[i] < FAR;
        }
        unsigned char seen[NODES] = {0};
        CHECK(fill(40, seen) == reached && heap_size == 0);
        for (int i = 0; i < NODES; i++) parent[i] = i;
        for (int i = 0; i < NODES; i++)
            for (int d = 1; d <= 2; d++) {
                int to = neighbour(i, d);
                if (to >= 0 && cost[i] && cost[to]) parent[find(i)] = find(to);
            }
        for (int i = 0; i < NODES; i++) {
            CHECK((cost[i] && find(i) == find(40)) == (distance[i] < FAR));
            if (cost[i] && find(i) == i) sets++;
        }
        mix((uint64_t)sets);
    }
    for (int i = 0; i < NODES; i++) cost[i] = 1;
    dijkstra(0);
    CHECK(distance[NODES - 1] == 2 * (SIDE - 1) && distance[1] == 1 && distance[SIDE] == 1 && distance[20] == 4);
    return finish("priority_queue_shortest_path", UINT64_C(0x67feaf780b54f7df));
}
