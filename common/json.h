/*
 * JSON: strict parsing, typed reading with messages for the client, building.
 * The only module that knows json-c; a struct json is its object.
 */
#ifndef COMMON_JSON_H
#define COMMON_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

struct fail;
struct json;

#define JSON_DEPTH_MAX 32

/*
 * Parses the ${len} bytes at ${text}, which must be one JSON text of RFC 8259
 * and nothing else: UTF-8 without a byte order mark, no raw control
 * characters in strings, no NaN or Infinity, no comments, at most
 * JSON_DEPTH_MAX levels. (json-c's own parser lets several of these pass.) Of
 * duplicate members the last one counts.
 * Refused too, though RFC 8259 lets them pass: half a surrogate pair, a NUL
 * in a member's name, an integer outside -2^63..2^63-1, and a lone null, for
 * which there is no struct json.
 * Returns the value, which the caller frees, or NULL with ${fail} set to
 * FAIL_BAD_INPUT and a sentence that names the place ("body is not valid
 * JSON: invalid UTF-8 at byte 7", counted from 0), or to FAIL_INTERNAL when
 * memory ran out.
 */
struct json *json_parse(const char *text, size_t len, struct fail *fail);

/*
 * Releases the value and all in it; the texts, which may be keys and tokens,
 * are wiped first. NULL is fine.
 */
void json_free(struct json *json);

/*
 * The same for a text that a person wrote: a member that stands there twice is
 * refused too. NULL with ${wrong} set to what is wrong at ${place}, a byte
 * counted from 0, or to NULL: out of memory.
 */
struct json *json_parse_text(const char *text, size_t len, const char **wrong,
    size_t *place);

/* The member ${key}, borrowed; NULL if absent, null, or not in an object. */
struct json *json_member(const struct json *object, const char *key);

/* Answers whether ${object} has a member ${key}, null or not. */
bool json_has(const struct json *object, const char *key);

/*
 * The text of the string member ${key}, borrowed; NULL when it is absent, not
 * a string, or has a NUL inside.
 */
const char *json_text(const struct json *object, const char *key);

/* The integer member ${key}; ${fallback} when it is absent or no integer. */
int64_t json_int(const struct json *object, const char *key, int64_t fallback);

/* Answers whether it is true, which a text "true" or a 1 is not. */
bool json_is_true(const struct json *json);

/* Any number's value to ${out}; false, and ${out} as it was, if it is none. */
bool json_number(const struct json *json, double *out);

/* The ${i}th element, borrowed; NULL past the last one, or if no array. */
struct json *json_item(const struct json *array, size_t i);

/* The text of the ${i}th element, as json_text() gives that of a member. */
const char *json_item_text(const struct json *array, size_t i);

/* The number of elements; 0 if no array. */
size_t json_count(const struct json *array);

/*
 * A walk over the members of an object, in their order; value is NULL for a
 * null. Members must not be added or removed meanwhile:
 * struct json_iter it = { .object = object }; while (json_next(&it)) …
 */
struct json_iter {
	const struct json *object; /* what is no object has no members */
	const char *key;
	struct json *value;
	const void *place; /* json.c's */
};
bool json_next(struct json_iter *it);

/* What a member turned out to be. NULL, and so a null, is JSON_NONE. */
enum json_kind {
	JSON_NONE,
	JSON_BOOL,
	JSON_INT,
	JSON_DOUBLE,
	JSON_TEXT,
	JSON_ARRAY,
	JSON_OBJECT
};
enum json_kind json_kind(const struct json *json);

/*
 * The required string member ${key} of a client's request object.
 * Returns its text, borrowed, or NULL with ${fail} set: "${key} is required
 * and cannot be empty" (absent, null, empty, or only spaces), "${key} must be
 * a string", or that it contains a NUL.
 */
const char *json_require_text(const struct json *object, const char *key,
    struct fail *fail);

/*
 * As json_require_text(), but an integer is taken too. The decimal text is
 * written to ${out}, of ${size} bytes. Returns 0, or -1 with ${fail} set.
 */
int json_require_text_or_int(const struct json *object, const char *key,
    char *out, size_t size, struct fail *fail);

/* A new empty object or array, or NULL. The caller frees it. */
struct json *json_new_object(void);
struct json *json_new_array(void);

/*
 * Add a member to an object. When memory is gone, or ${value} or ${text} is
 * NULL, ${object} is marked incomplete and json_print() of it, and of all it
 * is put into, fails; nothing else to check. ${object} NULL is fine for one
 * that was to be new: the json_put() of it, or its json_print(), then fails.
 * The texts are copied. json_put() takes ${value}.
 */
void json_put(struct json *object, const char *key, struct json *value);
void json_put_text(struct json *object, const char *key, const char *text);
void json_put_int(struct json *object, const char *key, int64_t value);

/* Adds to an array; takes ${value}. Marks ${array} as json_put() does. */
void json_push(struct json *array, struct json *value);

/*
 * The same to the object or array at ${path}, as json_at() finds it. When it
 * is not there, ${root} is marked incomplete.
 */
void json_put_at(struct json *root, const char *path, const char *key,
    struct json *value);
void json_put_text_at(struct json *root, const char *path, const char *key,
    const char *text);
void json_push_at(struct json *root, const char *path, struct json *value);

/* A new string value, or NULL (also for NULL). */
struct json *json_new_text(const char *text);

/*
 * Replaces the text of the string ${string} by the ${len} bytes at ${text},
 * which are UTF-8. Returns 0, or -1 when out of memory.
 */
int json_set_text(struct json *string, const char *text, size_t len)
    __attribute__((warn_unused_result));

/* Removes the member ${key}, if there; texts in it are wiped. */
void json_remove(struct json *object, const char *key);

/*
 * Changes ${object} as RFC 7396 says: members of ${patch} replace those of the
 * same name, objects are merged member by member, null removes. Out of memory,
 * ${object} is marked incomplete, see json_put().
 */
void json_merge(struct json *object, const struct json *patch);

/*
 * The value at ${path}, members joined by dots ("properties.llm.params"),
 * borrowed; NULL if any is missing. To add something there, use
 * json_put_at(): it notices a path that leads nowhere.
 */
struct json *json_at(const struct json *root, const char *path);

/*
 * Appends the compact text of ${json} to ${out}; slashes are not escaped.
 * Numbers that were parsed are printed as they were written (but -0 as 0),
 * bytes that are not UTF-8 as U+FFFD.
 * ${json} NULL, or out of memory, marks ${out} failed.
 */
void json_print(const struct json *json, struct buf *out);

#endif
