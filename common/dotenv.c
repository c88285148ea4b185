/*
 * Reading .env files. The format has no specification; python-dotenv is what
 * people's files were written for, so its results are the measure and
 * tests/vectors/dotenv.json holds them.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/dotenv.h"
#include "common/dotenv_scan.h"
#include "common/fail.h"
#include "common/secret.h"
#include "common/utf8.h"

/* The values read so far, and what reading the next one needs. */
struct reader {
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
unescape(struct buf *out, const struct dotenv_piece *value)
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
look_up(struct reader *reader, const struct dotenv_piece *name)
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
	struct dotenv_piece name = { .at = begin, .end = close };
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
piece_dup(const struct dotenv_piece *piece)
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
set_value(struct dotenv *env, const struct dotenv_piece *name,
    const char *value, struct fail *fail)
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
keep(struct reader *reader, const struct dotenv_statement *statement,
    struct fail *fail)
{
	if (!statement->has_value)
		return set_value(reader->env, &statement->name, NULL, fail);
	buf_reset(&reader->plain);
	unescape(&reader->plain, &statement->value);
	replace_variables(reader);
	if (reader->value.full || reader->value.len > reader->left)
		return fail_set(fail, FAIL_CONFIG,
		    "the values are longer than %d bytes", DOTENV_VALUES_MAX);
	if (reader->failed || buf_failed(&reader->plain) ||
	    buf_failed(&reader->value))
		return fail_set(fail, FAIL_INTERNAL, "out of memory");
	reader->left -= reader->value.len;
	return set_value(reader->env, &statement->name, buf_str(&reader->value),
	    fail);
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
read_all(struct reader *reader, struct dotenv_scan *scan, struct fail *fail)
{
	struct dotenv_statement statement;

	while (dotenv_scan_next(scan, &statement)) {
		if (statement.understood) {
			if (keep(reader, &statement, fail) == -1)
				return -1;
		} else if (reader->env->bad_line == 0) {
			reader->env->bad_line = statement.line;
		}
	}
	return 0;
}

int
dotenv_parse(struct dotenv *env, const char *text, size_t len,
    const char *(*outer)(void *arg, const char *name), void *arg,
    struct fail *fail)
{
	struct dotenv_scan scan = { .line = 1 };
	struct reader reader = { .env = env,
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
	scan.at = copy;
	scan.end = unify_newlines(copy, text, len);
	rc = read_all(&reader, &scan, fail);
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
dotenv_forget(struct dotenv *env, size_t i)
{
	wipe_text(env->entry[i].value);
	env->entry[i].value = NULL;
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
