#include "control.h"

struct text { char *at, *end; };

static void add_char(struct text *text, char letter) {
    if (text->at < text->end) *text->at++ = letter;
}

static void add_words(struct text *text, const char *words) {
    while (*words) add_char(text, *words++);
}

static void add_number(struct text *text, int32_t number) {
    char digits[12];
    int count = 0;
    uint32_t rest = number < 0 ? 0u - (uint32_t)number : (uint32_t)number;
    if (number < 0) add_char(text, '-');
    do digits[count++] = (char)('0' + rest % 10);
    while (rest /= 10);
    while (count) add_char(text, digits[--count]);
}

static void add_hundredths(struct text *text, int32_t number) {
    if (number < 0) {
        add_char(text, '-');
        number = -number;
    }
    add_number(text, number / 100);
    add_char(text, '.');
    add_char(text, (char)('0' + number / 10 % 10));
    add_char(text, (char)('0' + number % 10));
}

static bool takes(const char **line, const char *word) {
    const char *at = *line;
    while (*word && *at == *word) at++, word++;
    if (*word || (*at && *at != ' ')) return false;
    while (*at == ' ') at++;
    *line = at;
    return true;
}

static bool number(const char **line, int32_t *value) {
    const char *at = *line;
    bool negative = *at == '-';
    int32_t found = 0;
    if (negative) at++;
    if (*at < '0' || *at > '9') return false;
    while (*at >= '0' && *at <= '9') {
        if (found > 100000) return false;
        found = found * 10 + (*at++ - '0');
    }
    while (*at == ' ') at++;
    *value = negative ? -found : found;
    *line = at;
    return true;
}

static void describe(const struct control *control, struct text *text) {
    add_words(text, "t=");
    add_number(text, (int32_t)control->second);
    for (int i = 0; i < NUM_SENSORS; i++) {
        add_words(text, i == 0 ? " air=" : i == 1 ? " soil=" : " moisture=");
        add_hundredths(text, control->filters[i].state / 16);
    }
    add_words(text, " power=");
    add_number(text, control->power);
    if (control->alarm) add_words(text, " ALARM");
}

bool control_command(struct control *control, const char *line, char *answer, size_t size) {
    struct text text = {answer, answer + size - 1};
    int32_t value = 0;
    bool ok = true;
    if (takes(&line, "status")) {
        describe(control, &text);
    } else if (takes(&line, "target")) {
        ok = number(&line, &value) && value >= 500 && value <= 3500;
        if (ok) control->heater.target = value;
        add_words(&text, ok ? "target " : "bad target");
        if (ok) add_hundredths(&text, control->heater.target);
    } else if (takes(&line, "gain")) {
        ok = number(&line, &value) && value > 0 && value < 64;
        if (ok) control->heater.gain = value;
        add_words(&text, ok ? "gain " : "bad gain");
        if (ok) add_number(&text, control->heater.gain);
    } else if (takes(&line, "log")) {
        add_number(&text, control->journal.count);
        add_words(&text, " entries, checksum ");
        add_number(&text, journal_checksum(&control->journal));
    } else if (takes(&line, "reset")) {
        control_reset(control);
        add_words(&text, "reset");
    } else {
        ok = false;
        add_words(&text, "commands: status, target N, gain N, log, reset");
    }
    *text.at = '\0';
    return ok && !*line;
}
