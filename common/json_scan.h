/*
 * What a JSON text may be made of: its characters, strings, numbers, words and
 * depth. Whether they stand in the right order is left to the parser.
 */
#ifndef COMMON_JSON_SCAN_H
#define COMMON_JSON_SCAN_H

#include <stddef.h>

/*
 * Checks the ${len} bytes at ${text}, with at most ${depth_max} levels.
 * Returns NULL when all is well, else what is wrong ("invalid UTF-8"), with
 * the place, counted from 0, in ${place}.
 */
const char *json_scan(const char *text, size_t len, size_t depth_max,
    size_t *place);

#endif
