#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/fail.h"

const char *
fail_name(enum fail_kind kind)
{
	static const char *const names[] = {
		[FAIL_NONE] = "success",
		[FAIL_BAD_INPUT] = "bad_input",
		[FAIL_UNAUTHORIZED] = "unauthorized",
		[FAIL_FORBIDDEN] = "forbidden",
		[FAIL_NOT_FOUND] = "not_found",
		[FAIL_METHOD] = "method",
		[FAIL_TOO_LARGE] = "too_large",
		[FAIL_MEDIA_TYPE] = "media_type",
		[FAIL_LIMIT] = "limit",
		[FAIL_HEAD_LARGE] = "head_large",
		[FAIL_GONE] = "client_left",
		[FAIL_BUSY] = "busy",
		[FAIL_CONFIG] = "not_configured",
		[FAIL_UPSTREAM] = "agora",
		[FAIL_INTERNAL] = "internal",
	};

	return names[kind];
}

static bool
is_continuation(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
}

/* How many bytes of UTF-8 the first byte ${c} announces. */
static size_t
announced(char c)
{
	unsigned char byte = (unsigned char)c;

	if (byte < 0xc0)
		return 1;
	if (byte < 0xe0)
		return 2;
	return byte < 0xf0 ? 3 : 4;
}

/* Removes the beginning of a character whose end did not fit. */
static void
drop_half_character(char *text)
{
	size_t len = strlen(text);
	size_t start = len;

	while (start > 0 && is_continuation(text[start - 1]))
		start--;
	if (start > 0 && len - (start - 1) < announced(text[start - 1]))
		text[start - 1] = '\0';
}

/* Bytes above 0x7f stay: they are UTF-8. */
static void
replace_controls(char *text)
{
	for (; *text != '\0'; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
}

int
fail_set(struct fail *fail, enum fail_kind kind, const char *format, ...)
{
	va_list args;
	int len;

	if (fail == NULL || fail->kind != FAIL_NONE)
		return -1;
	fail->kind = kind;
	va_start(args, format);
	len = vsnprintf(fail->text, sizeof(fail->text), format, args);
	va_end(args);
	if (len < 0)
		fail->text[0] = '\0';
	else if ((size_t)len >= sizeof(fail->text))
		drop_half_character(fail->text);
	replace_controls(fail->text);
	return -1;
}
