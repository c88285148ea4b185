#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/agent.h"
#include "common/agent_slot.h"
#include "common/agents.h"
#include "common/ascii.h"
#include "common/fail.h"
#include "common/file.h"
#include "common/log.h"
#include "common/settings.h"

#define SUFFIX ".json"

struct agents {
	struct agent_slot usual; /* AGENT_FILE */
	struct agent_slot *profile[AGENTS_PROFILES_MAX];
	size_t len;
	char *dir; /* AGENT_DIR, or NULL */
	struct file_stamp dir_stamp;
	bool dir_failed;
	bool crowded; /* there are more than we take */
	bool again;   /* look once more, whatever the stamps say */
	int waits;    /* for files that are being written, left */
	bool quiet;   /* for --check: nothing is logged */
	bool lazy;    /* a file is read when it is asked for */

	/* The caller's, until the next agents_load(). */
	const struct settings *settings;
	const struct settings_source *source;
};

static void
load_slot(struct agents *agents, struct agent_slot *slot)
{
	if (agent_slot_load(slot, agents->settings, agents->source,
		&agents->waits) &&
	    !agents->quiet)
		agent_slot_log(slot);
}

/* Reads the file again if it has changed, or ${all} are to be. */
static void
refresh_slot(struct agents *agents, struct agent_slot *slot, bool all)
{
	if (all || slot->agent == NULL || agent_slot_changed(slot))
		load_slot(agents, slot);
}

/* ---- the folder --------------------------------------------------------- */

static bool
is_profile(const char *name, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!ascii_is_digit(name[i]) &&
		    (name[i] < 'a' || name[i] > 'z') && name[i] != '_' &&
		    name[i] != '-')
			return false;
	return len > 0 && len <= AGENT_PROFILE_MAX;
}

/* The length of the profile's name in the file's name, 0: it is none. */
static size_t
profile_len(const char *file)
{
	size_t len = strlen(file), end = strlen(SUFFIX);

	if (len <= end || strcmp(file + len - end, SUFFIX) != 0 ||
	    !is_profile(file, len - end))
		return 0;
	return len - end;
}

static struct agent_slot *
find_slot(const struct agents *agents, const char *name, size_t len)
{
	for (size_t i = 0; i < agents->len; i++) {
		struct agent_slot *slot = agents->profile[i];

		if (strncmp(slot->name, name, len) == 0 &&
		    slot->name[len] == '\0')
			return slot;
	}
	return NULL;
}

static struct agent_slot *
add_slot(struct agents *agents, const char *file, size_t len)
{
	struct agent_slot *slot;

	if (agents->len == AGENTS_PROFILES_MAX)
		return NULL;
	slot = calloc(1, sizeof(*slot));
	if (slot == NULL)
		return NULL;
	memcpy(slot->name, file, len);
	slot->path = file_join(agents->dir, file);
	if (slot->path == NULL) {
		free(slot);
		return NULL;
	}
	agents->profile[agents->len++] = slot;
	return slot;
}

static void
see_file(struct agents *agents, const char *file)
{
	size_t len = profile_len(file);
	struct agent_slot *slot;

	if (len == 0)
		return;
	slot = find_slot(agents, file, len);
	if (slot == NULL)
		slot = add_slot(agents, file, len);
	if (slot != NULL)
		slot->seen = true;
	else if (agents->len < AGENTS_PROFILES_MAX)
		agents->again = true; /* no memory */
	else
		agents->crowded = true;
}

/* Marks the profiles that are there as seen; all if nobody can say. */
static void
scan_folder(struct agents *agents)
{
	struct dirent **entry = NULL;
	int count = scandir(agents->dir, &entry, NULL, alphasort);
	int error = errno;

	for (size_t i = 0; i < agents->len; i++)
		agents->profile[i]->seen = count == -1;
	if (count == -1 && !agents->dir_failed)
		log_error("AGENT_DIR: %s: %s", agents->dir, strerror(error));
	agents->dir_failed = count == -1;
	for (int i = 0; i < count; i++) {
		see_file(agents, entry[i]->d_name);
		free(entry[i]);
	}
	free(entry);
}

