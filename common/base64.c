#include <string.h>

#include "common/base64.h"

static const char alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Three bytes as four characters. */
static void
encode_group(const uint8_t in[static 3], char *text)
{
	const uint32_t group =
	    (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];

	text[0] = alphabet[group >> 18];
	text[1] = alphabet[(group >> 12) & 63];
	text[2] = alphabet[(group >> 6) & 63];
	text[3] = alphabet[group & 63];
}

void
base64_encode(const uint8_t *data, size_t len, char *text)
{
	uint8_t last[3] = { 0 };

	for (; len >= 3; data += 3, len -= 3, text += 4)
		encode_group(data, text);
	if (len > 0) {
		memcpy(last, data, len);
		encode_group(last, text);
		memset(text + len + 1, '=', 3 - len);
		text += 4;
	}
	*text = '\0';
}

/* The six bits that ${c} stands for, or -1. */
static int
value_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+')
		return 62;
	return c == '/' ? 63 : -1;
}

/*
 * Decodes four characters, the last ${padding} of them '=' already seen, to
 * ${out}. Returns 0, or -1 on a foreign character or unused bits not zero.
 */
static int
decode_group(const char *text, size_t padding, uint8_t out[static 3])
{
	uint32_t group = 0;
	size_t i;
	int value;

	for (i = 0; i < 4; i++) {
		value = i < 4 - padding ? value_of(text[i]) : 0;
		if (value == -1)
			return -1;
		group = (group << 6) | (uint32_t)value;
	}
	if ((group & ((1u << (8 * padding)) - 1)) != 0)
		return -1;
	out[0] = (uint8_t)(group >> 16);
	out[1] = (uint8_t)(group >> 8);
	out[2] = (uint8_t)group;
	return 0;
}

int
base64_decode(const char *text, size_t text_len, uint8_t *data, size_t size,
    size_t *len)
{
	uint8_t group[3];
	size_t i, n, padding, done = 0;

	if (text_len % 4 != 0)
		return -1;
	for (i = 0; i < text_len; i += 4) {
		padding = 0;
		if (i + 4 == text_len && text[i + 3] == '=')
			padding = text[i + 2] == '=' ? 2 : 1;
		n = 3 - padding;
		if (decode_group(text + i, padding, group) == -1 ||
		    n > size - done)
			return -1;
		memcpy(data + done, group, n);
		done += n;
	}
	*len = done;
	return 0;
}
