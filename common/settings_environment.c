/*
 * The process environment: asked here alone, and rid of its secrets. What
 * unsetenv(3) removes can still be read in /proc/PID/environ, hence values are
 * overwritten where they lie.
 */
#define _GNU_SOURCE /* memfd_create(2), seals */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/log.h"
#include "common/num.h"
#include "common/secret.h"
#include "common/settings_internal.h"

/* In a worker's environment: the descriptor with its parent's secrets. */
#define HANDED_OVER "AGORA_AGENT_SECRETS_FD"
#define HANDED_OVER_MAX 1048576 /* bytes */

static bool
ends_with(const char *name, size_t len, const char *end)
{
	size_t end_len = strlen(end);

	return len > end_len && memcmp(name + len - end_len, end, end_len) == 0;
}

static bool
begins_with(const char *name, const char *start)
{
	return strncmp(name, start, strlen(start)) == 0;
}

bool
settings_clients_variable(const char *name)
{
	static const char *const starts[] = { "HTTP_", "REDIRECT_", "REQUEST_",
		"REMOTE_", "QUERY_STRING", "PATH_INFO", "PATH_TRANSLATED",
		"CONTENT_", "SCRIPT_", "SERVER_" };

	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++)
		if (begins_with(name, starts[i]))
			return true;
	return false;
}

/* Agent files may use any variable: what is called like a key is one. */
static bool
looks_secret(const char *name, size_t len)
{
	static const char *const ends[] = { "_KEY", "_KEY_ID", "_APIKEY",
		"_SECRET", "_SECRET_ID", "_TOKEN", "_PASS", "_PASSWORD",
		"_CREDENTIALS", "_CREDENTIALS_STRING", "_CREDENTIALS_BASE64" };

	if (settings_clients_variable(name))
		return false;
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		if (ends_with(name, len, ends[i]))
			return true;
	return false;
}

static bool
is_name(const char *known, const char *name, size_t len)
{
	return known != NULL && strncmp(known, name, len) == 0 &&
	    known[len] == '\0';
}

static bool
is_secret(const char *name, size_t len)
{
	const struct settings_entry *entry;

	for (size_t i = 0; (entry = settings_entry_at(i)) != NULL; i++)
		if (is_name(entry->name, name, len) ||
		    is_name(entry->alias, name, len))
			return entry->secret;
	return looks_secret(name, len);
}

/* The value in ${variable}, "NAME=value", if it is a secret, or NULL. */
static char *
secret_value(char *variable)
{
	size_t len = strcspn(variable, "=");

	if (variable[len] == '\0' || !is_secret(variable, len))
		return NULL;
	return variable + len + 1;
}

static const char *
find_taken(const struct settings_source *source, const char *name)
{
	for (size_t i = 0; i < source->taken_len; i++)
		if (strcmp(source->taken[i].name, name) == 0)
			return source->taken[i].value;
	return NULL;
}

/* Adds a secret that may be there already: the first one counts. */
static int
add_taken(struct settings_source *source, const char *variable,
    const char *value)
{
	struct settings_taken *grown, taken;

	taken.name = strndup(variable, (size_t)(value - variable) - 1);
	if (taken.name == NULL)
		return -1;
	if (find_taken(source, taken.name) != NULL) {
		free(taken.name);
		return 0;
	}
	taken.value = strdup(value);
	grown = taken.value == NULL ?
	    NULL :
	    realloc(source->taken, (source->taken_len + 1) * sizeof(*grown));
	if (grown == NULL) {
		secret_free(taken.value);
		free(taken.name);
		return -1;
	}
	source->taken = grown;
	source->taken[source->taken_len++] = taken;
	return 0;
}

/* Keeps ${variable} if it is a secret, and wipes it. */
static void
take(struct settings_source *source, char *variable)
{
	char *value = secret_value(variable);

	if (value == NULL)
		return;
	if (add_taken(source, variable, value) == -1)
		source->failed = true;
	secret_wipe(value, strlen(value));
}

