#include <stdint.h>
#include <string.h>

#include "common/dotenv_scan.h"

/*
 * The length in bytes of the white space character at ${at}, 0 if it is none.
 * Python's idea of white space: ASCII's, the four separators U+001C to U+001F
 * and Unicode's.
 */
static size_t
space_len(const char *at, const char *end)
{
	static const char wide[][4] = { "\xc2\x85", "\u00a0", "\u1680",
		"\u2000", "\u2001", "\u2002", "\u2003", "\u2004", "\u2005",
		"\u2006", "\u2007", "\u2008", "\u2009", "\u200a", "\u2028",
		"\u2029", "\u202f", "\u205f", "\u3000" };
	size_t len;

	if (at == end)
		return 0;
	if ((*at >= '\t' && *at <= '\r') || (*at >= 0x1c && *at <= ' '))
		return 1;
	if ((uint8_t)*at < 0x80)
		return 0;
	for (size_t i = 0; i < sizeof(wide) / sizeof(wide[0]); i++) {
		len = strlen(wide[i]);
		if ((size_t)(end - at) >= len && memcmp(at, wide[i], len) == 0)
			return len;
	}
	return 0;
}

/* The same for the character that ends before ${at}. */
static size_t
space_len_before(const char *begin, const char *at)
{
	for (size_t len = 1; len <= 3 && len <= (size_t)(at - begin); len++)
		if (space_len(at - len, at) == len)
			return len;
	return 0;
}

static void
advance(struct dotenv_scan *scan, const char *to)
{
	for (; scan->at < to; scan->at++)
		if (*scan->at == '\n')
			scan->line++;
}

static bool
next_is(const struct dotenv_scan *scan, char c)
{
	return scan->at < scan->end && *scan->at == c;
}

/* White space within the line. */
static void
skip_blanks(struct dotenv_scan *scan)
{
	size_t len;

	while (
	    !next_is(scan, '\n') && (len = space_len(scan->at, scan->end)) > 0)
		advance(scan, scan->at + len);
}

static void
skip_blank_lines(struct dotenv_scan *scan)
{
	skip_blanks(scan);
	while (next_is(scan, '\n')) {
		advance(scan, scan->at + 1);
		skip_blanks(scan);
	}
}

static const char *
line_end(const struct dotenv_scan *scan)
{
	const char *at = scan->at;

	while (at < scan->end && *at != '\n')
		at++;
	return at;
}

static void
skip_line(struct dotenv_scan *scan)
{
	const char *lf = line_end(scan);

	advance(scan, lf < scan->end ? lf + 1 : lf);
}

/* The word "export", but only with a blank behind it: it may be a name. */
static void
skip_export(struct dotenv_scan *scan)
{
	static const char word[] = "export";
	size_t len = sizeof(word) - 1;
	const char *after;

	if ((size_t)(scan->end - scan->at) <= len ||
	    memcmp(scan->at, word, len) != 0)
		return;
	after = scan->at + len;
	if (*after == '\n' || space_len(after, scan->end) == 0)
		return;
	advance(scan, after);
	skip_blanks(scan);
}

/* 'NAME': anything but a quote, at least one byte, also over several lines. */
static int
read_quoted_name(struct dotenv_scan *scan, struct dotenv_piece *name)
{
	const char *begin = scan->at + 1;
	const char *close = memchr(begin, '\'', (size_t)(scan->end - begin));

	if (close == NULL || close == begin)
		return -1;
	*name = (struct dotenv_piece){ .at = begin, .end = close };
	advance(scan, close + 1);
	return 0;
}

static int
read_name(struct dotenv_scan *scan, struct dotenv_piece *name)
{
	const char *at = scan->at;

	if (next_is(scan, '\''))
		return read_quoted_name(scan, name);
	while (at < scan->end && *at != '=' && *at != '#' &&
	    space_len(at, scan->end) == 0)
		at++;
	if (at == scan->at)
		return -1;
	*name = (struct dotenv_piece){ .at = scan->at, .end = at };
	advance(scan, at);
	return 0;
}

/*
 * The quote that ends a value: the first without a backslash before it. When
 * each one has a backslash the last of them ends the value after all, as in
 * DIR="C:\".
 */
static const char *
closing_quote(const char *begin, const char *end, char quote)
{
	const char *last = NULL;
	const char *at = begin;

	while ((at = memchr(at, quote, (size_t)(end - at))) != NULL) {
		last = at;
		if (at == begin || at[-1] != '\\')
			break;
		at++;
	}
	return last;
}

static int
read_quoted_value(struct dotenv_scan *scan, struct dotenv_piece *value)
{
	char quote = *scan->at;
	const char *begin = scan->at + 1;
	const char *close = closing_quote(begin, scan->end, quote);

	if (close == NULL)
		return -1;
	*value = (struct dotenv_piece){ begin, close, quote };
	advance(scan, close + 1);
	return 0;
}

/* Up to a # with white space before it, or to the end of the line. */
static void
read_plain_value(struct dotenv_scan *scan, struct dotenv_piece *value)
{
	const char *begin = scan->at;
	const char *end = line_end(scan);
	const char *hash = begin;
	size_t len;

	advance(scan, end);
	while ((hash = memchr(hash, '#', (size_t)(end - hash))) != NULL) {
		if (space_len_before(begin, hash) > 0) {
			end = hash;
			break;
		}
		hash++;
	}
	while ((len = space_len_before(begin, end)) > 0)
		end -= len;
	*value = (struct dotenv_piece){ .at = begin, .end = end };
}

static int
read_value(struct dotenv_scan *scan, struct dotenv_piece *value)
{
	if (next_is(scan, '\'') || next_is(scan, '"'))
		return read_quoted_value(scan, value);
	read_plain_value(scan, value);
	return 0;
}

/* A comment, blanks, the end of the line. */
static int
read_line_end(struct dotenv_scan *scan)
{
	skip_blanks(scan);
	if (next_is(scan, '#'))
		advance(scan, line_end(scan));
	if (scan->at < scan->end && *scan->at != '\n')
		return -1;
	skip_line(scan);
	return 0;
}

/* [export] NAME [= value] [# comment]; "export" was read. */
static int
read_statement(struct dotenv_scan *scan, struct dotenv_statement *statement)
{
	if (read_name(scan, &statement->name) == -1)
		return -1;
	skip_blanks(scan);
	if (next_is(scan, '=')) {
		advance(scan, scan->at + 1);
		skip_blanks(scan);
		statement->has_value = true;
		if (read_value(scan, &statement->value) == -1)
			return -1;
	}
	return read_line_end(scan);
}

bool
dotenv_scan_next(struct dotenv_scan *scan, struct dotenv_statement *statement)
{
	*statement = (struct dotenv_statement){ 0 };
	for (;;) {
		skip_blank_lines(scan);
		if (scan->at == scan->end)
			return false;
		statement->line = scan->line;
		skip_export(scan);
		if (!next_is(scan, '#'))
			break;
		skip_line(scan);
	}
	statement->understood = read_statement(scan, statement) == 0;
	if (!statement->understood)
		skip_line(scan);
	return true;
}
