/*
 * Reading .env files. The format has no specification; python-dotenv is what
 * people's files were written for, so its results are the measure and
 * tests/vectors/dotenv.json holds them.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/dotenv.h"
#include "common/fail.h"
#include "common/secret.h"
#include "common/utf8.h"

/* A piece of the text; ${quote} is the quote it stood in, or 0. */
struct piece {
	const char *at;
	const char *end;
	char quote;
};

struct reader {
	const char *at; /* the next byte */
	const char *end;
	size_t line;

	struct dotenv *env;
	const char *(*outer)(void *arg, const char *name);
	void *arg;

	struct buf name;  /* of the variable being looked up */
	struct buf plain; /* a value without quotes and escapes */
	struct buf value; /* the same with ${NAME} replaced */
	size_t left;      /* of DOTENV_VALUES_MAX */
	bool failed;      /* out of memory in ${name} */
};

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
advance(struct reader *reader, const char *to)
{
	for (; reader->at < to; reader->at++)
		if (*reader->at == '\n')
			reader->line++;
}

static bool
next_is(const struct reader *reader, char c)
{
	return reader->at < reader->end && *reader->at == c;
}

/* White space within the line. */
static void
skip_blanks(struct reader *reader)
{
	size_t len;

	while (!next_is(reader, '\n') &&
	    (len = space_len(reader->at, reader->end)) > 0)
		advance(reader, reader->at + len);
}

static void
skip_blank_lines(struct reader *reader)
{
	skip_blanks(reader);
	while (next_is(reader, '\n')) {
		advance(reader, reader->at + 1);
		skip_blanks(reader);
	}
}

static const char *
line_end(const struct reader *reader)
{
	const char *at = reader->at;

	while (at < reader->end && *at != '\n')
		at++;
	return at;
}

static void
skip_line(struct reader *reader)
{
	const char *lf = line_end(reader);

	advance(reader, lf < reader->end ? lf + 1 : lf);
}

/* The word "export", but only with a blank behind it: it may be a name. */
static void
skip_export(struct reader *reader)
{
	static const char word[] = "export";
	size_t len = sizeof(word) - 1;
	const char *after;

	if ((size_t)(reader->end - reader->at) <= len ||
	    memcmp(reader->at, word, len) != 0)
		return;
	after = reader->at + len;
	if (*after == '\n' || space_len(after, reader->end) == 0)
		return;
	advance(reader, after);
	skip_blanks(reader);
}

/* 'NAME': anything but a quote, at least one byte, also over several lines. */
static int
read_quoted_name(struct reader *reader, struct piece *name)
{
	const char *begin = reader->at + 1;
	const char *close = memchr(begin, '\'', (size_t)(reader->end - begin));

	if (close == NULL || close == begin)
		return -1;
	*name = (struct piece){ .at = begin, .end = close };
	advance(reader, close + 1);
	return 0;
}

