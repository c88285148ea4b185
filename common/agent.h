/*
 * The agent to start: the join body.
 */
#ifndef COMMON_AGENT_H
#define COMMON_AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct fail;
struct settings;

#define AGENT_NAME_SIZE 192 /* bytes, with the NUL */

/* What a start request says. Texts are borrowed and checked already. */
struct agent_start {
	const char *channel;
	const char *agent_uid;          /* "rtcUid" */
	const char *user_uid;           /* "userUid" */
	const char *output_audio_codec; /* or NULL */
	bool own_channel;               /* the name was issued by us */
};

/*
 * Writes the agent's name, the idempotency key of a start, to ${name}:
 * agent_<channel>_<agent uid> for our own channels, which carry time and
 * nonce; with _<start of the 30 s window that ${now} is in> for others.
 */
void agent_name(const struct agent_start *start, int64_t now,
    char name[static AGENT_NAME_SIZE]);

/*
 * Appends the JSON body of the join call to ${body}. ${token} is the agent's
 * own RTC+RTM token. (Agora REST, POST /join; the default agent and the three
 * vendor keys are in the README.)
 * Returns 0, or -1 with ${fail} set to FAIL_INTERNAL.
 */
int agent_join_body(const struct settings *settings,
    const struct agent_start *start, const char *name, const char *token,
    struct buf *body, struct fail *fail) __attribute__((warn_unused_result));

#endif
