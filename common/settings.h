/*
 * The settings of a process: process environment, then .env files.
 * The table in settings_table.c is the list; env.sample and the README follow
 * it.
 */
#ifndef COMMON_SETTINGS_H
#define COMMON_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/apikeys.h"
#include "common/dotenv.h"
#include "common/limit.h"
#include "common/log.h"
#include "common/secret.h"

struct fail;

#define SETTINGS_TEXT_MAX 8192  /* bytes of one value */
#define SETTINGS_ID_SIZE 33     /* app id: 32 hex digits, with the NUL */
#define SETTINGS_URL_MAX 400    /* bytes of a base URL */
#define SETTINGS_PATH_MAX 200   /* bytes of a path below a host of Agora's */
#define SETTINGS_STATE_DIRS 3   /* where STATE_DIR is not set */
#define SETTINGS_FOLDER_FILES 2 /* that one place may have */

enum settings_area {
	SETTINGS_AREA_US,
	SETTINGS_AREA_EU,
	SETTINGS_AREA_AP,
	SETTINGS_AREA_CN
};

struct settings {
	/*
	 * True when everything required is there and every value is legal;
	 * those of which a request needs nothing may be illegal.
	 */
	bool usable;
	unsigned shares; /* settings_free() calls that only count down */

	char app_id[SETTINGS_ID_SIZE];
	struct secret certificate;

	struct secret asr_key; /* Deepgram; empty: the managed vendor */
	struct secret llm_key; /* OpenAI; same */
	struct secret tts_key; /* ElevenLabs; same */
	char *tts_model_id;
	char *tts_voice_id;

	enum settings_area area;
	char *api_path;     /* "" or "/path", no slash at its end */
	char *api_base_url; /* "" or "https://host[:port][/path]", the same */
	char *ca_file; /* "" or a PEM file to trust instead of the system's */

	char *agent_file;          /* "" or the full path of an agent file */
	char *agent_dir;           /* "" or of a folder with some */
	char *agent_client_fields; /* "" or a list for fields_pick() */
	bool managed_blocks;       /* MANAGED_MODE=credential_mode */

	char *greeting;
	char *instructions;
	char *failure_message;

	bool channels_issued; /* CHANNELS=issued */
	uint32_t token_ttl;   /* seconds, of get_config's token */
	struct apikeys api_keys;
	bool require_token;       /* on start and stop */
	char *allowed_origins;    /* "", or a list for origins_have() */
	struct limit start_limit; /* per client address */
	/* Folders for the shared table, the first that will do; then NULL. */
	char *state_dir[SETTINGS_STATE_DIRS + 1];
	uint32_t start_concurrency; /* starts under way in one process */
	uint32_t idle_timeout; /* seconds, of an agent without users; 0: none */
	enum log_level log_level;

	/* What the files define besides settings, for settings_variable(). */
	struct dotenv variables[SETTINGS_FOLDER_FILES];
};

/* Where the settings came from, and whether that has changed. */
struct settings_source;

/*
 * Remembers where to look: the process environment, ${program}'s own folder
 * (argv[0] or "/proc/self/exe" resolved; may be NULL) and the places listed in
 * the README. No file is read yet. The secrets of the environment are taken
 * out of it and kept in the source. Returns NULL when out of memory.
 */
struct settings_source *settings_source_new(const char *program);

/*
 * For a process that needs no settings but executes this program, which does:
 * moves the secrets of the environment into a sealed file in memory, whose
 * descriptor the settings_source_new() there finds by a variable. Returns the
 * descriptor, close-on-exec until the child changes that; -1 when there are no
 * secrets, or, which is logged, when they stay where they are.
 */
int settings_environment_hide(void);

void settings_source_free(struct settings_source *source);

/*
 * Reads all settings into a new struct. Bad settings do not fail: the struct
 * has usable == false, the default in place of every illegal value, and each
 * reason was logged once, naming the setting and the file, never the value.
 * The log level is set to ->log_level before that.
 * Returns NULL only when out of memory. The caller frees it.
 */
struct settings *settings_load(struct settings_source *source);

/*
 * Answers whether one of the files appeared, went away or changed (also its
 * owner or mode) since settings_load(); true before the first load. Cheap:
 * at most eight stat(2) calls.
 */
bool settings_changed(const struct settings_source *source);

/*
 * What ${name} stands for in an agent file, borrowed: the text of a setting in
 * use, a variable of the process environment, or one of the settings files, as
 * they were at the last settings_load(). NULL with ${why}: "is not set", which
 * an empty one is too, or why it cannot be had.
 */
const char *settings_variable(const struct settings *settings,
    const struct settings_source *source, const char *name, const char **why);

/* AGORA_ENV_FILE_UNSAFE=1: what others can change is warned of, not refused. */
bool settings_unsafe_files(const struct settings_source *source);

/*
 * --check: says on ${out} which files were used, why the others were not,
 * and for every setting where it comes from and whether it is legal. Of
 * secrets it shows secret_hint()s. Returns 0 when the settings are usable,
 * else 1.
 */
int settings_check(struct settings_source *source, FILE *out);

/*
 * Keeps ${settings} for something that outlives the next reading: one more
 * settings_free() is needed.
 */
void settings_share(struct settings *settings);

/* Wipes and releases, at the last of its shares. NULL is fine. */
void settings_free(struct settings *settings);

/* One setting of the table: what people may write and what it then means. */
struct settings_entry {
	const char *name;
	const char *alias;    /* its second spelling, or NULL */
	const char *fallback; /* the default as text; "" or NULL: none */
	const char *expected; /* legal values in words: "32 hex digits" */
	bool required;
	bool secret;
	bool path;     /* may be relative to the folder of its settings file */
	bool harmless; /* serves no request: a bad value is only warned of */
	const char *replaces; /* a setting that this one makes useless */
};

/* The ${i}th setting, from 0; NULL past the last one. */
const struct settings_entry *settings_entry_at(size_t i);

#endif
