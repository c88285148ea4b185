/*
 * The calls to Agora's Conversational AI REST API, and what their outcomes
 * mean.
 */
#ifndef COMMON_AGORA_H
#define COMMON_AGORA_H

#include <stdint.h>

#include "fail.h"

struct agent_start;
struct http;
struct http_result;
struct settings;

#define AGORA_ID_SIZE 129 /* bytes, with the NUL, of an agent id */

/*
 * Checks an agent id from a client or from Agora: 1 to 128 bytes of
 * [A-Za-z0-9._:-], and not "." or "..", so that it is one path segment.
 * Returns 0, or -1 with ${fail} set to FAIL_BAD_INPUT.
 */
int agora_id_check(const char *id, struct fail *fail);

/* What is known after a call. */
enum agora_class {
	AGORA_DONE,          /* it was carried out */
	AGORA_NOT_PROCESSED, /* N: provably not; another host may be tried */
	AGORA_LATER,         /* R: the server says not now; nothing was done */
	AGORA_UNKNOWN,       /* U: perhaps carried out */
	AGORA_FINAL,         /* F: refused; trying again changes nothing */
};

enum agora_call { AGORA_JOIN, AGORA_LEAVE };

/*
 * Sorts the outcome of a call. Pure. A join with HTTP 200 is AGORA_DONE only
 * with a legal agent_id in the answer; a leave also with 404 (said by the
 * service, not by a gateway) is AGORA_FINAL and with 400 "already in the
 * process of shutting down" AGORA_DONE.
 */
enum agora_class agora_classify(enum agora_call call,
    const struct http_result *result);

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
 * header (86400 s, for channel and agent uid) and one in the body (3600 s).
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

#endif
