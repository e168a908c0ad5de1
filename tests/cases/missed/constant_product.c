/* An element of the product of two constant 3x3 matrices. */
float constant_product(void) {
    static const float a[3][3] = {{1, 2, 0}, {0, 1, 3}, {4, 0, 1}};
    static const float b[3][3] = {{2, 0, 1}, {1, 3, 0}, {0, 1, 2}};
    float c[3][3], sum = 0;
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) {
            c[i][j] = 0;
            for (int k = 0; k < 3; k++)
                c[i][j] += a[i][k] * b[k][j];
        }
    for (int i = 0; i < 3; i++)
        sum += c[i][i];
    return sum;
}
