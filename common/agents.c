#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

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
	bool again; /* look once more, whatever the stamps say */
	int waits;  /* for files that are being written, left */
	bool quiet; /* for --check: nothing is logged */
};

static void
load_slot(struct agents *agents, struct agent_slot *slot,
    const struct settings *settings, const struct settings_source *source)
{
	if (agent_slot_load(slot, settings, source, &agents->waits) &&
	    !agents->quiet)
		agent_slot_log(slot);
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
	else
		log_warn("AGENT_DIR: %s: of more than %d profiles one is left "
			 "out: %s",
		    agents->dir, AGENTS_PROFILES_MAX, file);
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
load_folder(struct agents *agents, const struct settings *settings,
    const struct settings_source *source)
{
	struct agent_slot *slot;

	agents->dir_stamp = file_stamp_at(agents->dir);
	scan_folder(agents);
	for (size_t i = agents->len; i > 0; i--) {
		slot = agents->profile[i - 1];
		if (slot->seen) {
			slot->gone = false;
			load_slot(agents, slot, settings, source);
		} else if (slot->gone) {
			remove_slot(agents, i - 1);
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
agents_new(void)
{
	struct agents *agents = calloc(1, sizeof(*agents));

	if (agents != NULL)
		agents->waits = AGENT_SLOT_WAITS;
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

/* Another path is another file: what was good in the old one is not kept. */
static void
take_paths(struct agents *agents, const struct settings *settings)
{
	const char *path = agents->usual.path != NULL ? agents->usual.path : "";
	const char *dir = agents->dir != NULL ? agents->dir : "";

	if (strcmp(path, settings->agent_file) != 0) {
		agent_slot_empty(&agents->usual);
		if (*settings->agent_file != '\0')
			agents->usual.path = strdup(settings->agent_file);
	}
	if (strcmp(dir, settings->agent_dir) != 0) {
		forget_folder(agents);
		if (*settings->agent_dir != '\0')
			agents->dir = strdup(settings->agent_dir);
	}
}

void
agents_load(struct agents *agents, const struct settings *settings,
    const struct settings_source *source)
{
	agents->again = false;
	take_paths(agents, settings);
	load_slot(agents, &agents->usual, settings, source);
	if (agents->dir != NULL)
		load_folder(agents, settings, source);
	agents->waits = 0; /* from now on somebody may be served meanwhile */
}

bool
agents_changed(const struct agents *agents)
{
	struct file_stamp now;

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

struct agent *
agents_find(const struct agents *agents, const char *profile, struct fail *fail)
{
	const struct agent_slot *slot = &agents->usual;

	if (profile != NULL && !is_profile(profile, strlen(profile))) {
		fail_set(fail, FAIL_BAD_INPUT,
		    "profile must be 1 to %d of a-z, 0-9, _ and -",
		    AGENT_PROFILE_MAX);
		return NULL;
	}
	if (profile != NULL)
		slot = find_slot(agents, profile, strlen(profile));
	if (slot == NULL)
		fail_set(fail, FAIL_NOT_FOUND, "there is no such profile");
	else if (slot->agent == NULL)
		refuse(slot, fail);
	return slot != NULL ? slot->agent : NULL;
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
	for (size_t i = 0; i < agents.len; i++) {
		agent_slot_print(agents.profile[i], out);
		status |= agents.profile[i]->agent == NULL;
	}
	agent_slot_empty(&agents.usual);
	forget_folder(&agents);
	return status;
}
