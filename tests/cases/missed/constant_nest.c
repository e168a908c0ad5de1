/* Nested loops whose result does not depend on anything. */
int constant_nest(void) {
    int count = 0;
    for (int i = 0; i < 7; i++)
        for (int j = i; j < 9; j++)
            if ((i ^ j) & 1)
                count += i * j;
    return count;
}
