/*
 * What settings.c, settings_table.c, settings_environment.c, settings_files.c,
 * settings_check.c, the doctor, who reports the same otherwise, and their test
 * share.
 */
#ifndef COMMON_SETTINGS_INTERNAL_H
#define COMMON_SETTINGS_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

#include "common/dotenv.h"
#include "common/file.h"
#include "common/settings.h"
#include "common/settings_vet.h"

#define SETTINGS_COUNT 29    /* lines of the table */
#define SETTINGS_FILES_MAX 8 /* of all places together */
#define SETTINGS_WHY_SIZE 128

enum settings_file_state {
	SETTINGS_FILE_ABSENT,
	SETTINGS_FILE_READ,
	SETTINGS_FILE_BAD,     /* there, but of no use: ->why */
	SETTINGS_FILE_REFUSED, /* there, but not ours alone: ->why */
	SETTINGS_FILE_UNKNOWN, /* nobody may look into its folder: ->why */
	SETTINGS_FILE_LATER,   /* there, but an earlier place has files */
};

struct settings_file {
	char *path;
	int place;            /* files of one place have one number, from 1 */
	const char *variable; /* that names it, or NULL */
	bool required;

	enum settings_file_state state;
	char why[SETTINGS_WHY_SIZE];
	unsigned flaws; /* of enum settings_flaw */
	struct file_stamp stamp;
	struct dotenv env; /* empty unless _READ, and after the reading */
};

/* A secret that was in the process environment. */
struct settings_taken {
	char *name;
	char *value;
};

struct settings_source {
	struct settings_taken *taken;
	size_t taken_len;
	struct settings_file file[SETTINGS_FILES_MAX];
	size_t len;
	char *home_state; /* a folder in the user's home; NULL: he has none */
	int chosen;       /* the first place that has files, 0: none */
	bool loaded;
	bool failed;       /* out of memory while it was made */
	bool unsafe_files; /* AGORA_ENV_FILE_UNSAFE=1: warn, do not refuse */
};

/* Where one setting was found. */
struct settings_found {
	const char *name;  /* the spelling in use, NULL: not set */
	const char *where; /* file, or words for the environment */
	const char *why;   /* what is wrong with it, NULL: legal */

	/* The other spelling, if it is set and has another value. */
	const char *other_name;
	const char *other_where;
};

/* All that one look at environment and files has found. */
struct settings_reading {
	struct settings_source *source;
	struct settings *settings;
	struct settings_found found[SETTINGS_COUNT];
};

/*
 * As settings_source_new(), with the folder of ${home} and the file ${system}
 * instead of the user's and /etc's; either may be NULL: left out.
 */
struct settings_source *settings_source_under(const char *program,
    const char *home, const char *system);

/*
 * Checks ${value}, not empty, and puts it where the ${i}th setting belongs.
 * Returns 0 with ${why} NULL, or with ${why} set to what is wrong and
 * ${settings} untouched; -1 when out of memory.
 */
int settings_set(struct settings *settings, size_t i, const char *value,
    const char **why);

/* Where the ${i}th setting is kept if it is a secret, else NULL. */
const struct secret *settings_secret_at(const struct settings *settings,
    size_t i);

/* Sets all defaults. Returns 0, or -1 when out of memory. */
int settings_set_defaults(struct settings *settings);

/*
 * Takes the secrets out of the process environment, where nothing of them
 * stays, and what the parent has hidden (settings_environment_hide()).
 * Out of memory, ->failed is set. settings_environment_free() wipes them.
 */
void settings_environment_take(struct settings_source *source);
void settings_environment_free(struct settings_source *source);

/*
 * The process environment with the secrets that were taken out of it, for
 * names that can be in it; NULL: not there.
 */
const char *settings_getenv(const struct settings_source *source,
    const char *name);

/*
 * Answers whether ${name} is one that a web server sets for CGI programs from
 * what the client sends (RFC 3875, 4.1; REDIRECT_ is Apache's).
 */
bool settings_clients_variable(const char *name);

/*
 * Looks at all files and reads those of the first place that has some. Each
 * file's state says what came of it; ->env is filled of those that were read.
 * Returns 0, or -1 when out of memory.
 */
int settings_files_read(struct settings_source *source);

/* Wipes and releases the content of the files; the states stay. */
void settings_files_forget(struct settings_source *source);

/*
 * Reads everything. Returns 0, or -1 when out of memory.
 * The caller calls settings_reading_free() in both cases.
 */
int settings_read(struct settings_reading *reading,
    struct settings_source *source) __attribute__((warn_unused_result));

/*
 * The text that is kept of the ${i}th setting; NULL if that is none, or is
 * never shown to anybody.
 */
const char *settings_text_at(const struct settings *settings, size_t i);

/* Moves what the files that were read define besides settings to ${settings}. */
void settings_keep_variables(struct settings *settings,
    struct settings_source *source);

/* Wipes and releases the reading and, unless it was taken out, ->settings. */
void settings_reading_free(struct settings_reading *reading);

/*
 * Answers whether a file that is there was not read: what seems to be missing
 * may be in it.
 */
bool settings_unread(const struct settings_source *source);

/*
 * Calls ${tell} with a sentence for every problem, which makes the settings
 * unusable, and every warning. Returns the number of problems.
 */
size_t settings_findings(const struct settings_reading *reading,
    void (*tell)(void *arg, bool problem, const char *text), void *arg);

#endif
