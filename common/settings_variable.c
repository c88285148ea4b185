/*
 * ${NAME} in agent files.
 */
#include <string.h>

#include "common/settings_internal.h"

static bool
is_setting(const struct settings_entry *entry, const char *name)
{
	return strcmp(entry->name, name) == 0 ||
	    (entry->alias != NULL && strcmp(entry->alias, name) == 0);
}

/* The number of the setting ${name}, SETTINGS_COUNT if it is none. */
static size_t
find_setting(const char *name)
{
	size_t i;

	for (i = 0; i < SETTINGS_COUNT; i++)
		if (is_setting(settings_entry_at(i), name))
			break;
	return i;
}

/* Settings have a place of their own, where their secrets are wiped. */
static void
drop_settings(struct dotenv *env)
{
	for (size_t i = 0; i < env->len; i++)
		if (find_setting(env->entry[i].name) < SETTINGS_COUNT)
			dotenv_forget(env, i);
}

void
settings_keep_variables(struct settings *settings,
    struct settings_source *source)
{
	struct dotenv *kept = settings->variables;

	for (size_t i = 0; i < source->len; i++) {
		struct dotenv *env = &source->file[i].env;

		if (env->len == 0 ||
		    kept == settings->variables + SETTINGS_FOLDER_FILES)
			continue;
		drop_settings(env);
		*kept++ = *env;
		*env = (struct dotenv){ 0 };
	}
}

static const char *
other_variable(const struct settings *settings,
    const struct settings_source *source, const char *name)
{
	const char *value = settings_getenv(source, name);

	for (size_t i = 0;
	     i < SETTINGS_FOLDER_FILES && (value == NULL || *value == '\0');
	     i++)
		value = dotenv_get(&settings->variables[i], name);
	return value;
}

const char *
settings_variable(const struct settings *settings,
    const struct settings_source *source, const char *name, const char **why)
{
	size_t i = find_setting(name);
	const char *value;

	if (settings_clients_variable(name)) {
		*why = "is a name that the client of a CGI program can set";
		return NULL;
	}
	if (i == SETTINGS_COUNT) {
		value = other_variable(settings, source, name);
	} else {
		value = settings_text_at(settings, i);
		if (value == NULL) {
			*why = "is a setting that is of no use there";
			return NULL;
		}
	}
	*why = "is not set";
	return value != NULL && *value != '\0' ? value : NULL;
}

bool
settings_unsafe_files(const struct settings_source *source)
{
	return source->unsafe_files;
}
