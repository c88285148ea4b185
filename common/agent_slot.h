/*
 * One agent that can be started, and its file: what was good in it last, and
 * what is wrong with it now.
 */
#ifndef COMMON_AGENT_SLOT_H
#define COMMON_AGENT_SLOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "common/file.h"

struct agent;
struct settings;
struct settings_source;

#define AGENT_PROFILE_MAX 32 /* bytes of a profile's name */
#define AGENT_SLOT_WAITS 25  /* of 20 ms: half a second */

struct agent_slot {
	char name[AGENT_PROFILE_MAX + 1]; /* of the profile; "": no profile */
	char *path;                       /* NULL: the default agent */
	bool seen; /* its folder's: it is there, this time */
	bool gone; /* the same: it was not, the time before */

	struct agent *agent; /* NULL: there was no good one yet */
	char *good;          /* what the file had when it was good last */
	size_t good_len;
	char *report; /* what is wrong with the file, a line each, or NULL */
	struct file_stamp stamp;
};

/*
 * Reads the file and makes the agent of it. A broken one keeps what was good
 * in it last. A first one that somebody is just writing is waited for, as
 * long as ${*waits}, counted down, are left.
 * Returns whether ->report is another one than before.
 */
bool agent_slot_load(struct agent_slot *slot, const struct settings *settings,
    const struct settings_source *source, int *waits);

/* Answers whether the file changed since, or may have without showing it. */
bool agent_slot_changed(const struct agent_slot *slot);

/* Logs the report, or that there is nothing to report any more. */
void agent_slot_log(const struct agent_slot *slot);

/* --check: says on ${out} what the file is, and the report. */
void agent_slot_print(const struct agent_slot *slot, FILE *out);

/* Wipes and releases; leaves an empty one. */
void agent_slot_empty(struct agent_slot *slot);

#endif
