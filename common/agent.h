/*
 * The agent to start: what is known of it beforehand, and the join body.
 */
#ifndef COMMON_AGENT_H
#define COMMON_AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/agent_name.h"

struct agent;
struct agent_variables;
struct buf;
struct fail;
struct json;
struct settings;
struct teller;

/*
 * Makes an agent of the ${len} bytes of an agent file at ${text}, or the
 * default one of NULL, for which ${variables} may be NULL too: what the file
 * says is merged into the default (RFC 7396), models without a key become
 * managed ones, and the rules of the engine are looked at. ${teller} is told of
 * all that is wrong, or doubtful.
 * Returns NULL after a problem; agent_free() it.
 */
struct agent *agent_new(const char *text, size_t len,
    const struct settings *settings, const struct agent_variables *variables,
    struct teller *teller);

/*
 * ${agent} with the members that its client may set (fields_pick()) and has.
 * NULL with ${fail} set: FAIL_BAD_INPUT when the rules are against it.
 */
struct agent *agent_with(const struct agent *agent, const struct json *fields,
    struct fail *fail);

/* Keeps ${agent}: one more agent_free() is needed. */
void agent_share(struct agent *agent);

/* Wipes and releases, at the last of its shares. NULL is fine. */
void agent_free(struct agent *agent);

/* What a start request says. Texts are borrowed and checked already. */
struct agent_start {
	struct agent *agent;
	const char *channel;
	const char *agent_uid; /* "rtcUid" */
	const char *user_uid;  /* "userUid" */
	bool own_channel;      /* the name was issued by us */
};

/*
 * With what the names of its agents begin: the "name" of its file, or "agent".
 * Borrowed.
 */
const char *agent_prefix(const struct agent *agent);

/*
 * Writes the agent's name, the idempotency key of a start, to ${name}; see
 * agent_name.h. ${now} is seconds since 1970.
 */
void agent_name(const struct agent_start *start, int64_t now,
    char name[static AGENT_NAME_SIZE]);

/*
 * The uid under which the agent's avatar joins, if that needs a token of its
 * own from us; NULL: it does not.
 */
const char *agent_avatar_uid(const struct agent *agent);

/*
 * Checks that the avatar's uid is neither the user's nor the agent's.
 * Returns 0, or -1 with ${fail} set to FAIL_BAD_INPUT.
 */
int agent_check_uids(const struct agent_start *start, struct fail *fail)
    __attribute__((warn_unused_result));

/* Tokens of one start: RTC and RTM, for uids of its channel. */
struct agent_tokens {
	const char *app_id;
	const char *agent;
	const char *avatar; /* for agent_avatar_uid(), or NULL */
};

/*
 * Appends the JSON body of the join call to ${body} (Agora REST, POST /join).
 * Returns 0, or -1 with ${fail} set to FAIL_INTERNAL.
 */
int agent_join_body(const struct agent_start *start, const char *name,
    const struct agent_tokens *tokens, struct buf *body, struct fail *fail)
    __attribute__((warn_unused_result));

#endif
