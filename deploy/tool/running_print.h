/*
 * Running agents as text and JSON, ages as people write them.
 */
#ifndef DEPLOY_TOOL_RUNNING_PRINT_H
#define DEPLOY_TOOL_RUNNING_PRINT_H

#include <stdint.h>

struct json;
struct running;
struct session;

#define RUNNING_AGE_SIZE 24 /* bytes, with the NUL */

/*
 * Reads a number with its unit: 90s, 15m, 2h, 3d.
 * Returns 0, or -1 with ${seconds} untouched.
 */
int running_age_parse(const char *text, int64_t *seconds)
    __attribute__((warn_unused_result));

/* Writes 45s, 12m, 3h05m or 2d04h; "?" for -1. */
void running_age_print(int64_t seconds, char text[static RUNNING_AGE_SIZE]);

/* "yes", "perhaps" or "no" */
const char *running_owner_word(const struct running *agent);

/* "ID, 16m old, in channel CHANNEL": a line on stdout, after ${did}. */
void running_print(const char *did, const struct session *session,
    const struct running *agent);

/* All that is known of it. */
struct json *running_json(const struct session *session,
    const struct running *agent);

/* {"agent_id": …, "detail": …}; without the id if ${agent_id} is NULL. */
struct json *running_json_failure(const char *agent_id, const char *detail);

/* Prints ${json}, which it takes, as a line. Returns 0, or -1. */
int running_print_json(struct json *json) __attribute__((warn_unused_result));

#endif
