/*
 * All agents that can be started: that of AGENT_FILE, or the default one, and
 * the profiles in AGENT_DIR.
 */
#ifndef COMMON_AGENTS_H
#define COMMON_AGENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct agent;
struct agents;
struct fail;
struct settings;
struct settings_source;

#define AGENTS_PROFILES_MAX 64 /* files of AGENT_DIR */

/*
 * None yet. ${lazy}: a file is read when it is asked for, not before; for a
 * process that serves one request. NULL when out of memory.
 */
struct agents *agents_new(bool lazy);
void agents_free(struct agents *agents);

/*
 * Reads all files, as ${settings} says, which must live until the next call.
 * A file that is broken keeps what was good in it last, and is logged once. At
 * the first reading, where there is no such thing, a file that somebody is just
 * writing is waited for, at most half a second.
 */
void agents_load(struct agents *agents, const struct settings *settings,
    const struct settings_source *source);

/* Reads the files that have changed. */
void agents_refresh(struct agents *agents);

/* Answers whether a file came, went or changed since the last reading. */
bool agents_changed(const struct agents *agents);

/*
 * The agent of ${profile}, or without one (NULL) of AGENT_FILE; borrowed until
 * the next of these calls. Returns NULL with ${fail} set: FAIL_BAD_INPUT for a
 * name that is none ([a-z0-9_-], 1 to AGENT_PROFILE_MAX), FAIL_NOT_FOUND, or
 * FAIL_CONFIG for a file that was never good.
 */
struct agent *agents_find(struct agents *agents, const char *profile,
    struct fail *fail);

/*
 * With what the names of the ${i}th agent begin, from 0; borrowed like an
 * agent. "" where a file was never good, NULL past the last one.
 */
const char *agents_prefix(const struct agents *agents, size_t i);

/*
 * --check: says on ${out} which files there are and all that is wrong with
 * them. Returns 0, or 1 if one is unusable.
 */
int agents_check(const struct settings *settings,
    const struct settings_source *source, FILE *out);

#endif
