/*
 * The settings, as the programs find and judge them, and the agent files.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/agents.h"
#include "common/settings_internal.h"
#include "deploy/tool/doctor.h"

static enum doctor_code
code_of(unsigned flaw)
{
	switch (flaw) {
	case SETTINGS_FLAW_READABLE:
	case SETTINGS_FLAW_WRITABLE:
		return DOCTOR_SETTINGS_MODE;
	case SETTINGS_FLAW_FOLDER:
		return DOCTOR_SETTINGS_FOLDER;
	case SETTINGS_FLAW_OWNER:
	case SETTINGS_FLAW_LINK:
		return DOCTOR_SETTINGS_OWNER;
	case SETTINGS_FLAW_GROUP:
		return DOCTOR_SETTINGS_GROUP;
	default:
		return DOCTOR_SETTINGS_WEBROOT;
	}
}

/* What the programs refuse a file for is a problem. */
static void
say_flaws(struct doctor *doctor, const struct settings_file *file)
{
	unsigned refused = file->flaws & SETTINGS_FLAWS_REFUSED;

	for (unsigned bit = 1; bit < SETTINGS_FLAWS_ALL; bit <<= 1) {
		const char *text = settings_flaw_text(bit);

		if (file->state == SETTINGS_FILE_REFUSED && (refused & bit))
			doctor_find(doctor, code_of(bit), file->path, "%s",
			    text);
		else if (file->state == SETTINGS_FILE_READ &&
		    (file->flaws & bit))
			doctor_warn(doctor, code_of(bit), file->path, "%s",
			    text);
	}
}

/* Root's or another user's file is none of ours, unless we are root. */
static bool
only_for_others(const struct settings_file *file)
{
	struct stat st;

	return geteuid() != 0 && stat(file->path, &st) == 0 &&
	    st.st_uid != geteuid() && access(file->path, R_OK) == -1 &&
	    errno == EACCES;
}

/* The web server's own file is trusted by what runs as the web server. */
static bool
is_web_users(const struct doctor *doctor, const struct settings_file *file)
{
	struct stat st;

	return doctor->become && file->state == SETTINGS_FILE_REFUSED &&
	    (file->flaws & SETTINGS_FLAWS_REFUSED) == SETTINGS_FLAW_OWNER &&
	    stat(file->path, &st) == 0 && st.st_uid == doctor->web_uid;
}

/* Answers whether all files that there are could be looked at. */
static bool
check_files(struct doctor *doctor, const struct settings_source *source)
{
	const struct settings_file *file = source->file;
	bool all = true;

	for (; file < source->file + source->len; file++) {
		if (file->state == SETTINGS_FILE_BAD && only_for_others(file)) {
			doctor_skip(doctor, "settings", "%s: needs root: %s",
			    file->path, file->why);
			all = false;
		} else if (is_web_users(doctor, file)) {
			doctor_skip(doctor, "settings",
			    "%s is %s's: run this as that user", file->path,
			    doctor->web_user);
			all = false;
		} else if (file->state == SETTINGS_FILE_BAD) {
			doctor_find(doctor, DOCTOR_SETTINGS_UNREADABLE,
			    file->path, "%s", file->why);
		} else {
			say_flaws(doctor, file);
		}
		if (file->state == SETTINGS_FILE_READ &&
		    file->env.bad_line != 0)
			doctor_find(doctor, DOCTOR_SETTINGS_LINE, file->path,
			    "line %zu", file->env.bad_line);
	}
	return all;
}

static enum doctor_code
code_of_value(const struct settings_entry *entry)
{
	if (strcmp(entry->name, "APP_ID") == 0)
		return DOCTOR_APP_ID_SHAPE;
	if (strcmp(entry->name, "APP_CERTIFICATE") == 0)
		return DOCTOR_CERTIFICATE_SHAPE;
	return DOCTOR_SETTINGS_VALUE;
}