static void
remove_slot(struct agents *agents, size_t i)
{
	agent_slot_empty(agents->profile[i]);
	free(agents->profile[i]);
	agents->profile[i] = agents->profile[--agents->len];
}

/*
 * Editors remove a file and put another one in its place: what is not there
 * twice is gone.
 */
static void
refresh_folder(struct agents *agents, bool all)
{
	bool crowded = agents->crowded;
	struct agent_slot *slot;

	agents->crowded = false;
	agents->dir_stamp = file_stamp_at(agents->dir);
	scan_folder(agents);
	if (agents->crowded && !crowded && !agents->quiet)
		log_warn("AGENT_DIR: %s: only %d profiles are read",
		    agents->dir, AGENTS_PROFILES_MAX);
	for (size_t i = agents->len; i > 0; i--) {
		slot = agents->profile[i - 1];
		if (slot->seen) {
			slot->gone = false;
			refresh_slot(agents, slot, all);
		} else if (slot->gone) {
			remove_slot(agents, i - 1);
			agents->again |= agents->crowded; /* there is room */
		} else {
			slot->gone = true;
			agents->again = true;
		}
	}
}

static void
forget_folder(struct agents *agents)
{
	while (agents->len > 0)
		remove_slot(agents, 0);
	free(agents->dir);
	agents->dir = NULL;
	agents->dir_failed = false;
}

/* ---- all ---------------------------------------------------------------- */

struct agents *
agents_new(bool lazy)
{
	struct agents *agents = calloc(1, sizeof(*agents));

	if (agents == NULL)
		return NULL;
	agents->waits = AGENT_SLOT_WAITS;
	agents->lazy = lazy;
	return agents;
}

void
agents_free(struct agents *agents)
{
	if (agents == NULL)
		return;
	agent_slot_empty(&agents->usual);
	forget_folder(agents);
	free(agents);
}

/* Returns 0, or -1 when out of memory; there is no agent then. */
static int
take_path(char **path, const char *setting)
{
	if (*setting == '\0')
		return 0;
	*path = strdup(setting);
	return *path != NULL ? 0 : -1;
}

/* Another path is another file: what was good in the old one is not kept. */
static int
take_paths(struct agents *agents, const struct settings *settings)
{
	const char *path = agents->usual.path != NULL ? agents->usual.path : "";
	const char *dir = agents->dir != NULL ? agents->dir : "";
	int rc = 0;

	if (strcmp(path, settings->agent_file) != 0) {
		agent_slot_empty(&agents->usual);
		rc |= take_path(&agents->usual.path, settings->agent_file);
	}
	if (strcmp(dir, settings->agent_dir) != 0) {
		forget_folder(agents);
		rc |= take_path(&agents->dir, settings->agent_dir);
	}
	return rc;
}

static void
refresh(struct agents *agents, bool all)
{
	agents->again = false;
	refresh_slot(agents, &agents->usual, all);
	if (agents->dir != NULL)
		refresh_folder(agents, all);
	agents->waits = 0; /* from now on somebody may be served meanwhile */
}

void
agents_load(struct agents *agents, const struct settings *settings,
    const struct settings_source *source)
{
	agents->settings = settings;
	agents->source = source;
	if (take_paths(agents, settings) == -1) {
		/* Never the default agent in place of somebody's own. */
		agent_slot_empty(&agents->usual);
		agents->again = true;
		log_error("agent: out of memory");
	} else if (!agents->lazy) {
		refresh(agents, true);
	}
}

void
agents_refresh(struct agents *agents)
{
	if (take_paths(agents, agents->settings) == -1)
		agents->again = true;
	else
		refresh(agents, false);
}

