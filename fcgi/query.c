#include <string.h>

#include "common/ascii.h"
#include "fcgi/query.h"

static int
hex_value(char c)
{
	if (ascii_is_digit(c))
		return c - '0';
	return ascii_lower(c) - 'a' + 10;
}

/* Decodes the ${len} bytes at ${text}. Returns 0, or -1. */
static int
decode(const char *text, size_t len, char *value, size_t size)
{
	size_t i, used = 0;
	char c;

	for (i = 0; i < len; i++) {
		c = text[i];
		if (c == '+') {
			c = ' ';
		} else if (c == '%') {
			if (len - i < 3 || !ascii_is_hex(text[i + 1]) ||
			    !ascii_is_hex(text[i + 2]))
				return -1;
			c = (char)(hex_value(text[i + 1]) << 4 |
			    hex_value(text[i + 2]));
			i += 2;
		}
		if (c == '\0' || used + 1 >= size)
			return -1;
		value[used++] = c;
	}
	value[used] = '\0';
	return 0;
}

int
query_get(const char *query, const char *name, char *value, size_t size)
{
	size_t name_len = strlen(name), len;

	*value = '\0';
	for (; *query != '\0'; query += len + (query[len] == '&')) {
		len = strcspn(query, "&");
		if (len <= name_len || query[name_len] != '=' ||
		    strncmp(query, name, name_len) != 0)
			continue;
		if (decode(query + name_len + 1, len - name_len - 1, value,
			size) == 0)
			return 0;
		*value = '\0';
		return -1;
	}
	return 0;
}
