#include "control.h"

static int32_t filter_step(struct filter *filter, int32_t raw) {
    int32_t scaled = raw * 16;
    if (!filter->primed) {
        filter->state = scaled;
        filter->primed = true;
    } else {
        filter->state += (scaled - filter->state) >> filter->shift;
    }
    return filter->state / 16;
}

static uint8_t regulator_step(struct regulator *regulator, int32_t value) {
    int32_t error = regulator->target - value;
    regulator->integral += error / 8;
    if (regulator->integral > regulator->limit) regulator->integral = regulator->limit;
    if (regulator->integral < -regulator->limit) regulator->integral = -regulator->limit;
    int32_t power = error * regulator->gain / 64 + regulator->integral / 16;
    if (power < 0) power = 0;
    if (power > 100) power = 100;
    return (uint8_t)power;
}

static void journal_add(struct journal *journal, const struct entry *entry) {
    uint8_t place = (uint8_t)((journal->first + journal->count) % LOG_ENTRIES);
    journal->entries[place] = *entry;
    if (journal->count < LOG_ENTRIES) journal->count++;
    else journal->first = (uint8_t)((journal->first + 1) % LOG_ENTRIES);
}

/* CRC-16/CCITT-FALSE */
static uint16_t checksum_add(uint16_t checksum, uint8_t byte) {
    checksum ^= (uint16_t)(byte << 8);
    for (int bit = 0; bit < 8; bit++)
        checksum = checksum & 0x8000 ? (uint16_t)(checksum << 1 ^ 0x1021) : (uint16_t)(checksum << 1);
    return checksum;
}

static uint16_t checksum_word(uint16_t checksum, uint32_t word, int bytes) {
    for (int i = bytes - 1; i >= 0; i--) checksum = checksum_add(checksum, (uint8_t)(word >> 8 * i));
    return checksum;
}

uint16_t journal_checksum(const struct journal *journal) {
    uint16_t checksum = 0xffff;
    for (int i = 0; i < journal->count; i++) {
        const struct entry *entry = &journal->entries[(journal->first + i) % LOG_ENTRIES];
        checksum = checksum_word(checksum, entry->second, 4);
        for (int k = 0; k < NUM_SENSORS; k++)
            checksum = checksum_word(checksum, (uint16_t)entry->values[k], 2);
        checksum = checksum_word(checksum, entry->power, 1);
    }
    return checksum;
}

void control_reset(struct control *control) {
    *control = (struct control){.heater = {.target = 2150, .gain = 5, .limit = 1600}};
    for (int i = 0; i < NUM_SENSORS; i++) control->filters[i].shift = (uint8_t)(1 + i);
}

void control_step(struct control *control, const int16_t raw[NUM_SENSORS]) {
    struct entry entry = {.second = ++control->second};
    for (int i = 0; i < NUM_SENSORS; i++)
        entry.values[i] = (int16_t)filter_step(&control->filters[i], raw[i]);
    control->alarm = entry.values[0] > 3800 || entry.values[0] < 200 || entry.values[2] < 500;
    control->power = control->alarm ? 0 : regulator_step(&control->heater, entry.values[0]);
    entry.power = control->power;
    if (control->second % 4 == 0) journal_add(&control->journal, &entry);
}
