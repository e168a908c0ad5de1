/* The control of a greenhouse: filtered sensors, a heater, a log, and commands over a line. */
#ifndef CONTROL_H
#define CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NUM_SENSORS = 3, LOG_ENTRIES = 16, MAX_LINE = 48 };

/* Temperatures and moisture in hundredths. */
struct filter { int32_t state; uint8_t shift; bool primed; };
struct regulator { int32_t target, gain, integral, limit; };
struct entry { uint32_t second; int16_t values[NUM_SENSORS]; uint8_t power; };
struct journal { struct entry entries[LOG_ENTRIES]; uint8_t first, count; };
struct control {
    struct filter filters[NUM_SENSORS];
    struct regulator heater;
    struct journal journal;
    uint32_t second;
    uint8_t power;
    bool alarm;
};

void control_reset(struct control *control);
void control_step(struct control *control, const int16_t raw[NUM_SENSORS]);
bool control_command(struct control *control, const char *line, char *answer, size_t size);
uint16_t journal_checksum(const struct journal *journal);

#endif
