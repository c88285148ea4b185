#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "common/ascii.h"
#include "common/fail.h"
#include "common/json.h"
#include "common/json_make.h"
#include "common/json_read.h"
#include "common/json_scan.h"
#include "common/json_write.h"
#include "common/secret.h"

_Static_assert(JSON_C_VERSION_NUM >= (14 << 8),
    "json-c 0.14 or newer is needed");

#define KEY_SIZE 64     /* of one member in a json_at() path, with the NUL */
#define INTEGER_SIZE 21 /* "-9223372036854775808" and the NUL */

static struct json *
ours(struct json_object *object)
{
	return (struct json *)object;
}

static struct json_object *
theirs(struct json *json)
{
	return (struct json_object *)json;
}

/* json-c's readers of arrays and members want a pointer that is not const. */
static struct json_object *
readable(const struct json *json)
{
	union {
		const struct json *ours;
		struct json_object *theirs;
	} pointer;

	pointer.ours = json;
	return pointer.theirs;
}

static enum json_type
type_of(const struct json *json)
{
	return json_object_get_type((const struct json_object *)json);
}

static const char lone_null[] = "must not be null";

static struct json *
parse(const char *text, size_t len, bool unique, const char **wrong,
    size_t *place)
{
	struct json *json = NULL;

	*wrong = json_scan(text, len, JSON_DEPTH_MAX, place);
	if (*wrong != NULL)
		return NULL;
	switch (json_read(text, len, unique, &json, place)) {
	case JSON_READ_OK:
		if (json == NULL)
			*wrong = lone_null;
		break;
	case JSON_READ_WRONG:
		*wrong =
		    *place == len ? "unexpected end" : "unexpected character";
		break;
	case JSON_READ_TWICE:
		*wrong = "a member that stands there twice";
		break;
	case JSON_READ_NO_MEMORY:
		break;
	}
	return json;
}

struct json *
json_parse_text(const char *text, size_t len, const char **wrong, size_t *place)
{
	return parse(text, len, true, wrong, place);
}

struct json *
json_parse(const char *text, size_t len, struct fail *fail)
{
	const char *wrong;
	size_t place;
	struct json *json = parse(text, len, false, &wrong, &place);

	if (json == NULL && wrong == NULL)
		fail_set(fail, FAIL_INTERNAL, "out of memory");
	else if (json == NULL && wrong == lone_null)
		fail_set(fail, FAIL_BAD_INPUT, "body %s", wrong);
	else if (json == NULL)
		fail_set(fail, FAIL_BAD_INPUT,
		    "body is not valid JSON: %s at byte %zu", wrong, place);
	return json;
}

struct json *
json_make_text(const char *text, size_t len)
{
	if (len > INT_MAX - 1) /* json-c counts in int */
		return NULL;
	return ours(json_object_new_string_len(text, (int)len));
}

struct json *
json_make_bool(bool value)
{
	return ours(json_object_new_boolean(value));
}

struct json *
json_make_int(int64_t value)
{
	return ours(json_object_new_int64(value));
}

struct json *
json_make_double(const char *text)
{
	return ours(json_object_new_double_s(strtod(text, NULL), text));
}

/* json-c keeps the text that a number was parsed from as its user data. */
static const char *
double_text(struct json_object *number)
{
	return json_object_get_userdata(number);
}

struct json *
json_make_twin(const struct json *scalar)
{
	struct json_object *value = readable(scalar);
	const char *text;

	switch (json_object_get_type(value)) {
	case json_type_boolean:
		return json_make_bool(json_object_get_boolean(value));
	case json_type_int:
		return json_make_int(json_object_get_int64(value));
	case json_type_double:
		text = double_text(value);
		return text != NULL ? json_make_double(text) : NULL;
	case json_type_string:
		return json_make_text(json_object_get_string(value),
		    (size_t)json_object_get_string_len(value));
	case json_type_null:
	case json_type_object:
	case json_type_array:
	default:
		return NULL;
	}
}

int
json_make_member(struct json *object, const char *key, struct json *value)
{
	if (json_object_object_add(theirs(object), key, theirs(value)) == 0)
		return 0;
	json_free(value);
	return -1;
}

