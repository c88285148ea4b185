/*
 * RFC 7396, JSON Merge Patch.
 */
#include <stdbool.h>
#include <stddef.h>

#include "common/json.h"
#include "common/json_make.h"

static struct json *copy_value(const struct json *value);

/* Adds a copy of ${value} to ${array}. NULL is a null, which stays one. */
static int
copy_item(struct json *array, const struct json *value)
{
	struct json *copy = copy_value(value);

	if (value != NULL && copy == NULL)
		return -1;
	return json_make_element(array, copy);
}

static struct json *
copy_array(const struct json *array)
{
	struct json *copy = json_new_array();
	size_t count = json_count(array);

	for (size_t i = 0; copy != NULL && i < count; i++) {
		if (copy_item(copy, json_item(array, i)) == -1) {
			json_free(copy);
			copy = NULL;
		}
	}
	return copy;
}

/* An object of a patch: its nulls have nothing to remove, and go. */
static struct json *
copy_object(const struct json *object)
{
	struct json *copy = json_new_object();

	json_merge(copy, object);
	return copy;
}

/* An object in an array is no patch any more: its nulls stay. */
static struct json *
copy_whole_object(const struct json *object)
{
	struct json_iter it = { .object = object };
	struct json *copy = json_new_object();

	while (copy != NULL && json_next(&it)) {
		struct json *twin = copy_value(it.value);

		if ((it.value != NULL && twin == NULL) ||
		    json_make_member(copy, it.key, twin) == -1) {
			json_free(copy);
			copy = NULL;
		}
	}
	return copy;
}

static struct json *
copy_value(const struct json *value)
{
	enum json_kind kind = json_kind(value);

	if (kind == JSON_ARRAY)
		return copy_array(value);
	if (kind == JSON_OBJECT)
		return copy_whole_object(value);
	return json_make_twin(value);
}

void
json_merge(struct json *object, const struct json *patch)
{
	struct json_iter it = { .object = patch };

	if (json_is_incomplete(patch))
		json_make_incomplete(object);
	while (json_next(&it)) {
		struct json *old = json_member(object, it.key);

		if (it.value == NULL)
			json_remove(object, it.key);
		else if (json_kind(it.value) != JSON_OBJECT)
			json_put(object, it.key, copy_value(it.value));
		else if (json_kind(old) == JSON_OBJECT)
			json_merge(old, it.value);
		else
			json_put(object, it.key, copy_object(it.value));
	}
}
