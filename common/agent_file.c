#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/agent_file.h"
#include "common/ascii.h"
#include "common/buf.h"
#include "common/json.h"
#include "common/teller.h"
#include "common/utf8.h"

#define PATH_SIZE 256 /* bytes of a member's path, with the NUL */
#define NAME_SIZE 65  /* bytes of a variable's name, with the NUL */

/* ---- what is no JSON ---------------------------------------------------- */

/* The last byte before ${place} that is no space, or NUL. */
static char
byte_before(const char *text, size_t place)
{
	while (place > 0 && ascii_is_space(text[place - 1]))
		place--;
	if (place == 0)
		return '\0';
	return text[place - 1];
}

/* What people write into JSON that is none, and how to do without. */
static const char *
cure(const char *text, size_t len, size_t place)
{
	char before = byte_before(text, place);
	char at = '\0';

	if (place < len)
		at = text[place];

	if (at == '/' || at == '#')
		return "JSON has no comments; remove it";
	if (at == '\'')
		return "texts stand in double quotes";
	if ((at == '}' || at == ']') && before == ',')
		return "remove the comma before it";
	if (at == '"' && before != ',' && before != '{' && before != '[' &&
	    before != ':')
		return "a comma is missing before it";
	if (at == 'T' || at == 'F' || at == 'N')
		return "true, false and null are in lower case";
	if (at == ':')
		return "remove one of the two";
	if (at == '\xef')
		return "save it as UTF-8 without a byte order mark";
	if (at == '\n' || at == '\r')
		return "close the text in its line; a line break in it is \\n";
	if (place == len)
		return "close every quote and bracket";
	return "correct it there";
}

static void
say_no_json(struct teller *teller, const char *text, size_t len,
    const char *wrong, size_t place)
{
	size_t line = 1, column = 1;

	if (wrong == NULL) {
		teller_say(teller, true, "out of memory");
		return;
	}
	for (size_t i = 0; i < place; i++) {
		if (text[i] == '\n') {
			line++;
			column = 1;
		} else if ((text[i] & 0xc0) != 0x80) { /* not inside one */
			column++;
		}
	}
	teller_say(teller, true, "line %zu, column %zu: %s; %s", line, column,
	    wrong, cure(text, len, place));
}

/* ---- ${NAME} ------------------------------------------------------------ */

struct filler {
	const struct agent_variables *variables;
	struct teller *teller;
	char path[PATH_SIZE]; /* of the value that is looked at */
};

/* The length of a variable's name, 0 if ${text} does not begin with one. */
static size_t
name_len(const char *text)
{
	size_t len = 0;

	if (ascii_is_digit(text[0]))
		return 0;
	while (ascii_is_alnum(text[len]) || text[len] == '_')
		len++;
	return len < NAME_SIZE ? len : 0;
}

/*
 * Appends what the variable at ${at}, "${NAME}", stands for. Returns what is
 * behind it, or NULL after a problem.
 */
static const char *
put_variable(struct filler *filler, const char *at, struct buf *out)
{
	size_t len = name_len(at + 2);
	char name[NAME_SIZE];
	const char *value, *why;

	if (len == 0 || at[2 + len] != '}') {
		teller_say(filler->teller, true,
		    "%s has ${ without a name and } behind it; write $${ for "
		    "a plain ${",
		    filler->path);
		return NULL;
	}
	memcpy(name, at + 2, len);
	name[len] = '\0';
	value = filler->variables->get(filler->variables->arg, name, &why);
	if (value == NULL) {
		teller_say(filler->teller, true,
		    "%s needs the variable %s, which %s; set it where the "
		    "settings are",
		    filler->path, name, why);
		return NULL;
	}
	if (!utf8_valid(value, strlen(value))) {
		teller_say(filler->teller, true,
		    "%s needs the variable %s, which is not UTF-8; set it "
		    "anew",
		    filler->path, name);
		return NULL;
	}
	buf_text(out, value);
	return at + 2 + len + 1;
}

static void
fill_text(struct filler *filler, struct json *value, const char *text)
{
	struct buf out = BUF(AGENT_FILE_MAX);
	const char *at = text, *mark;

	while (at != NULL && (mark = strstr(at, "${")) != NULL) {
		bool plain = mark > text && mark[-1] == '$';

		buf_add(&out, at, (size_t)(mark - at) - plain);
		if (plain) {
			buf_text(&out, "${");
			at = mark + 2;
		} else {
			at = put_variable(filler, mark, &out);
		}
	}
	if (at != NULL)
		buf_text(&out, at);
	if (at != NULL &&
	    (buf_failed(&out) ||
		json_set_text(value, buf_str(&out), out.len) == -1))
		teller_say(filler->teller, true, "%s is too long",
		    filler->path);
	buf_free(&out);
}

static bool
ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);

	return len >= end_len && strcasecmp(text + len - end_len, end) == 0;
}