int
json_make_element(struct json *array, struct json *value)
{
	if (json_object_array_add(theirs(array), theirs(value)) == 0)
		return 0;
	json_free(value);
	return -1;
}

static void wipe(struct json_object *value);

static void
wipe_array(struct json_object *array)
{
	size_t count = json_object_array_length(array);

	for (size_t i = 0; i < count; i++)
		wipe(json_object_array_get_idx(array, i));
}

static void
wipe_object(struct json_object *object)
{
	struct json_object_iterator it = json_object_iter_begin(object);
	struct json_object_iterator end = json_object_iter_end(object);

	for (; !json_object_iter_equal(&it, &end); json_object_iter_next(&it))
		wipe(json_object_iter_peek_value(&it));
}

/* json-c hands out its own bytes, const; nobody reads them any more. */
static void
wipe_string(struct json_object *string)
{
	union {
		const char *theirs;
		void *ours;
	} text;

	text.theirs = json_object_get_string(string);
	secret_wipe(text.ours, (size_t)json_object_get_string_len(string));
}

static void
wipe(struct json_object *value)
{
	if (json_object_is_type(value, json_type_string))
		wipe_string(value);
	else if (json_object_is_type(value, json_type_array))
		wipe_array(value);
	else if (json_object_is_type(value, json_type_object))
		wipe_object(value);
}

void
json_free(struct json *json)
{
	wipe(theirs(json));
	json_object_put(theirs(json));
}

struct json *
json_member(const struct json *object, const char *key)
{
	struct json_object *value = NULL;

	json_object_object_get_ex((const struct json_object *)object, key,
	    &value);
	return ours(value);
}

bool
json_has(const struct json *object, const char *key)
{
	return json_object_object_get_ex((const struct json_object *)object,
		   key, NULL) != 0;
}

int64_t
json_int(const struct json *object, const char *key, int64_t fallback)
{
	struct json *value = json_member(object, key);

	return json_kind(value) == JSON_INT ?
	    json_object_get_int64(theirs(value)) :
	    fallback;
}

bool
json_is_true(const struct json *json)
{
	return json_kind(json) == JSON_BOOL &&
	    json_object_get_boolean((const struct json_object *)json) != 0;
}

bool
json_number(const struct json *json, double *out)
{
	enum json_kind kind = json_kind(json);

	if (kind != JSON_INT && kind != JSON_DOUBLE)
		return false;
	*out = json_object_get_double((const struct json_object *)json);
	return true;
}

/* json-c's iterator is a pointer to an entry, but says so to nobody. */
bool
json_next(struct json_iter *it)
{
	struct json_object_iterator at, end;

	if (json_kind(it->object) != JSON_OBJECT)
		return false;
	at = json_object_iter_begin(readable(it->object));
	end = json_object_iter_end(readable(it->object));
	if (it->place != NULL) {
		at.opaque_ = it->place;
		json_object_iter_next(&at);
	}
	if (json_object_iter_equal(&at, &end))
		return false;
	it->place = at.opaque_;
	it->key = json_object_iter_peek_name(&at);
	it->value = ours(json_object_iter_peek_value(&at));
	return true;
}

struct json *
json_item(const struct json *array, size_t i)
{
	if (json_kind(array) != JSON_ARRAY)
		return NULL;
	return ours(
	    json_object_array_get_idx((const struct json_object *)array, i));
}

size_t
json_count(const struct json *array)
{
	if (json_kind(array) != JSON_ARRAY)
		return 0;
	return json_object_array_length((const struct json_object *)array);
}

enum json_kind
json_kind(const struct json *json)
{
	switch (type_of(json)) {
	case json_type_boolean:
		return JSON_BOOL;
	case json_type_int:
		return JSON_INT;
	case json_type_double:
		return JSON_DOUBLE;
	case json_type_string:
		return JSON_TEXT;
	case json_type_array:
		return JSON_ARRAY;
	case json_type_object:
		return JSON_OBJECT;
	case json_type_null:
	default:
		return JSON_NONE;
	}
}

