/* The sum of a fixed number of bytes in a loop. */
unsigned sum_of_bytes(const unsigned char *data) {
    unsigned sum = 0;
    for (int i = 0; i < 100; i++)
        sum += data[i];
    return sum;
}