bool
agents_changed(const struct agents *agents)
{
	struct file_stamp now;

	if (agents->lazy)
		return false;
	if (agents->again || agent_slot_changed(&agents->usual))
		return true;
	if (agents->dir == NULL)
		return false;
	now = file_stamp_at(agents->dir);
	if (!file_stamp_same(&now, &agents->dir_stamp))
		return true;
	for (size_t i = 0; i < agents->len; i++)
		if (agent_slot_changed(agents->profile[i]))
			return true;
	return false;
}

/* The first problem of a file that never was good, for the client. */
static int
refuse(const struct agent_slot *slot, struct fail *fail)
{
	static const char word[] = "problem: ";
	const char *line = slot->report != NULL ? slot->report : "";
	const char *file = slot->path != NULL ? strrchr(slot->path, '/') : NULL;

	line = strstr(line, word);
	return fail_set(fail, FAIL_CONFIG,
	    "the agent is not configured properly: %s: %.*s",
	    file != NULL ? file + 1 : "default agent",
	    line != NULL ? (int)strcspn(line + strlen(word), "\n") : 0,
	    line != NULL ? line + strlen(word) : "");
}

/* The file of ${profile}, if there is one: it is read now. */
static struct agent_slot *
find_lazily(struct agents *agents, const char *profile)
{
	char file[AGENT_PROFILE_MAX + sizeof(SUFFIX)];
	struct agent_slot *slot = &agents->usual;

	if (profile != NULL) {
		if (agents->dir == NULL)
			return NULL;
		snprintf(file, sizeof(file), "%s%s", profile, SUFFIX);
		slot = find_slot(agents, profile, strlen(profile));
		if (slot == NULL)
			slot = add_slot(agents, file, strlen(profile));
		if (slot == NULL || !file_stamp_at(slot->path).there)
			return NULL;
	}
	load_slot(agents, slot);
	return slot;
}

static struct agent_slot *
find(struct agents *agents, const char *profile)
{
	if (agents->lazy)
		return find_lazily(agents, profile);
	if (profile == NULL)
		return &agents->usual;
	return find_slot(agents, profile, strlen(profile));
}

struct agent *
agents_find(struct agents *agents, const char *profile, struct fail *fail)
{
	const struct agent_slot *slot;

	if (profile != NULL && !is_profile(profile, strlen(profile))) {
		fail_set(fail, FAIL_BAD_INPUT,
		    "profile must be 1 to %d of a-z, 0-9, _ and -",
		    AGENT_PROFILE_MAX);
		return NULL;
	}
	slot = find(agents, profile);
	if (slot == NULL)
		fail_set(fail, FAIL_NOT_FOUND, "there is no such profile");
	else if (slot->agent == NULL)
		refuse(slot, fail);
	return slot != NULL ? slot->agent : NULL;
}

const char *
agents_prefix(const struct agents *agents, size_t i)
{
	const struct agent_slot *slot;

	if (i > agents->len)
		return NULL;
	slot = i == 0 ? &agents->usual : agents->profile[i - 1];
	return slot->agent != NULL ? agent_prefix(slot->agent) : "";
}

/* ---- --check ------------------------------------------------------------ */

int
agents_check(const struct settings *settings,
    const struct settings_source *source, FILE *out)
{
	struct agents agents = { .quiet = true };
	int status;

	agents_load(&agents, settings, source);
	fprintf(out, "agents:\n");
	agent_slot_print(&agents.usual, out);
	status = agents.usual.agent == NULL || agents.dir_failed;
	if (agents.dir_failed)
		fprintf(out, "  problem: AGENT_DIR %s cannot be read\n",
		    agents.dir);
	if (agents.crowded)
		fprintf(out,
		    "  warning: AGENT_DIR %s: only %d profiles are "
		    "read\n",
		    agents.dir, AGENTS_PROFILES_MAX);
	for (size_t i = 0; i < agents.len; i++) {
		agent_slot_print(agents.profile[i], out);
		status |= agents.profile[i]->agent == NULL;
	}
	agent_slot_empty(&agents.usual);
	forget_folder(&agents);
	return status;
}
