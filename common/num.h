/*
 * Numbers from text and text from bytes.
 */
#ifndef COMMON_NUM_H
#define COMMON_NUM_H

#include <stddef.h>
#include <stdint.h>

/*
 * Reads the decimal integer ${text}, an optional minus sign and digits and
 * nothing else (no space, no plus sign, no leading zero but "0" itself), and
 * writes it to ${out}.
 * Returns 0, or -1 with ${out} untouched when the text is anything else or
 * its value is outside ${min}..${max}.
 */
int num_parse(const char *text, int64_t min, int64_t max, int64_t *out)
    __attribute__((warn_unused_result));

/*
 * A number in ${first}..${last} (inclusive) made from eight random bytes.
 * The bias of the modulo is below 2^-31 for ranges of up to 2^32 values.
 */
uint64_t num_in_range(const uint8_t random[static 8], uint64_t first,
    uint64_t last);

/* Writes ${len} bytes as lower-case hex digits and a NUL to ${hex}. */
void num_hex(const uint8_t *bytes, size_t len, char *hex);

#endif