/* Removes the variables, whose values are wiped already: no name dangles. */
static void
unset_secrets(void)
{
	char **kept = environ;

	if (environ == NULL)
		return;
	for (char **at = environ; *at != NULL; at++)
		if (secret_value(*at) == NULL)
			*kept++ = *at;
	*kept = NULL;
}

/* The size of a file that nobody can write to any more, or -1. */
static off_t
sealed_size(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	if (seals == -1 || (seals & F_SEAL_WRITE) == 0 || fstat(fd, &st) == -1)
		return -1;
	return st.st_size;
}

/* Takes "NAME=value" texts, a NUL behind each. The offset is not ours alone. */
static void
take_from(struct settings_source *source, int fd, size_t size)
{
	char *texts = calloc(1, size + 1);

	if (texts == NULL || pread(fd, texts, size, 0) != (ssize_t)size) {
		source->failed = true;
	} else {
		for (char *at = texts; at < texts + size; at += strlen(at) + 1)
			take(source, at);
	}
	secret_free(texts);
}

/* Takes what settings_environment_hide() has put aside in our parent. */
static void
take_handed_over(struct settings_source *source)
{
	const char *text = getenv(HANDED_OVER);
	int64_t fd = -1;
	off_t size;

	if (text == NULL || num_parse(text, 0, INT_MAX, &fd) == -1)
		return;
	unsetenv(HANDED_OVER);
	size = sealed_size((int)fd);
	if (size == -1)
		return;
	take_from(source, (int)fd, (size_t)size);
	close((int)fd);
}

void
settings_environment_take(struct settings_source *source)
{
	take_handed_over(source);
	for (char **at = environ; at != NULL && *at != NULL; at++)
		take(source, *at);
	unset_secrets();
}

void
settings_environment_free(struct settings_source *source)
{
	while (source->taken_len > 0) {
		source->taken_len--;
		free(source->taken[source->taken_len].name);
		secret_free(source->taken[source->taken_len].value);
	}
	free(source->taken);
	source->taken = NULL;
}

/* environ cannot hold "=" in a name, but getenv(3) would find "A=b" in it. */
const char *
settings_getenv(const struct settings_source *source, const char *name)
{
	const char *value = find_taken(source, name);

	if (value != NULL || strchr(name, '=') != NULL)
		return value;
	return getenv(name);
}

/* ---- handing over ------------------------------------------------------ */

static void
collect_secrets(struct buf *texts)
{
	for (char **at = environ; at != NULL && *at != NULL; at++)
		if (secret_value(*at) != NULL)
			buf_add(texts, *at, strlen(*at) + 1);
}

static void
wipe_secrets(void)
{
	char *value;

	for (char **at = environ; at != NULL && *at != NULL; at++) {
		value = secret_value(*at);
		if (value != NULL)
			secret_wipe(value, strlen(value));
	}
	unset_secrets();
}

/* A file in memory with the ${len} bytes at ${data}, for reading only; or -1. */
static int
seal(const char *data, size_t len)
{
	int fd = memfd_create("secrets", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd == -1)
		return -1;
	if (write(fd, data, len) == (ssize_t)len &&
	    fcntl(fd, F_ADD_SEALS,
		F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) == 0)
		return fd;
	close(fd);
	return -1;
}

int
settings_environment_hide(void)
{
	struct buf texts = BUF(HANDED_OVER_MAX);
	char number[16];
	int fd = -1;

	collect_secrets(&texts);
	if (texts.len > 0 && !buf_failed(&texts))
		fd = seal(buf_str(&texts), texts.len);
	snprintf(number, sizeof(number), "%d", fd);
	if (fd != -1 && setenv(HANDED_OVER, number, 1) == 0)
		wipe_secrets();
	else if (texts.len > 0)
		log_warn("settings: secrets stay in the environment: %s",
		    strerror(errno));
	buf_free(&texts);
	return fd;
}