static void
check_value(struct doctor *doctor, const struct settings_reading *reading,
    size_t i)
{
	const struct settings_entry *entry = settings_entry_at(i);
	const struct settings_found *found = &reading->found[i];

	if (found->name == NULL && entry->required &&
	    !settings_unread(reading->source))
		doctor_find(doctor, DOCTOR_SETTINGS_MISSING, entry->name, "%s",
		    reading->source->chosen == 0 ?
			"no settings file is in any of the places" :
			"it is not set");
	if (found->why != NULL)
		doctor_find(doctor, code_of_value(entry), found->name,
		    "in %s, it %s; expected: %s", found->where, found->why,
		    entry->expected);
	if (found->other_name != NULL)
		doctor_find(doctor, DOCTOR_SETTINGS_TWICE, found->name,
		    "the one in %s is used; %s in %s has another value",
		    found->where, found->other_name, found->other_where);
}

/* The easiest mistake to make with two fields that look alike. */
static void
check_pair(struct doctor *doctor, const struct settings *settings)
{
	if (settings->app_id[0] != '\0' &&
	    strcasecmp(settings->app_id, settings->certificate.text) == 0)
		doctor_find(doctor, DOCTOR_CERTIFICATE_SHAPE, "APP_CERTIFICATE",
		    "it is the same as APP_ID");
}

/* Where the app id came from stands for all. */
static const char *
origin_of(const struct settings_reading *reading)
{
	const struct settings_entry *entry;

	for (size_t i = 0; (entry = settings_entry_at(i)) != NULL; i++)
		if (strcmp(entry->name, "APP_ID") == 0)
			return reading->found[i].where;
	return NULL;
}

/* The lines of ${text} that say "problem: ". */
static void
say_agents(struct doctor *doctor, const char *text)
{
	static const char mark[] = "problem: ";
	const char *subject = "AGENT_FILE";
	const char *line;

	if (doctor->settings->agent_file[0] != '\0')
		subject = doctor->settings->agent_file;
	else if (doctor->settings->agent_dir[0] != '\0')
		subject = doctor->settings->agent_dir;
	line = strstr(text, mark);
	line = line != NULL ? line + sizeof(mark) - 1 : "it is of no use";
	doctor_find(doctor, DOCTOR_AGENT_FILE, subject, "%.*s",
	    (int)strcspn(line, "\n"), line);
}

static void
check_agents(struct doctor *doctor, const struct settings_source *source)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	int status;

	if (out == NULL)
		return;
	status = agents_check(doctor->settings, source, out);
	fclose(out);
	if (text != NULL && status != 0)
		say_agents(doctor, text);
	else
		doctor_good(doctor, "agents", "%s",
		    doctor->settings->agent_file[0] != '\0' ?
			doctor->settings->agent_file :
			"the default one");
	free(text);
}

/* Says all about what was read, and keeps it if it is of use. */
static void
examine(struct doctor *doctor, struct settings_reading *reading)
{
	size_t before = doctor->problems;
	const char *where = origin_of(reading);

	if (!check_files(doctor, reading->source))
		return;
	for (size_t i = 0; i < SETTINGS_COUNT; i++)
		check_value(doctor, reading, i);
	check_pair(doctor, reading->settings);
	doctor->settings_bad = doctor->problems > before;
	if (doctor->settings_bad || !reading->settings->usable)
		return;
	doctor_good(doctor, "settings", "from %s", where);
	settings_keep_variables(reading->settings, reading->source);
	doctor->settings = reading->settings;
	reading->settings = NULL;
	check_agents(doctor, reading->source);
}

void
doctor_check_settings(struct doctor *doctor)
{
	struct settings_reading reading = { 0 };
	struct settings_source *source;
	char program[PATH_MAX];

	snprintf(program, sizeof(program), "%s/%s.fcgi", doctor->programs,
	    doctor_endpoints[0]);
	source = settings_source_new(program);
	if (source == NULL || settings_read(&reading, source) == -1)
		doctor_skip(doctor, "settings", "out of memory");
	else
		examine(doctor, &reading);
	if (source != NULL)
		settings_reading_free(&reading);
	settings_source_free(source);
}
