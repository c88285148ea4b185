/*
 * The calls to Agora's Conversational AI REST API.
 */
#ifndef COMMON_AGORA_H
#define COMMON_AGORA_H

#include <stdint.h>

#include "common/agora_outcome.h"
#include "common/fail.h"

struct agent_start;
struct http;
struct settings;

/* How a call ended. */
struct agora_answer {
	enum agora_class class;
	char agent_id[AGORA_ID_SIZE]; /* after a join that is done, else "" */
	struct fail fail;             /* unless done: text for the client */
};

/*
 * Random numbers for the salts of the tokens of one call.
 */
struct agora_salts {
	uint32_t header; /* not 0 */
	uint32_t body;   /* not 0; join only */
};

/*
 * Starts an agent: POST /join with a token of its own in the Authorization
 * header (TOKEN_EXPIRE_MAX, for channel and agent uid) and one in the body (3600 s).
 * Hosts are tried in region_candidates() order while the outcome is
 * AGORA_NOT_PROCESSED. ${now} is seconds since 1970.
 * Nothing of ${settings} and ${start} is needed after the call returned.
 * ${done} is called exactly once, from the loop.
 * Returns 0, or -1 with ${fail} set and ${done} never called.
 */
int agora_join(struct http *http, const struct settings *settings,
    const struct agent_start *start, int64_t now,
    const struct agora_salts *salts,
    void (*done)(void *arg, const struct agora_answer *answer), void *arg,
    struct fail *fail) __attribute__((warn_unused_result));

/*
 * Stops the agent ${agent_id} (checked already): POST /agents/{id}/leave with
 * a header token for channel "stop" and account "0". As agora_join().
 */
int agora_leave(struct http *http, const struct settings *settings,
    const char *agent_id, int64_t now, const struct agora_salts *salts,
    void (*done)(void *arg, const struct agora_answer *answer), void *arg,
    struct fail *fail) __attribute__((warn_unused_result));

/*
 * Asks for one running agent, GET /agents?limit=1, which changes and costs
 * nothing: AGORA_DONE means that Agora accepts app id and certificate.
 * As agora_leave().
 */
int agora_list(struct http *http, const struct settings *settings, int64_t now,
    const struct agora_salts *salts,
    void (*done)(void *arg, const struct agora_answer *answer), void *arg,
    struct fail *fail) __attribute__((warn_unused_result));

#endif
