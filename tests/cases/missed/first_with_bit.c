/* Copies six words and returns the place of the first that has a bit set. */
#include <stdint.h>
int first_with_bit(const uint64_t *words, unsigned bit) {
    uint64_t copy[6];
    for (int i = 0; i < 6; i++)
        copy[i] = words[i];
    for (int i = 0; i < 6; i++)
        if (copy[i] >> bit & 1)
            return i;
    return -1;
}
