/*
 * The .env file format as python-dotenv reads it: KEY=value lines, quotes,
 * export, comments, escapes, ${NAME} and ${NAME:-default}.
 */
#ifndef COMMON_DOTENV_H
#define COMMON_DOTENV_H

#include <stddef.h>

struct fail;

#define DOTENV_FILE_MAX 65536     /* bytes of a file */
#define DOTENV_NAMES_MAX 1024     /* different names in a file */
#define DOTENV_VALUES_MAX 1048576 /* bytes of all values, replaced */

/* One name and its value; a name without "=" has value NULL. */
struct dotenv_entry {
	char *name;
	char *value;
};

struct dotenv {
	struct dotenv_entry *entry; /* in the order of first appearance */
	size_t len;
	size_t bad_line; /* the first one that is not understood, or 0 */
};

/*
 * Reads ${len} bytes of ${text} into ${env}. Of several lines with one name
 * the last counts. Lines that do not parse are skipped, as python-dotenv
 * does; the first one's number is left in ${env}->bad_line. CR LF and CR end
 * a line as LF does, also inside quotes.
 * ${NAME} is looked up as python-dotenv's load_dotenv(override=False) does:
 * ${outer}(arg, name) first (it returns NULL for unset; ${outer} may be
 * NULL), then the lines above in the file, the nearest one first. A name
 * without "=" counts as found and empty. ${NAME:-text} gives text when
 * neither has the name, also not empty; ${NAME} then gives nothing.
 * Returns 0, or -1 with ${fail} set (out of memory, not UTF-8, a NUL byte,
 * more than one of the limits above) and ${env} empty.
 */
int dotenv_parse(struct dotenv *env, const char *text, size_t len,
    const char *(*outer)(void *arg, const char *name), void *arg,
    struct fail *fail) __attribute__((warn_unused_result));

/* The value of ${name}, borrowed; NULL when absent or without value. */
const char *dotenv_get(const struct dotenv *env, const char *name);

/* Wipes the value of the ${i}th name, which then has none. */
void dotenv_forget(struct dotenv *env, size_t i);

/* Wipes and releases; leaves an empty one. NULL is fine. */
void dotenv_free(struct dotenv *env);

#endif
