/*
 * --check: where the settings come from, in words, without their values.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/ascii.h"
#include "common/buf.h"
#include "common/settings_internal.h"

#define NAME_WIDTH 24    /* characters; the longest name of the table has 23 */
#define NAME_MAX_SEEN 64 /* bytes; longer names are no slip of one of ours */
#define TYPO_MAX 2       /* letters wrong, missing or too many */

/* Prints text of ours and of files; control bytes come out as "?". */
static void __attribute__((format(printf, 2, 3)))
print(FILE *out, const char *format, ...)
{
	char text[LOG_LINE_MAX];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	for (const char *at = text; *at != '\0'; at++) {
		bool control =
		    (*at >= 0 && *at < ' ' && *at != '\n') || *at == 0x7f;

		fputc(control ? '?' : *at, out);
	}
}

static void
print_file(FILE *out, const struct settings_file *file)
{
	const char *state = "";

	switch (file->state) {
	case SETTINGS_FILE_ABSENT:
		state = "not there";
		break;
	case SETTINGS_FILE_READ:
		state = "used";
		break;
	case SETTINGS_FILE_BAD:
		state = "cannot be read: ";
		break;
	case SETTINGS_FILE_REFUSED:
		state = "refused: ";
		break;
	case SETTINGS_FILE_UNKNOWN:
		state = "cannot be looked for: ";
		break;
	case SETTINGS_FILE_LATER:
		state = "not used: an earlier place has files";
		break;
	}
	print(out, "  %s", file->path);
	if (file->variable != NULL)
		print(out, " ($%s)", file->variable);
	print(out, ": %s%s\n", state, file->why);
}

static void
print_unset(FILE *out, const struct settings_entry *entry, bool unread)
{
	if (entry->required && unread)
		print(out, "not known: a file was not read\n");
	else if (entry->required)
		print(out, "missing; expected: %s\n", entry->expected);
	else if (entry->fallback == NULL || *entry->fallback == '\0')
		print(out, "not set\n");
	else
		print(out, "default: %s\n", entry->fallback);
}

static void
print_setting(FILE *out, const struct settings_reading *reading, size_t i)
{
	const struct settings_entry *entry = settings_entry_at(i);
	const struct settings_found *found = &reading->found[i];
	const struct secret *secret = settings_secret_at(reading->settings, i);
	char hint[SECRET_HINT_SIZE];

	print(out, "  %-*s", NAME_WIDTH, entry->name);
	if (found->name == NULL) {
		print_unset(out, entry, settings_unread(reading->source));
		return;
	}
	print(out, "%s in %s", found->why == NULL ? "set" : "illegal",
	    found->where);
	if (found->name != entry->name)
		print(out, " as %s", found->name);
	if (found->why != NULL)
		print(out, ": %s; expected: %s", found->why, entry->expected);
	else if (secret != NULL) {
		secret_hint(secret, hint);
		print(out, " (%s)", hint);
	}
	print(out, "\n");
}

static size_t
least(size_t a, size_t b, size_t c)
{
	size_t ab = a < b ? a : b;

	return ab < c ? ab : c;
}

/*
 * How many letters of ${a} must be changed, added or removed to get ${b},
 * upper and lower case being equal. Both have at most NAME_MAX_SEEN bytes.
 */
static size_t
distance(const char *a, const char *b)
{
	size_t row[NAME_MAX_SEEN + 1];
	size_t len = strlen(b);

	for (size_t j = 0; j <= len; j++)
		row[j] = j;
	for (size_t i = 1; *a != '\0'; i++, a++) {
		size_t corner = row[0];

		row[0] = i;
		for (size_t j = 1; j <= len; j++) {
			bool same = ascii_lower(*a) == ascii_lower(b[j - 1]);
			size_t change = corner + (same ? 0 : 1);

			corner = row[j];
			row[j] = least(change, row[j] + 1, row[j - 1] + 1);
		}
	}
	return row[len];
}

/* Answers whether both names have the same letters before the first "_". */
static bool
same_prefix(const char *a, const char *b)
{
	size_t len = strcspn(a, "_");

	return a[len] == '_' && len == strcspn(b, "_") && b[len] == '_' &&
	    strncmp(a, b, len) == 0;
}

