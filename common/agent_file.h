/*
 * The text of an agent file: JSON, with ${NAME} in its strings.
 */
#ifndef COMMON_AGENT_FILE_H
#define COMMON_AGENT_FILE_H

#include <stddef.h>

struct json;
struct teller;

#define AGENT_FILE_MAX 65536 /* bytes */
#define AGENT_PREFIX_MAX 32  /* bytes of the file's "name" */

/* Where variables are looked up, such as settings_variable(). */
struct agent_variables {
	/* Its value, borrowed, or NULL with ${why}: "is not set". */
	const char *(*get)(const void *arg, const char *name, const char **why);
	const void *arg;
};

/*
 * Reads the ${len} bytes at ${text}: an object {name?, preset?, pipeline_id?,
 * properties?}. In its strings ${NAME} is replaced by what ${variables} has,
 * and $${ by a plain ${. Tells of everything that is wrong, by line and column,
 * or by the member's path, with the cure and without any value; and warns of
 * keys that stand in the file itself.
 * Returns the object, which the caller frees, or NULL after a problem.
 */
struct json *agent_file_parse(const char *text, size_t len,
    const struct agent_variables *variables, struct teller *teller);

#endif
