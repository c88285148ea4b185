#include <stdbool.h>
#include <string.h>

#include "common/ascii.h"
#include "common/fail.h"
#include "common/fields.h"
#include "common/json_make.h"
#include "common/list.h"

#define PATH_SIZE 129 /* bytes of a path, with the NUL */
#define WORD_MAX 64   /* bytes of a text that a client sends */

/* Parts of names that mean money, power or what the agent is told. */
static const char *const reserved[] = { "url", "uri", "endpoint", "host", "key",
	"secret", "token", "credential", "password", "header", "mcp", "tool",
	"message", "prompt", "instruction", "content", "template", "channel",
	"uid", "encryption", "vendor", "style", "model", "auth", "enable",
	"pipeline", "idle" };

static bool
has_reserved(const char *path)
{
	for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++)
		if (strstr(path, reserved[i]) != NULL)
			return true;
	return false;
}

/* Names of letters, digits and "_" with single dots between them. */
static bool
is_path(const char *path)
{
	bool dot = true;

	for (; *path != '\0'; path++) {
		if (*path == '.' ? dot : !ascii_is_alnum(*path) && *path != '_')
			return false;
		dot = *path == '.';
	}
	return !dot;
}

/* The next path of the list, in lower case if ${lower}; NULL at the end. */
static const char *
next_path(const char **rest, char path[static PATH_SIZE], bool lower)
{
	size_t len;
	const char *item = list_next(rest, &len);

	if (item == NULL)
		return NULL;
	if (len >= PATH_SIZE)
		len = 0; /* no path */
	for (size_t i = 0; i < len; i++)
		path[i] = item[i];
	path[len] = '\0';
	for (size_t i = 0; lower && i < len; i++)
		path[i] = ascii_lower(path[i]);
	return path;
}

const char *
fields_fault(const char *list)
{
	const char *rest = *list != '\0' ? list : NULL;
	char path[PATH_SIZE];

	while (next_path(&rest, path, true) != NULL) {
		if (!is_path(path))
			return "has an item that is no member's name";
		if (has_reserved(path))
			return "has an item that clients must not set";
	}
	return NULL;
}

static bool
is_word(const char *text)
{
	size_t len = 0;

	for (; len <= WORD_MAX && text[len] != '\0'; len++)
		if (!ascii_is_alnum(text[len]) &&
		    strchr("_.:-", text[len]) == NULL)
			return false;
	return len > 0 && len <= WORD_MAX;
}

static bool
is_simple(const struct json *object, const char *key)
{
	const char *text = json_text(object, key);

	switch (json_kind(json_member(object, key))) {
	case JSON_BOOL:
	case JSON_INT:
	case JSON_DOUBLE:
		return true;
	case JSON_TEXT:
		return text != NULL && is_word(text);
	case JSON_NONE:
	case JSON_ARRAY:
	case JSON_OBJECT:
	default:
		return false;
	}
}

/* Of ${object} just what lies at ${path}, which is cut up. */
static struct json *
narrow(const struct json *object, char *path)
{
	struct json *only = json_new_object();
	char *dot = strchr(path, '.');

	if (dot != NULL)
		*dot = '\0';
	object = json_member(object, path);
	json_put(only, path,
	    dot != NULL ? narrow(object, dot + 1) : json_make_twin(object));
	return only;
}

/*
 * Follows ${path} through ${body}. Returns 1 when a value is there that a
 * client may send, 0 when there is none, or -1 with ${fail} set.
 */
static int
look(const struct json *body, const char *path, struct fail *fail)
{
	char key[PATH_SIZE];
	const char *at = path;
	size_t len;

	for (;; at += len + 1) {
		if (json_kind(body) != JSON_OBJECT)
			return fail_set(fail, FAIL_BAD_INPUT,
			    "%.*s must be an object", (int)(at - path) - 1,
			    path);
		len = strcspn(at, ".");
		memcpy(key, at, len);
		key[len] = '\0';
		if (json_member(body, key) == NULL)
			return 0;
		if (at[len] == '\0')
			break;
		body = json_member(body, key);
	}
	if (is_simple(body, key))
		return 1;
	return fail_set(fail, FAIL_BAD_INPUT,
	    "%s must be a number, true, false or 1 to %d letters, digits or "
	    "_.:-",
	    path, WORD_MAX);
}

int
fields_pick(const char *list, const struct json *body, struct json **fields,
    struct fail *fail)
{
	const char *rest = *list != '\0' ? list : NULL;
	struct json *all = NULL, *one;
	char path[PATH_SIZE];
	int there;

	*fields = NULL;
	while (next_path(&rest, path, false) != NULL) {
		there = look(body, path, fail);
		if (there == -1)
			goto err;
		if (there == 0)
			continue;
		one = narrow(body, path);
		if (all == NULL)
			all = json_new_object();
		json_merge(all, one);
		json_free(one);
		if (all == NULL || one == NULL) {
			fail_set(fail, FAIL_INTERNAL, "out of memory");
			goto err;
		}
	}
	*fields = all;
	return 0;
err:
	json_free(all);
	return -1;
}
