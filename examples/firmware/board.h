/* What the program needs of a board: a place to print to, and an end. */
#ifndef BOARD_H
#define BOARD_H

void board_print(const char *text);
_Noreturn void board_stop(int code);

#endif