/* Remembers ${ours} as the best guess for ${name}, if it is one. */
static void
guess(const char *name, const char *ours, const char **best, size_t *closest)
{
	size_t wrong, allowed = strlen(name) / 3;

	if (ours == NULL)
		return;
	wrong = distance(name, ours);
	if (allowed > TYPO_MAX)
		allowed = TYPO_MAX;
	if (wrong < *closest && (wrong <= allowed || same_prefix(name, ours))) {
		*closest = wrong;
		*best = ours;
	}
}

/* The setting that ${name} may have been meant to be; NULL: none, or it is. */
static const char *
meant(const char *name)
{
	const struct settings_entry *entry;
	const char *best = NULL;
	size_t closest = NAME_MAX_SEEN + 1;

	if (strlen(name) > NAME_MAX_SEEN)
		return NULL;
	for (size_t i = 0; (entry = settings_entry_at(i)) != NULL; i++) {
		guess(name, entry->name, &best, &closest);
		guess(name, entry->alias, &best, &closest);
	}
	return best != NULL && strcmp(best, name) == 0 ? NULL : best;
}

/*
 * Names of settings are of letters and "_", and hardly longer than ours. What
 * is not is left out of the hint: of "APP_CERTIFICATE:0123…" and of
 * "API_KEYSabcd…" the rest is the secret.
 */
static int
shown_len(const char *name, const char *ours)
{
	int len = 0, max = (int)strlen(ours) + TYPO_MAX;

	while (len < max && (ascii_is_alpha(name[len]) || name[len] == '_'))
		len++;
	return len;
}

static void
print_typos(FILE *out, const struct settings_file *file)
{
	const char *name, *ours;
	int shown;

	for (size_t i = 0; i < file->env.len; i++) {
		name = file->env.entry[i].name;
		ours = meant(name);
		shown = ours != NULL ? shown_len(name, ours) : 0;
		if (strcmp(name, "AGORA_ENV_FILE") == 0 ||
		    strcmp(name, "AGORA_ENV_FILE_UNSAFE") == 0)
			print(out,
			    "  hint: %s: %s counts only in the process "
			    "environment\n",
			    file->path, name);
		else if (ours != NULL)
			print(out,
			    "  hint: %s: unknown setting %.*s%s (did you "
			    "mean %s?)\n",
			    file->path, shown, name,
			    name[shown] == '\0' ? "" : "…", ours);
	}
}

static void
print_finding(void *arg, bool problem, const char *text)
{
	print(arg, "  %s: %s\n", problem ? "problem" : "warning", text);
}

/* Settings that say less together than they seem to. */
static void
print_advice(FILE *out, const struct settings *settings)
{
	if (settings->require_token && !settings->channels_issued)
		print(out,
		    "  warning: REQUIRE_TOKEN=1 with CHANNELS=open: get_config "
		    "gives everybody a token for any channel; CHANNELS=issued "
		    "is what makes this mean something\n");
}

/* Returns the number of problems. */
static size_t
print_all(FILE *out, const struct settings_reading *reading)
{
	const struct settings_source *source = reading->source;
	size_t problems;

	print(out,
	    "process environment first, then the first place of these "
	    "that has files:\n");
	for (size_t i = 0; i < source->len; i++)
		print_file(out, &source->file[i]);
	print(out, "settings:\n");
	for (size_t i = 0; i < SETTINGS_COUNT; i++)
		print_setting(out, reading, i);
	problems = settings_findings(reading, print_finding, out);
	print_advice(out, reading->settings);
	for (size_t i = 0; i < source->len; i++)
		print_typos(out, &source->file[i]);
	return problems;
}

int
settings_check(struct settings_source *source, FILE *out)
{
	struct settings_reading reading = { 0 };
	size_t problems;
	int rc = 1;

	if (settings_read(&reading, source) == -1) {
		print(out, "settings: not usable: out of memory\n");
	} else {
		problems = print_all(out, &reading);
		rc = problems == 0 ? 0 : 1;
		if (problems == 0)
			print(out, "settings: ok\n");
		else
			print(out, "settings: not usable: %zu problem%s\n",
			    problems, problems == 1 ? "" : "s");
	}
	settings_reading_free(&reading);
	return rc;
}
