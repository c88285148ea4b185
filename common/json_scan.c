#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "common/ascii.h"
#include "common/json_scan.h"
#include "common/num.h"
#include "common/utf8.h"

#define SPACE " \t\n\r"
#define INTEGER_SIZE 21 /* "-9223372036854775808" and the NUL */

/* Each step moves ${at} behind what it read, or says what is ${wrong} there. */
struct scan {
	const char *text;
	size_t len;
	size_t at;
	size_t depth;
	bool nul; /* the last string has a \u0000 */
	const char *wrong;
};

static int
refuse(struct scan *scan, const char *wrong)
{
	scan->wrong = wrong;
	return -1;
}

/* The byte ${ahead} of the place, -1 behind the end. */
static int
peek(const struct scan *scan, size_t ahead)
{
	if (ahead >= scan->len - scan->at)
		return -1;
	return (unsigned char)scan->text[scan->at + ahead];
}

static bool
is_one_of(int c, const char *set)
{
	return c > 0 && strchr(set, c) != NULL;
}

static bool
is_digit(int c)
{
	return c >= '0' && c <= '9';
}

/* The value of the four hex digits ${ahead}, or -1. */
static int
four_hex(const struct scan *scan, size_t ahead)
{
	int value = 0;

	for (size_t i = 0; i < 4; i++) {
		int c = peek(scan, ahead + i);

		if (c == -1 || !ascii_is_hex((char)c))
			return -1;
		value = value * 16 +
		    (is_digit(c) ? c - '0' : ascii_lower((char)c) - 'a' + 10);
	}
	return value;
}

/* \uXXXX, or two of them that make one character. */
static int
scan_unicode_escape(struct scan *scan)
{
	int first = four_hex(scan, 2);
	int second;

	if (first == -1)
		return refuse(scan, "\\u without four hex digits");
	if (first == 0)
		scan->nul = true;
	if (first < 0xd800 || first > 0xdfff) {
		scan->at += 6;
		return 0;
	}
	second = peek(scan, 6) == '\\' && peek(scan, 7) == 'u' ?
	    four_hex(scan, 8) :
	    -1;
	if (first > 0xdbff || second < 0xdc00 || second > 0xdfff)
		return refuse(scan, "half a surrogate pair");
	scan->at += 12;
	return 0;
}

static int
scan_escape(struct scan *scan)
{
	int c = peek(scan, 1);

	if (c == 'u')
		return scan_unicode_escape(scan);
	if (!is_one_of(c, "\"\\/bfnrt"))
		return refuse(scan, "unknown escape");
	scan->at += 2;
	return 0;
}

static int
scan_string_character(struct scan *scan)
{
	int c = peek(scan, 0);
	size_t size;

	if (c == -1)
		return refuse(scan, "string without an end");
	if (c < ' ')
		return refuse(scan, "control character in a string");
	if (c == '\\')
		return scan_escape(scan);
	size = utf8_character(scan->text + scan->at, scan->len - scan->at);
	if (size == 0)
		return refuse(scan, "invalid UTF-8");
	scan->at += size;
	return 0;
}

/* json-c would cut a member's name at the NUL and so make another of it. */
static int
scan_string(struct scan *scan)
{
	scan->nul = false;
	scan->at++;
	while (peek(scan, 0) != '"')
		if (scan_string_character(scan) == -1)
			return -1;
	scan->at++;
	while (is_one_of(peek(scan, 0), SPACE))
		scan->at++;
	if (scan->nul && peek(scan, 0) == ':')
		return refuse(scan, "NUL in a member's name");
	return 0;
}

/* Reads digits; false when there is none. */
static bool
skip_digits(struct scan *scan)
{
	size_t start = scan->at;

	while (is_digit(peek(scan, 0)))
		scan->at++;
	return scan->at > start;
}

/* The fraction and the exponent, if there. */
static bool
skip_fraction(struct scan *scan)
{
	if (peek(scan, 0) == '.') {
		scan->at++;
		if (!skip_digits(scan))
			return false;
	}
	if (is_one_of(peek(scan, 0), "eE")) {
		scan->at++;
		if (is_one_of(peek(scan, 0), "+-"))
			scan->at++;
		if (!skip_digits(scan))
			return false;
	}
	return true;
}

/* json-c would take the nearest number that it knows instead. */
static bool
integer_fits(const char *start, size_t len)
{
	char text[INTEGER_SIZE];
	int64_t value;

	if (len >= sizeof(text))
		return false;
	memcpy(text, start, len);
	text[len] = '\0';
	return num_parse(text, INT64_MIN, INT64_MAX, &value) == 0;
}

/* RFC 8259, section 6. */
static int
scan_number(struct scan *scan)
{
	const char *start = scan->text + scan->at;
	size_t first = scan->at, integer_end;

	if (peek(scan, 0) == '-')
		scan->at++;
	if (peek(scan, 0) == '0' && is_digit(peek(scan, 1)))
		return refuse(scan, "number with a leading zero");
	if (!skip_digits(scan))
		return refuse(scan, "bad number");
	integer_end = scan->at;
	if (!skip_fraction(scan))
		return refuse(scan, "bad number");
	if (scan->at == integer_end &&
	    !integer_fits(start, integer_end - first)) {
		scan->at = first;
		return refuse(scan, "integer outside -2^63..2^63-1");
	}
	return 0;
}

static int
scan_word(struct scan *scan)
{
	static const char *const words[] = { "true", "false", "null" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		size_t len = strlen(words[i]);

		if (len <= scan->len - scan->at &&
		    memcmp(scan->text + scan->at, words[i], len) == 0) {
			scan->at += len;
			return 0;
		}
	}
	return refuse(scan, "unexpected character");
}

/* A number or word ends where a value can end: "1true" is no JSON. */
static int
scan_scalar(struct scan *scan)
{
	int c = peek(scan, 0);
	int rc = c == '-' || is_digit(c) ? scan_number(scan) : scan_word(scan);

	if (rc == -1)
		return -1;
	c = peek(scan, 0);
	if (c != -1 && !is_one_of(c, ",]}" SPACE))
		return refuse(scan, "unexpected character");
	return 0;
}

static int
scan_token(struct scan *scan, size_t depth_max)
{
	int c = peek(scan, 0);

	if (c == '"')
		return scan_string(scan);
	if (!is_one_of(c, "[]{},:" SPACE))
		return scan_scalar(scan);
	if (is_one_of(c, "[{") && ++scan->depth > depth_max)
		return refuse(scan, "too many levels");
	if (is_one_of(c, "]}") && scan->depth > 0)
		scan->depth--;
	scan->at++;
	return 0;
}

const char *
json_scan(const char *text, size_t len, size_t depth_max, size_t *place)
{
	static const char mark[] = "\xef\xbb\xbf";
	struct scan scan = { .text = text, .len = len };

	if (len >= strlen(mark) && memcmp(text, mark, strlen(mark)) == 0)
		refuse(&scan, "byte order mark");
	while (scan.wrong == NULL && scan.at < len)
		scan_token(&scan, depth_max);
	*place = scan.at;
	return scan.wrong;
}
