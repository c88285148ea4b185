/*
 * What json_read.c and json_merge.c build a struct json from. Each returns NULL
 * or -1 when memory ran out.
 */
#ifndef COMMON_JSON_MAKE_H
#define COMMON_JSON_MAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct json;

/* A string of ${len} bytes of UTF-8, which may have NULs. */
struct json *json_make_text(const char *text, size_t len);

struct json *json_make_bool(bool value);
struct json *json_make_int(int64_t value);

/* The number that is written ${text}, and is printed like that. */
struct json *json_make_double(const char *text);

/* A copy of a value that is no array or object. */
struct json *json_make_twin(const struct json *scalar);

/*
 * Add to an object, in which a member of that name is replaced, or to an
 * array. ${value} NULL is a null. Take ${value}.
 */
int json_make_member(struct json *object, const char *key, struct json *value)
    __attribute__((warn_unused_result));
int json_make_element(struct json *array, struct json *value)
    __attribute__((warn_unused_result));

/* Whether json_put() or json_push() had no memory; has it look like that. */
bool json_is_incomplete(const struct json *json);
void json_make_incomplete(struct json *json);

#endif