/* The text of a string value; NULL when it has a NUL inside. */
static const char *
string_text(struct json *string)
{
	const char *text = json_object_get_string(theirs(string));
	int len = json_object_get_string_len(theirs(string));

	if (text == NULL || strlen(text) != (size_t)len)
		return NULL;
	return text;
}

const char *
json_text(const struct json *object, const char *key)
{
	struct json *value = json_member(object, key);

	if (json_kind(value) != JSON_TEXT)
		return NULL;
	return string_text(value);
}

const char *
json_item_text(const struct json *array, size_t i)
{
	struct json *value = json_item(array, i);

	if (json_kind(value) != JSON_TEXT)
		return NULL;
	return string_text(value);
}

static bool
is_blank(const char *text)
{
	while (ascii_is_space(*text))
		text++;
	return *text == '\0';
}

/* The text of the string ${value} that the client sent as ${key}. */
static const char *
require_string(struct json *value, const char *key, struct fail *fail)
{
	const char *text = string_text(value);

	if (text == NULL) {
		fail_set(fail, FAIL_BAD_INPUT,
		    "%s must not contain a NUL character", key);
		return NULL;
	}
	if (is_blank(text)) {
		fail_set(fail, FAIL_BAD_INPUT,
		    "%s is required and cannot be empty", key);
		return NULL;
	}
	return text;
}

/* The member ${key}, neither absent nor null. */
static struct json *
require_member(const struct json *object, const char *key, struct fail *fail)
{
	struct json *value = json_member(object, key);

	if (value == NULL)
		fail_set(fail, FAIL_BAD_INPUT,
		    "%s is required and cannot be empty", key);
	return value;
}

const char *
json_require_text(const struct json *object, const char *key, struct fail *fail)
{
	struct json *value = require_member(object, key, fail);

	if (value == NULL)
		return NULL;
	if (json_kind(value) != JSON_TEXT) {
		fail_set(fail, FAIL_BAD_INPUT, "%s must be a string", key);
		return NULL;
	}
	return require_string(value, key, fail);
}

int
json_require_text_or_int(const struct json *object, const char *key, char *out,
    size_t size, struct fail *fail)
{
	struct json *value = require_member(object, key, fail);
	char digits[INTEGER_SIZE];
	const char *text = digits;

	if (value == NULL)
		return -1;
	if (json_kind(value) == JSON_INT)
		snprintf(digits, sizeof(digits), "%" PRId64,
		    json_object_get_int64(theirs(value)));
	else if (json_kind(value) == JSON_TEXT)
		text = require_string(value, key, fail);
	else
		return fail_set(fail, FAIL_BAD_INPUT,
		    "%s must be a string or an integer", key);
	if (text == NULL)
		return -1;
	if (strlen(text) >= size)
		return fail_set(fail, FAIL_BAD_INPUT, "%s is too long", key);
	memcpy(out, text, strlen(text) + 1);
	return 0;
}

struct json *
json_new_object(void)
{
	return ours(json_object_new_object());
}

struct json *
json_new_array(void)
{
	return ours(json_object_new_array());
}

/* A tree that lacks something must not leave the house: see print_value(). */
static char incomplete[] = "incomplete";

void
json_make_incomplete(struct json *json)
{
	if (json != NULL)
		json_object_set_userdata(theirs(json), incomplete, NULL);
}

bool
json_is_incomplete(const struct json *json)
{
	return json != NULL &&
	    json_object_get_userdata(readable(json)) == incomplete;
}

void
json_put(struct json *object, const char *key, struct json *value)
{
	wipe(theirs(json_member(object, key)));
	if (value != NULL && json_kind(object) == JSON_OBJECT &&
	    json_object_object_add(theirs(object), key, theirs(value)) == 0)
		return;
	json_free(value);
	json_make_incomplete(object);
}

void
json_put_text(struct json *object, const char *key, const char *text)
{
	json_put(object, key, json_new_text(text));
}

void
json_put_int(struct json *object, const char *key, int64_t value)
{
	json_put(object, key, json_make_int(value));
}

