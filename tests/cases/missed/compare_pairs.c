/* Compares two pairs of words, the first word first. */
#include <stdbool.h>
#include <stdint.h>
struct pair { uint64_t first, second; };
bool compare_pairs(const struct pair *a, const struct pair *b) {
    if (a->first != b->first)
        return a->first < b->first;
    return a->second < b->second;
}
