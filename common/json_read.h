/*
 * Builds the tree of a JSON text that json_scan() let pass. Not json-c's own
 * tokener: short of memory that of 0.16 crashes, drops members, and leaves out
 * parts of strings.
 */
#ifndef COMMON_JSON_READ_H
#define COMMON_JSON_READ_H

#include <stddef.h>

struct json;

enum json_read_result {
	JSON_READ_OK,
	JSON_READ_WRONG, /* tokens in the wrong order */
	JSON_READ_NO_MEMORY,
};

/*
 * Reads the ${len} bytes at ${text}, and nothing else may be there.
 * JSON_READ_OK: ${json} is the value, which the caller frees, or NULL for a
 * null. JSON_READ_WRONG: ${place}, counted from 0, is what does not fit; at
 * the end of the text, something is missing.
 */
enum json_read_result json_read(const char *text, size_t len,
    struct json **json, size_t *place);

#endif