void
json_push(struct json *array, struct json *value)
{
	if (value != NULL && json_kind(array) == JSON_ARRAY &&
	    json_object_array_add(theirs(array), theirs(value)) == 0)
		return;
	json_free(value);
	json_make_incomplete(array);
}

/* The value at ${path}; ${root} is marked when there is none. */
static struct json *
expect_at(struct json *root, const char *path)
{
	struct json *found = json_at(root, path);

	if (found == NULL)
		json_make_incomplete(root);
	return found;
}

void
json_put_at(struct json *root, const char *path, const char *key,
    struct json *value)
{
	json_put(expect_at(root, path), key, value);
}

void
json_put_text_at(struct json *root, const char *path, const char *key,
    const char *text)
{
	json_put(expect_at(root, path), key, json_new_text(text));
}

void
json_push_at(struct json *root, const char *path, struct json *value)
{
	json_push(expect_at(root, path), value);
}

struct json *
json_new_text(const char *text)
{
	return text == NULL ? NULL : json_make_text(text, strlen(text));
}

int
json_set_text(struct json *string, const char *text, size_t len)
{
	if (len > INT_MAX - 1 ||
	    json_object_set_string_len(theirs(string), text, (int)len) == 0)
		return -1;
	return 0;
}

void
json_remove(struct json *object, const char *key)
{
	if (json_kind(object) != JSON_OBJECT)
		return;
	wipe(theirs(json_member(object, key)));
	json_object_object_del(theirs(object), key);
}

struct json *
json_at(const struct json *root, const char *path)
{
	struct json *value;
	char key[KEY_SIZE];
	size_t len = strcspn(path, ".");

	if (len >= sizeof(key))
		return NULL;
	memcpy(key, path, len);
	key[len] = '\0';
	value = json_member(root, key);
	if (path[len] == '\0' || value == NULL)
		return value;
	return json_at(value, path + len + 1);
}

/*
 * Printing is done here and not by json-c 0.16, which ignores that its buffer
 * could not grow: it then leaves out a text and reports success (seen with a
 * failing realloc(3): {"token":"","uid":"123"}).
 */
static void print_value(const struct json *json, struct buf *out);

static void
print_array(struct json_object *array, struct buf *out)
{
	size_t count = json_object_array_length(array);

	buf_text(out, "[");
	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			buf_text(out, ",");
		print_value(ours(json_object_array_get_idx(array, i)), out);
	}
	buf_text(out, "]");
}

static void
print_object(struct json_object *object, struct buf *out)
{
	struct json_object_iterator it = json_object_iter_begin(object);
	struct json_object_iterator end = json_object_iter_end(object);
	const char *comma = "";

	buf_text(out, "{");
	while (!json_object_iter_equal(&it, &end)) {
		const char *key = json_object_iter_peek_name(&it);

		buf_text(out, comma);
		json_write_string(out, key, strlen(key));
		buf_text(out, ":");
		print_value(ours(json_object_iter_peek_value(&it)), out);
		comma = ",";
		json_object_iter_next(&it);
	}
	buf_text(out, "}");
}

static void
print_double(struct json_object *number, struct buf *out)
{
	const char *text = double_text(number);

	if (text == NULL)
		out->failed = true;
	else
		buf_text(out, text);
}

static void
print_value(const struct json *json, struct buf *out)
{
	struct json_object *value = readable(json);

	if (json_is_incomplete(json)) {
		out->failed = true;
		return;
	}
	switch (json_object_get_type(value)) {
	case json_type_boolean:
		buf_text(out,
		    json_object_get_boolean(value) ? "true" : "false");
		break;
	case json_type_int:
		buf_format(out, "%" PRId64, json_object_get_int64(value));
		break;
	case json_type_double:
		print_double(value, out);
		break;
	case json_type_string:
		json_write_string(out, json_object_get_string(value),
		    (size_t)json_object_get_string_len(value));
		break;
	case json_type_array:
		print_array(value, out);
		break;
	case json_type_object:
		print_object(value, out);
		break;
	case json_type_null:
	default:
		buf_text(out, "null");
	}
}

void
json_print(const struct json *json, struct buf *out)
{
	if (json == NULL)
		out->failed = true;
	else
		print_value(json, out);
}
