#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/ascii.h"
#include "common/json.h"
#include "common/json_make.h"
#include "common/json_read.h"
#include "common/num.h"
#include "common/secret.h"

/*
 * Each step moves ${at} behind what it read, or sets ${result}. Decoded
 * strings lie in ${room} one behind the other: with its NUL none is longer
 * than it was with its quotes.
 */
struct reader {
	const char *text;
	size_t len;
	size_t at;
	char *room;
	size_t used; /* bytes of room */
	bool unique; /* no name twice in an object */
	enum json_read_result result;
};

static int read_value(struct reader *reader, struct json **out);

static int
fail_with(struct reader *reader, enum json_read_result result)
{
	reader->result = result;
	return -1;
}

/* The next byte that is no space; NUL, which no token begins with, at the end. */
static char
next_token(struct reader *reader)
{
	while (reader->at < reader->len &&
	    ascii_is_space(reader->text[reader->at]))
		reader->at++;
	if (reader->at == reader->len)
		return '\0';
	return reader->text[reader->at];
}

static int
expect(struct reader *reader, char token)
{
	if (next_token(reader) != token)
		return fail_with(reader, JSON_READ_WRONG);
	reader->at++;
	return 0;
}

/* Keeps ${value}, new, in ${out}; NULL: there was no memory for it. */
static int
keep(struct reader *reader, struct json *value, struct json **out)
{
	*out = value;
	return value != NULL ? 0 : fail_with(reader, JSON_READ_NO_MEMORY);
}

/* ---- strings ----------------------------------------------------------- */

static void
put_byte(struct reader *reader, unsigned int byte)
{
	reader->room[reader->used++] = (char)(unsigned char)byte;
}

/* RFC 3629. */
static void
put_character(struct reader *reader, uint32_t code)
{
	if (code < 0x80) {
		put_byte(reader, code);
		return;
	}
	if (code < 0x800) {
		put_byte(reader, 0xc0 | code >> 6);
	} else if (code < 0x10000) {
		put_byte(reader, 0xe0 | code >> 12);
		put_byte(reader, 0x80 | (code >> 6 & 0x3f));
	} else {
		put_byte(reader, 0xf0 | code >> 18);
		put_byte(reader, 0x80 | (code >> 12 & 0x3f));
		put_byte(reader, 0x80 | (code >> 6 & 0x3f));
	}
	put_byte(reader, 0x80 | (code & 0x3f));
}

/* The value of the four digits of the \u escape at ${at}, which is passed. */
static uint32_t
take_unicode_escape(struct reader *reader)
{
	uint32_t value = 0;
	int i;

	for (i = 2; i < 6; i++) {
		char c = ascii_lower(reader->text[reader->at + (size_t)i]);

		value =
		    value * 16 + (uint32_t)(c <= '9' ? c - '0' : c - 'a' + 10);
	}
	reader->at += 6;
	return value;
}

/* json_scan() has seen to it that a high surrogate is followed by a low. */
static void
read_unicode_escape(struct reader *reader)
{
	uint32_t code = take_unicode_escape(reader);

	if (code >= 0xd800 && code <= 0xdbff)
		code = 0x10000 + ((code - 0xd800) << 10) +
		    (take_unicode_escape(reader) - 0xdc00);
	put_character(reader, code);
}

static void
read_escape(struct reader *reader)
{
	static const char letters[] = "\"\\/bfnrt";
	static const char meanings[] = "\"\\/\b\f\n\r\t";
	char c = reader->text[reader->at + 1];

	if (c == 'u') {
		read_unicode_escape(reader);
		return;
	}
	put_byte(reader, (unsigned char)meanings[strchr(letters, c) - letters]);
	reader->at += 2;
}

/* Decodes the string at ${at}. Returns it; its length goes to ${len}. */
static const char *
read_string(struct reader *reader, size_t *len)
{
	size_t start = reader->used;

	reader->at++;
	while (reader->text[reader->at] != '"') {
		if (reader->text[reader->at] == '\\')
			read_escape(reader);
		else
			put_byte(reader,
			    (unsigned char)reader->text[reader->at++]);
	}
	reader->at++;
	*len = reader->used - start;
	put_byte(reader, '\0');
	return reader->room + start;
}

/* ---- scalars ----------------------------------------------------------- */