static int
read_name(struct reader *reader, struct piece *name)
{
	const char *at = reader->at;

	if (next_is(reader, '\''))
		return read_quoted_name(reader, name);
	while (at < reader->end && *at != '=' && *at != '#' &&
	    space_len(at, reader->end) == 0)
		at++;
	if (at == reader->at)
		return -1;
	*name = (struct piece){ .at = reader->at, .end = at };
	advance(reader, at);
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
read_quoted_value(struct reader *reader, struct piece *value)
{
	char quote = *reader->at;
	const char *begin = reader->at + 1;
	const char *close = closing_quote(begin, reader->end, quote);

	if (close == NULL)
		return -1;
	*value = (struct piece){ begin, close, quote };
	advance(reader, close + 1);
	return 0;
}

/* Up to a # with white space before it, or to the end of the line. */
static void
read_plain_value(struct reader *reader, struct piece *value)
{
	const char *begin = reader->at;
	const char *end = line_end(reader);
	const char *hash = begin;
	size_t len;

	advance(reader, end);
	while ((hash = memchr(hash, '#', (size_t)(end - hash))) != NULL) {
		if (space_len_before(begin, hash) > 0) {
			end = hash;
			break;
		}
		hash++;
	}
	while ((len = space_len_before(begin, end)) > 0)
		end -= len;
	*value = (struct piece){ .at = begin, .end = end };
}

static int
read_value(struct reader *reader, struct piece *value)
{
	if (next_is(reader, '\'') || next_is(reader, '"'))
		return read_quoted_value(reader, value);
	read_plain_value(reader, value);
	return 0;
}

/* A comment, blanks, the end of the line. */
static int
read_line_end(struct reader *reader)
{
	skip_blanks(reader);
	if (next_is(reader, '#'))
		advance(reader, line_end(reader));
	if (reader->at < reader->end && *reader->at != '\n')
		return -1;
	skip_line(reader);
	return 0;
}

/*
 * What \${c} stands for in a value in ${quote}; 0 when the two bytes stay.
 * Single quotes know the first two alone.
 */
static char
escaped(char quote, char c)
{
	static const char from[] = "\\'\"abfnrtv";
	static const char to[] = "\\'\"\a\b\f\n\r\t\v";
	const char *found;

	found = memchr(from, c, quote == '\'' ? 2 : sizeof(from) - 1);
	if (found == NULL)
		return '\0';
	return to[found - from];
}

static void
unescape(struct buf *out, const struct piece *value)
{
	const char *at = value->at;
	char c;

	while (at < value->end) {
		c = '\0';
		if (*at == '\\' && value->quote != '\0' && value->end - at > 1)
			c = escaped(value->quote, at[1]);
		buf_add(out, c != '\0' ? &c : at, 1);
		at += c != '\0' ? 2 : 1;
	}
}

static struct dotenv_entry *
find(const struct dotenv *env, const char *name)
{
	for (size_t i = 0; i < env->len; i++)
		if (strcmp(env->entry[i].name, name) == 0)
			return &env->entry[i];
	return NULL;
}

/* The text of the variable ${name}; NULL when nobody has the name. */
static const char *
look_up(struct reader *reader, const struct piece *name)
{
	const struct dotenv_entry *entry;
	const char *text = NULL;

	buf_reset(&reader->name);
	buf_add(&reader->name, name->at, (size_t)(name->end - name->at));
	reader->failed |= buf_failed(&reader->name);
	if (reader->outer != NULL)
		text = reader->outer(reader->arg, buf_str(&reader->name));
	if (text != NULL)
		return text;
	entry = find(reader->env, buf_str(&reader->name));
	if (entry == NULL)
		return NULL;
	return entry->value != NULL ? entry->value : "";
}

/*
 * Appends the variable that ${at} starts with, "${NAME}" or "${NAME:-text}",
 * or, where it is neither, its bytes. Returns what comes after it.
 */
static const char *
replace_one(struct reader *reader, const char *at, const char *close)
{
	const char *begin = at + 2;
	const char *colon = memchr(begin, ':', (size_t)(close - begin));
	struct piece name = { .at = begin, .end = close };
	const char *text;

	if (colon != NULL && colon[1] != '-') {
		/* Nothing that starts before this colon can be a variable. */
		buf_add(&reader->value, at, (size_t)(colon + 1 - at));
		return colon + 1;
	}
	if (colon != NULL)
		name.end = colon;
	text = look_up(reader, &name);
	if (text != NULL)
		buf_text(&reader->value, text);
	else if (colon != NULL)
		buf_add(&reader->value, colon + 2, (size_t)(close - colon - 2));
	return close + 1;
}

/* Writes ${plain} to ${value}, the variables in it replaced. */
static void
replace_variables(struct reader *reader)
{
	const char *at = buf_str(&reader->plain);
	const char *end = at + reader->plain.len;
	const char *start, *close;

	buf_reset(&reader->value);
	while ((start = strstr(at, "${")) != NULL) {
		close = memchr(start, '}', (size_t)(end - start));
		if (close == NULL)
			break;
		buf_add(&reader->value, at, (size_t)(start - at));
		at = replace_one(reader, start, close);
	}
	buf_add(&reader->value, at, (size_t)(end - at));
}

static void
wipe_text(char *text)
{
	if (text != NULL)
		secret_wipe(text, strlen(text));
	free(text);
}

/* Makes room for one more. Returns 0, or -1 with ${fail} set. */
static int
grow(struct dotenv *env, struct fail *fail)
{
	struct dotenv_entry *grown;

	if (env->len == DOTENV_NAMES_MAX)
		return fail_set(fail, FAIL_CONFIG, "more than %d names",
		    DOTENV_NAMES_MAX);
	grown = realloc(env->entry, (env->len + 1) * sizeof(*grown));
	if (grown == NULL)
		return fail_set(fail, FAIL_INTERNAL, "out of memory");
	env->entry = grown;
	return 0;
}

/* The text of ${piece}, to be freed, or NULL. */
static char *
piece_dup(const struct piece *piece)
{
	size_t len = (size_t)(piece->end - piece->at);
	char *copy = malloc(len + 1);

	if (copy == NULL)
		return NULL;
	memcpy(copy, piece->at, len);
	copy[len] = '\0';
	return copy;
}

/* Sets ${name}, known or new, to a copy of ${value}, which may be NULL. */
static int
set_value(struct dotenv *env, const struct piece *name, const char *value,
    struct fail *fail)
{
	char *key = piece_dup(name);
	char *copy = value != NULL ? strdup(value) : NULL;
	struct dotenv_entry *entry;

	if (key == NULL || (value != NULL && copy == NULL)) {
		fail_set(fail, FAIL_INTERNAL, "out of memory");
		goto err;
	}
	entry = find(env, key);
	if (entry == NULL) {
		if (grow(env, fail) == -1)
			goto err;
		entry = &env->entry[env->len++];
		*entry = (struct dotenv_entry){ .name = key };
		key = NULL;
	}
	wipe_text(entry->value);
	entry->value = copy;
	free(key);
	return 0;
err:
	free(key);
	wipe_text(copy);
	return -1;
}

static int
keep(struct reader *reader, const struct piece *name, const struct piece *value,
    struct fail *fail)
{
	if (value == NULL)
		return set_value(reader->env, name, NULL, fail);
	buf_reset(&reader->plain);
	unescape(&reader->plain, value);
	replace_variables(reader);
	if (reader->failed || buf_failed(&reader->plain) ||
	    buf_failed(&reader->value) || reader->value.len > reader->left)
		return fail_set(fail, FAIL_CONFIG,
		    "the values are longer than %d bytes", DOTENV_VALUES_MAX);
	reader->left -= reader->value.len;
	return set_value(reader->env, name, buf_str(&reader->value), fail);
}

/* Marks the line of a statement as not understood and leaves it. */
static int
skip_bad(struct reader *reader, size_t line)
{
	if (reader->env->bad_line == 0)
		reader->env->bad_line = line;
	skip_line(reader);
	return 0;
}

/*
 * [export] NAME [= value] [# comment], or a comment alone. After a mistake
 * reading goes on behind the line the mistake is in, which for quoted values
 * may be a later line than the first. Returns -1 only when out of space.
 */
static int
read_statement(struct reader *reader, struct fail *fail)
{
	size_t line = reader->line;
	struct piece name, value;
	bool has_value = false;

	skip_export(reader);
	if (next_is(reader, '#')) {
		skip_line(reader);
		return 0;
	}
	if (read_name(reader, &name) == -1)
		return skip_bad(reader, line);
	skip_blanks(reader);
	if (next_is(reader, '=')) {
		advance(reader, reader->at + 1);
		skip_blanks(reader);
		has_value = true;
		if (read_value(reader, &value) == -1)
			return skip_bad(reader, line);
	}
	if (read_line_end(reader) == -1)
		return skip_bad(reader, line);
	return keep(reader, &name, has_value ? &value : NULL, fail);
}

/* Copies ${text} to ${out} with LF for CR LF and CR. Returns its new end. */
static char *
unify_newlines(char *out, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '\r' && i + 1 < len && text[i + 1] == '\n')
			continue;
		*out++ = text[i];
		if (text[i] == '\r')
			out[-1] = '\n';
	}
	return out;
}

