/*
 * Running agents as text and JSON, ages as people write them.
 */
#ifndef DEPLOY_TOOL_RUNNING_PRINT_H
#define DEPLOY_TOOL_RUNNING_PRINT_H

#include <stdbool.h>
#include <stdint.h>

struct fail;
struct running;
struct running_list;
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

/*
 * Prints an object of JSON: as ${key} all that is known of those agents of
 * ${list} for which ${is_in} holds; as "failed" why no list was to be had,
 * ${fail}, and which agents failed. Returns 0, or -1.
 */
int running_print_json(const struct session *session,
    const struct running_list *list, const struct fail *fail, const char *key,
    bool (*is_in)(const void *arg, const struct running *agent),
    const void *arg) __attribute__((warn_unused_result));

#endif