/* Members whose values are secrets in all vendors' blocks. */
static bool
holds_key(const char *path)
{
	return ends_with(path, "key") || ends_with(path, "secret") ||
	    ends_with(path, "token") || ends_with(path, "_key_id") ||
	    ends_with(path, "credentials") ||
	    ends_with(path, "credentials_string") ||
	    ends_with(path, "password") || ends_with(path, ".authorization");
}

static void
fill_string(struct filler *filler, struct json *value, const char *text)
{
	if (text == NULL)
		teller_say(filler->teller, true, "%s has a NUL inside",
		    filler->path);
	else if (strstr(text, "${") != NULL)
		fill_text(filler, value, text);
	else if (*text != '\0' && holds_key(filler->path))
		teller_say(filler->teller, false,
		    "%s stands in the file; move it to the settings and write "
		    "${NAME}",
		    filler->path);
}

static void fill(struct filler *filler, struct json *value, const char *text);

static void
fill_object(struct filler *filler, const struct json *object)
{
	struct json_iter it = { .object = object };
	size_t len = strlen(filler->path);

	while (json_next(&it)) {
		snprintf(filler->path + len, PATH_SIZE - len, "%s%s",
		    len > 0 ? "." : "", it.key);
		fill(filler, it.value, json_text(object, it.key));
		filler->path[len] = '\0';
	}
}

static void
fill_array(struct filler *filler, const struct json *array)
{
	size_t count = json_count(array), len = strlen(filler->path);

	for (size_t i = 0; i < count; i++) {
		struct json *item = json_item(array, i);

		snprintf(filler->path + len, PATH_SIZE - len, "[%zu]", i);
		fill(filler, item, json_item_text(array, i));
		filler->path[len] = '\0';
	}
}

/* Replaces the variables in all of ${value}; ${text} is what it is, if so. */
static void
fill(struct filler *filler, struct json *value, const char *text)
{
	enum json_kind kind = json_kind(value);

	if (kind == JSON_OBJECT)
		fill_object(filler, value);
	else if (kind == JSON_ARRAY)
		fill_array(filler, value);
	else if (kind == JSON_TEXT)
		fill_string(filler, value, text);
}

/* ---- what may stand in a file ------------------------------------------- */

static bool
is_prefix(const char *text)
{
	size_t len = 0;

	for (; text[len] != '\0'; len++)
		if (!ascii_is_alnum(text[len]) && text[len] != '_' &&
		    text[len] != '-')
			return false;
	return len > 0 && len <= AGENT_PREFIX_MAX;
}

static void
check_name(const struct json *file, struct teller *teller)
{
	const char *name = json_text(file, "name");

	if (json_member(file, "name") != NULL &&
	    (name == NULL || !is_prefix(name)))
		teller_say(teller, true,
		    "name, with which the names of its agents begin, must be 1 "
		    "to %d letters, digits, _ or -",
		    AGENT_PREFIX_MAX);
}

static void
check_member(const char *key, const struct json *value, struct teller *teller)
{
	enum json_kind kind = json_kind(value);

	if (strcmp(key, "properties") == 0) {
		if (kind != JSON_OBJECT)
			teller_say(teller, true,
			    "properties must be an object");
	} else if (strcmp(key, "preset") == 0 ||
	    strcmp(key, "pipeline_id") == 0) {
		if (kind != JSON_TEXT && kind != JSON_NONE)
			teller_say(teller, true, "%s must be a text", key);
	} else if (strcmp(key, "name") != 0) {
		teller_say(teller, true,
		    "%s is not known here: asr, llm, tts and all else belong "
		    "into properties; beside it are name, preset and "
		    "pipeline_id",
		    key);
	}
}

/* Each start has its own of these. */
static void
check_own(const struct json *properties, struct teller *teller)
{
	static const char *const own[] = { "channel", "token", "agent_rtc_uid",
		"remote_rtc_uids" };

	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		if (json_has(properties, own[i]))
			teller_say(teller, true,
			    "properties.%s comes with each start; remove it",
			    own[i]);
}

static void
check_shape(const struct json *file, struct teller *teller)
{
	struct json_iter it = { .object = file };

	while (json_next(&it))
		check_member(it.key, it.value, teller);
	check_name(file, teller);
	check_own(json_member(file, "properties"), teller);
}

struct json *
agent_file_parse(const char *text, size_t len,
    const struct agent_variables *variables, struct teller *teller)
{
	struct filler filler = { variables, teller, "" };
	size_t place, before = teller->problems;
	const char *wrong;
	struct json *file = json_parse_text(text, len, &wrong, &place);

	if (file == NULL) {
		say_no_json(teller, text, len, wrong, place);
		return NULL;
	}
	if (json_kind(file) != JSON_OBJECT)
		teller_say(teller, true,
		    "it must be an object: {\"properties\": {…}}");
	else
		check_shape(file, teller);
	fill_object(&filler, file);
	if (teller->problems == before)
		return file;
	json_free(file);
	return NULL;
}
