/* Two loops of two trips each, with remainders: a constant. */
int two_trips(void) {
    int values[2], sum = 0;
    for (int i = 0; i < 2; i++)
        values[i] = (i + 5) * 23 % 17;
    for (int i = 0; i < 2; i++)
        sum += values[i] % (i + 3);
    return sum;
}
