/*
 * Builds the tree of a JSON text that json_scan() let pass. Not json-c's own
 * tokener: short of memory that of 0.16 crashes, drops members, and leaves out
 * parts of strings.
 */
#ifndef COMMON_JSON_READ_H
#define COMMON_JSON_READ_H

#include <stdbool.h>
#include <stddef.h>

struct json;

enum json_read_result {
	JSON_READ_OK,
	JSON_READ_WRONG, /* tokens in the wrong order */
	JSON_READ_NO_MEMORY,
	JSON_READ_TWICE, /* only if ${unique} */
};

/*
 * Reads the ${len} bytes at ${text}, and nothing else may be there.
 * JSON_READ_OK: ${json} is the value, which the caller frees, or NULL for a
 * null. JSON_READ_WRONG: ${place}, counted from 0, is what does not fit; at
 * the end of the text, something is missing.
 * With ${unique}, an object that has two members of one name is not read:
 * JSON_READ_TWICE, ${place} is behind the second one. Else the last one counts.
 */
enum json_read_result json_read(const char *text, size_t len, bool unique,
    struct json **json, size_t *place);

#endif
