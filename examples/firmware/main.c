/* A day in the greenhouse, at four steps a minute, with what somebody types in between. */
#include "board.h"
#include "control.h"

static struct control control;
static uint32_t noise = 2463534242u;

static int16_t reading(int sensor, int32_t middle, int32_t spread) {
    noise ^= noise << 13;
    noise ^= noise >> 17;
    noise ^= noise << 5;
    return (int16_t)(middle + (int32_t)(noise % (uint32_t)(2 * spread + 1)) - spread + sensor);
}

static int ask(const char *line) {
    char answer[MAX_LINE * 2];
    bool ok = control_command(&control, line, answer, sizeof answer);
    board_print(ok ? "> " : "! ");
    board_print(line);
    board_print("\n");
    board_print(answer);
    board_print("\n");
    return ok ? 0 : 1;
}

int main(void) {
    static const char *const lines[] = {"status", "target 2300", "gain 9", "log", "target 9", "sing"};
    int32_t air = 1500;
    int refused = 0;
    control_reset(&control);
    for (int step = 0; step < 480; step++) {
        int16_t raw[NUM_SENSORS] = {
            reading(0, air, 40), reading(1, 1700, 25), reading(2, 4200 - step * 8, 60),
        };
        control_step(&control, raw);
        air += control.power / 4 - (air - 1200) / 40;
        if (step % 80 == 79) refused += ask(lines[step / 80]);
    }
    refused += ask("status") + ask("log");
    return refused == 2 ? 0 : 1;
}