static int
read_text(struct reader *reader, struct json **out)
{
	size_t len;
	const char *text = read_string(reader, &len);

	return keep(reader, json_make_text(text, len), out);
}

static int
read_word(struct reader *reader, struct json **out)
{
	char first = reader->text[reader->at];

	reader->at += first == 'f' ? strlen("false") : strlen("true");
	if (first == 'n')
		return 0;
	return keep(reader, json_make_bool(first == 't'), out);
}

/* json_scan() has seen to it that an integer fits. */
static int
read_number(struct reader *reader, struct json **out)
{
	const char *start = reader->text + reader->at;
	char *text = reader->room + reader->used;
	size_t len = 0;
	int64_t value;

	while (reader->at + len < reader->len && start[len] != '\0' &&
	    strchr("+-.eE0123456789", start[len]) != NULL)
		len++;
	memcpy(text, start, len);
	text[len] = '\0';
	reader->used += len;
	reader->at += len;
	if (num_parse(text, INT64_MIN, INT64_MAX, &value) == 0)
		return keep(reader, json_make_int(value), out);
	return keep(reader, json_make_double(text), out);
}

/* ---- arrays and objects ------------------------------------------------ */

/* Behind an element: whether another one has to follow. */
static int
read_comma(struct reader *reader, char end, bool *more)
{
	char token = next_token(reader);

	if (token != ',' && token != end)
		return fail_with(reader, JSON_READ_WRONG);
	reader->at++;
	*more = token == ',';
	return 0;
}

/* Behind the opening bracket: whether there is anything. */
static bool
has_elements(struct reader *reader, char end)
{
	reader->at++;
	if (next_token(reader) != end)
		return true;
	reader->at++;
	return false;
}

static int
read_element(struct reader *reader, struct json *array)
{
	struct json *value = NULL;

	if (read_value(reader, &value) == -1)
		return -1;
	if (json_make_element(array, value) == -1)
		return fail_with(reader, JSON_READ_NO_MEMORY);
	return 0;
}

static int
read_member(struct reader *reader, struct json *object)
{
	struct json *value = NULL;
	const char *key;
	size_t len;

	if (next_token(reader) != '"')
		return fail_with(reader, JSON_READ_WRONG);
	key = read_string(reader, &len);
	if (reader->unique && json_has(object, key))
		return fail_with(reader, JSON_READ_TWICE);
	if (expect(reader, ':') == -1 || read_value(reader, &value) == -1)
		return -1;
	if (json_make_member(object, key, value) == -1)
		return fail_with(reader, JSON_READ_NO_MEMORY);
	return 0;
}

/* Reads what ${read_one} reads into ${all}, new, up to the bracket ${end}. */
static int
read_all(struct reader *reader, struct json *all, char end,
    int (*read_one)(struct reader *reader, struct json *all), struct json **out)
{
	bool more = has_elements(reader, end);

	if (keep(reader, all, out) == -1)
		return -1;
	while (more)
		if (read_one(reader, all) == -1 ||
		    read_comma(reader, end, &more) == -1) {
			json_free(all);
			*out = NULL;
			return -1;
		}
	return 0;
}

/* ${out} is NULL, and stays it for a null. */
static int
read_value(struct reader *reader, struct json **out)
{
	char token = next_token(reader);

	if (token == '{')
		return read_all(reader, json_new_object(), '}', read_member,
		    out);
	if (token == '[')
		return read_all(reader, json_new_array(), ']', read_element,
		    out);
	if (token == '"')
		return read_text(reader, out);
	if (token == 't' || token == 'f' || token == 'n')
		return read_word(reader, out);
	if (token == '-' || ascii_is_digit(token))
		return read_number(reader, out);
	return fail_with(reader, JSON_READ_WRONG);
}

enum json_read_result
json_read(const char *text, size_t len, bool unique, struct json **json,
    size_t *place)
{
	struct reader reader = { .text = text, .len = len, .unique = unique };

	*json = NULL;
	*place = 0;
	reader.room = malloc(len + 1);
	if (reader.room == NULL)
		return JSON_READ_NO_MEMORY;
	if (read_value(&reader, json) == 0 && next_token(&reader) != '\0')
		reader.result = JSON_READ_WRONG;
	if (reader.result != JSON_READ_OK) {
		json_free(*json);
		*json = NULL;
	}
	*place = reader.at;
	secret_wipe(reader.room, reader.used);
	free(reader.room);
	return reader.result;
}
