/*
 * Looking settings up: process environment, then files.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/file.h"
#include "common/log.h"
#include "common/settings_internal.h"
#include "common/teller.h"

#define ENVIRONMENT "the process environment"

/*
 * The value of ${name} in the first source that has it, which is put into
 * ${where}: the process environment, then the files. Empty counts as not set.
 */
static const char *
find_spelling(const struct settings_source *source, const char *name,
    const char **where)
{
	const char *value = name != NULL ? settings_getenv(source, name) : NULL;

	*where = ENVIRONMENT;
	if (name == NULL || (value != NULL && *value != '\0'))
		return value;
	for (size_t i = 0; i < source->len; i++) {
		value = dotenv_get(&source->file[i].env, name);
		*where = source->file[i].path;
		if (value != NULL && *value != '\0')
			return value;
	}
	return NULL;
}

/* The table's own name, wherever it is set, goes before the other spelling. */
static const char *
find_value(const struct settings_source *source,
    const struct settings_entry *entry, struct settings_found *found)
{
	const char *where, *other_where;
	const char *value = find_spelling(source, entry->name, &where);
	const char *other = find_spelling(source, entry->alias, &other_where);

	*found = (struct settings_found){ 0 };
	if (value == NULL && other == NULL)
		return NULL;
	if (value == NULL) {
		found->name = entry->alias;
		found->where = other_where;
		return other;
	}
	found->name = entry->name;
	found->where = where;
	if (other != NULL && strcmp(other, value) != 0) {
		found->other_name = entry->alias;
		found->other_where = other_where;
	}
	return value;
}

/*
 * The first of the folders in ${list}, which has colons between them. Where
 * systemd keeps it for a DynamicUser=, it is a link to one below /run/private.
 */
static char *
runtime_folder(const char *list)
{
	char *folder = strndup(list, strcspn(list, ":"));
	char *target = folder != NULL ? realpath(folder, NULL) : NULL;

	if (target == NULL)
		return folder;
	free(folder);
	return target;
}

/*
 * Where STATE_DIR is not set: what systemd made for the service, a folder in
 * the user's home, and one in /tmp, which another user may have made first.
 * Returns 0, or -1 when out of memory.
 */
static int
choose_state_dirs(struct settings *settings,
    const struct settings_source *source)
{
	const char *runtime = settings_getenv(source, "RUNTIME_DIRECTORY");
	char **next = settings->state_dir;
	char path[40];

	if (**next != '\0')
		return 0;
	free(*next);
	*next = NULL;
	if (runtime != NULL && *runtime == '/')
		*next++ = runtime_folder(runtime);
	if (source->home_state != NULL)
		*next++ = strdup(source->home_state);
	snprintf(path, sizeof(path), "/tmp/agora-agent-%u",
	    (unsigned)geteuid());
	*next++ = strdup(path);
	while (next > settings->state_dir)
		if (*--next == NULL)
			return -1;
	return 0;
}

/*
 * ${value}, a path, in the folder of the file that it stands in, or in the
 * working directory. The caller frees it; NULL when out of memory.
 */
static char *
full_path(const char *value, const char *where)
{
	char *folder = *where == '/' ? strdup(where) : getcwd(NULL, 0);
	char *slash = folder != NULL ? strrchr(folder, '/') : NULL;
	char *path;

	if (slash != NULL && *where == '/')
		slash[1] = '\0';
	path = folder != NULL ? file_join(folder, value) : NULL;
	free(folder);
	return path;
}

/* Puts ${value} where the ${i}th setting belongs, see settings_set(). */
static int
take_value(struct settings_reading *reading, size_t i, const char *value)
{
	struct settings_found *found = &reading->found[i];
	char *path = NULL;
	int rc;

	if (settings_entry_at(i)->path) {
		path = full_path(value, found->where);
		if (path == NULL)
			return -1;
		value = path;
	}
	rc = settings_set(reading->settings, i, value, &found->why);
	free(path);
	return rc;
}

int
settings_read(struct settings_reading *reading, struct settings_source *source)
{
	struct settings_found *found = reading->found;
	const struct settings_entry *entry;
	const char *value;

	*reading = (struct settings_reading){ .source = source };
	reading->settings = calloc(1, sizeof(*reading->settings));
	if (reading->settings == NULL ||
	    settings_set_defaults(reading->settings) == -1 ||
	    settings_files_read(source) == -1)
		return -1;
	for (size_t i = 0; (entry = settings_entry_at(i)) != NULL; i++) {
		value = find_value(source, entry, &found[i]);
		if (value != NULL && take_value(reading, i, value) == -1)
			return -1;
	}
	if (choose_state_dirs(reading->settings, source) == -1)
		return -1;
	reading->settings->usable = settings_findings(reading, NULL, NULL) == 0;
	return 0;
}

void
settings_reading_free(struct settings_reading *reading)
{
	settings_files_forget(reading->source);
	settings_free(reading->settings);
	reading->settings = NULL;
}