static int
check_text(const char *text, size_t len, struct fail *fail)
{
	if (len > DOTENV_FILE_MAX)
		return fail_set(fail, FAIL_CONFIG, "it is larger than %d bytes",
		    DOTENV_FILE_MAX);
	if (memchr(text, '\0', len) != NULL)
		return fail_set(fail, FAIL_CONFIG, "there is a NUL byte in it");
	if (!utf8_valid(text, len))
		return fail_set(fail, FAIL_CONFIG, "it is not UTF-8");
	return 0;
}

static int
read_all(struct reader *reader, struct fail *fail)
{
	for (;;) {
		skip_blank_lines(reader);
		if (reader->at == reader->end)
			return 0;
		if (read_statement(reader, fail) == -1)
			return -1;
	}
}

int
dotenv_parse(struct dotenv *env, const char *text, size_t len,
    const char *(*outer)(void *arg, const char *name), void *arg,
    struct fail *fail)
{
	struct reader reader = { .line = 1,
		.env = env,
		.outer = outer,
		.arg = arg,
		.left = DOTENV_VALUES_MAX,
		.name = BUF(DOTENV_FILE_MAX),
		.plain = BUF(DOTENV_FILE_MAX),
		.value = BUF(DOTENV_VALUES_MAX) };
	char *copy;
	int rc = -1;

	*env = (struct dotenv){ 0 };
	if (check_text(text, len, fail) == -1)
		return -1;
	copy = malloc(len + 1);
	if (copy == NULL)
		return fail_set(fail, FAIL_INTERNAL, "out of memory");
	reader.at = copy;
	reader.end = unify_newlines(copy, text, len);
	rc = read_all(&reader, fail);
	if (rc == -1)
		dotenv_free(env);
	buf_free(&reader.value);
	buf_free(&reader.plain);
	buf_free(&reader.name);
	secret_wipe(copy, len);
	free(copy);
	return rc;
}

const char *
dotenv_get(const struct dotenv *env, const char *name)
{
	const struct dotenv_entry *entry = find(env, name);

	return entry != NULL ? entry->value : NULL;
}

void
dotenv_free(struct dotenv *env)
{
	if (env == NULL)
		return;
	for (size_t i = 0; i < env->len; i++) {
		free(env->entry[i].name);
		wipe_text(env->entry[i].value);
	}
	free(env->entry);
	*env = (struct dotenv){ 0 };
}
