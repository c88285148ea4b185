#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "common/buf.h"
#include "common/json_write.h"
#include "common/utf8.h"

/* ASCII that stands for itself in a string. */
static bool
is_plain(char c)
{
	return c >= ' ' && c != '"' && c != '\\' && (unsigned char)c < 0x80;
}

static void
write_escaped(struct buf *out, char c)
{
	static const char special[] = "\"\\\b\f\n\r\t";
	static const char letters[] = "\"\\bfnrt";
	const char *found = memchr(special, c, sizeof(special) - 1);

	if (found != NULL)
		buf_format(out, "\\%c", letters[found - special]);
	else
		buf_format(out, "\\u%04x", (unsigned int)c);
}

/* Writes the first character of ${text}, and returns how long it was. */
static size_t
write_character(struct buf *out, const char *text, size_t len)
{
	size_t size = utf8_character(text, len);

	if (size == 0) {
		buf_text(out, "\xef\xbf\xbd");
		return 1;
	}
	if (size == 1)
		write_escaped(out, *text);
	else
		buf_add(out, text, size);
	return size;
}

void
json_write_string(struct buf *out, const char *text, size_t len)
{
	size_t plain;

	buf_add(out, "\"", 1);
	while (len > 0) {
		for (plain = 0; plain < len && is_plain(text[plain]); plain++)
			;
		buf_add(out, text, plain);
		if (plain < len)
			plain +=
			    write_character(out, text + plain, len - plain);
		text += plain;
		len -= plain;
	}
	buf_add(out, "\"", 1);
}

/* A comma, unless it is the first of its object; then the name. */
static void
write_key(struct buf *out, const char *key)
{
	if (out->len > 0 && out->data[out->len - 1] != '{')
		buf_add(out, ",", 1);
	json_write_string(out, key, strlen(key));
	buf_add(out, ":", 1);
}

void
json_write_open(struct buf *out, const char *key)
{
	if (key != NULL)
		write_key(out, key);
	buf_add(out, "{", 1);
}

void
json_write_close(struct buf *out)
{
	buf_add(out, "}", 1);
}

void
json_write_text(struct buf *out, const char *key, const char *text)
{
	write_key(out, key);
	json_write_string(out, text, strlen(text));
}

void
json_write_int(struct buf *out, const char *key, int64_t value)
{
	write_key(out, key);
	buf_format(out, "%" PRId64, value);
}

void
json_write_json(struct buf *out, const char *key, const struct buf *json)
{
	write_key(out, key);
	buf_add(out, buf_str(json), json->len);
}