static void
say_file(struct teller *teller, const struct settings_file *file)
{
	if (file->state == SETTINGS_FILE_BAD ||
	    file->state == SETTINGS_FILE_REFUSED)
		teller_say(teller, true, "%s%s%s: %s",
		    file->variable != NULL ? file->variable : "",
		    file->variable != NULL ? ": " : "", file->path, file->why);
	if (file->state == SETTINGS_FILE_REFUSED)
		teller_say(teller, false,
		    "AGORA_ENV_FILE_UNSAFE=1 in the process environment has "
		    "such a file used");
	if (file->state == SETTINGS_FILE_UNKNOWN)
		teller_say(teller, false, "%s: cannot be looked for: %s",
		    file->path, file->why);
	if (file->state != SETTINGS_FILE_READ)
		return;
	for (unsigned bit = 1; bit < SETTINGS_FLAWS_ALL; bit <<= 1)
		if (file->flaws & bit)
			teller_say(teller, false, "%s: %s", file->path,
			    settings_flaw_text(bit));
	if (file->env.bad_line != 0)
		teller_say(teller, false,
		    "%s: line %zu is not understood and skipped", file->path,
		    file->env.bad_line);
}

/* Warns when a setting is set that ${entry}, set too, makes useless. */
static void
say_replaced(struct teller *teller, const struct settings_reading *reading,
    const struct settings_entry *entry, const struct settings_found *found)
{
	const struct settings_entry *other;

	if (entry->replaces == NULL || found->name == NULL)
		return;
	for (size_t i = 0; (other = settings_entry_at(i)) != NULL; i++)
		if (strcmp(other->name, entry->replaces) == 0 &&
		    reading->found[i].name != NULL)
			teller_say(teller, false,
			    "%s in %s takes the place of %s in %s", found->name,
			    found->where, other->name, reading->found[i].where);
}

bool
settings_unread(const struct settings_source *source)
{
	for (size_t i = 0; i < source->len; i++)
		if (source->file[i].state == SETTINGS_FILE_BAD ||
		    source->file[i].state == SETTINGS_FILE_REFUSED)
			return true;
	return false;
}

static void
say_setting(struct teller *teller, const struct settings_entry *entry,
    const struct settings_found *found, bool unread)
{
	if (found->name == NULL && entry->required && !unread)
		teller_say(teller, true, "%s is missing; expected: %s",
		    entry->name, entry->expected);
	if (found->why != NULL)
		teller_say(teller, !entry->harmless,
		    "%s in %s %s; expected: %s%s", found->name, found->where,
		    found->why, entry->expected,
		    entry->harmless ? "; the default is used" : "");
	if (found->other_name != NULL)
		teller_say(teller, false,
		    "%s in %s is used; %s in %s has another value", found->name,
		    found->where, found->other_name, found->other_where);
}

size_t
settings_findings(const struct settings_reading *reading,
    void (*tell)(void *arg, bool problem, const char *text), void *arg)
{
	const struct settings_source *source = reading->source;
	struct teller teller = { .tell = tell, .arg = arg };
	bool unread = settings_unread(source);
	const struct settings_entry *entry;

	for (size_t i = 0; i < source->len; i++)
		say_file(&teller, &source->file[i]);
	for (size_t i = 0; (entry = settings_entry_at(i)) != NULL; i++) {
		say_setting(&teller, entry, &reading->found[i], unread);
		say_replaced(&teller, reading, entry, &reading->found[i]);
	}
	if (teller.problems > 0 && source->chosen == 0)
		teller_say(&teller, false,
		    "no settings file is there; --check says "
		    "where they are looked for");
	return teller.problems;
}

static void
log_finding(void *arg, bool problem, const char *text)
{
	(void)arg;
	if (problem)
		log_error("settings: %s", text);
	else
		log_warn("settings: %s", text);
}

static void
log_files(const struct settings_source *source)
{
	const struct settings_file *file = source->file;

	for (; file < source->file + source->len; file++)
		if (file->state == SETTINGS_FILE_READ)
			log_debug("settings: %s is read", file->path);
}

struct settings *
settings_load(struct settings_source *source)
{
	struct settings_reading reading = { 0 };
	struct settings *settings = NULL;

	if (settings_read(&reading, source) == 0) {
		log_set_level(reading.settings->log_level);
		log_files(source);
		settings_findings(&reading, log_finding, NULL);
		settings = reading.settings;
		settings_keep_variables(settings, source);
		reading.settings = NULL;
	} else {
		source->loaded = false; /* so that it is tried again */
	}
	settings_reading_free(&reading);
	return settings;
}

void
settings_share(struct settings *settings)
{
	settings->shares++;
}

void
settings_free(struct settings *settings)
{
	if (settings == NULL)
		return;
	if (settings->shares > 0) {
		settings->shares--;
		return;
	}
	free(settings->tts_model_id);
	free(settings->tts_voice_id);
	free(settings->api_path);
	free(settings->api_base_url);
	free(settings->ca_file);
	free(settings->allowed_origins);
	for (size_t i = 0; i < SETTINGS_STATE_DIRS; i++)
		free(settings->state_dir[i]);
	for (size_t i = 0; i < SETTINGS_FOLDER_FILES; i++)
		dotenv_free(&settings->variables[i]);
	free(settings->agent_file);
	free(settings->agent_dir);
	free(settings->agent_client_fields);
	free(settings->greeting);
	free(settings->instructions);
	free(settings->failure_message);
	secret_wipe(settings, sizeof(*settings));
	free(settings);
}
