/*
 * One call to Agora's Conversational AI REST API, on one host. What to do when
 * it fails is for start.c and stop.c.
 */
#ifndef COMMON_AGORA_H
#define COMMON_AGORA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/agora_outcome.h"
#include "common/fail.h"
#include "common/health.h"

struct agent_start;
struct http;
struct loop;
struct settings;
struct shared;

/* A process's client of Agora. Its members are for start.c and stop.c. */
struct agora {
	struct loop *loop;
	struct http *http;
	struct health health;
	struct shared *shared; /* for claim.h */
	size_t starts;         /* that are not over */
	size_t working;        /* the same, with the stops */
	/* While one of them is answered: how long it waited for Agora. */
	int64_t waited_us;
};

/* Returns NULL with ${fail} set to FAIL_INTERNAL. As http_new(). */
struct agora *agora_new(struct loop *loop, struct fail *fail);

/* Ends all calls without calling their done(). NULL is fine. */
void agora_free(struct agora *agora);

/* How many starts and stops are not over, answered or not. */
size_t agora_working(const struct agora *agora);

/*
 * Bit i of the result: the host with region_base() ${i} of ${settings} may be
 * called at the monotonic time ${now_ms}.
 */
unsigned agora_hosts_open(const struct agora *agora,
    const struct settings *settings, int64_t now_ms);

/* What is called. Everything is borrowed until agora_send() returns. */
struct agora_request {
	enum agora_call call;
	const struct settings *settings;
	const char *base;   /* region_base() */
	int64_t timeout_ms; /* for this one call */
	int64_t now;        /* seconds since 1970; tokens are issued then */
	uint32_t salt;      /* random, of the header token; not 0 */

	/* AGORA_JOIN: */
	const struct agent_start *agent;
	const char *name;   /* of the agent */
	uint32_t body_salt; /* random, of the agent's token; not 0 */
	bool again;         /* not the first: on a connection of its own */

	/* AGORA_LEAVE and AGORA_GET: */
	const char *agent_id; /* checked already */

	/* AGORA_LIST: */
	const char *channel; /* or NULL: of all channels */
	int state;           /* 0 IDLE, 1 STARTING, 2 RUNNING, 5 RECOVERING */
	int64_t since;       /* seconds since 1970; 0: two hours ago */
	const char *cursor;  /* of the page before; NULL or "": the first */
};

/* How a call ended. */
struct agora_answer {
	enum agora_class class;
	int status;          /* HTTP status, 0: no answer */
	bool resent;         /* libcurl had sent it before: see http_result */
	int64_t retry_after; /* seconds, -1 if it does not say */
	/*
	 * Seconds of our clock before Agora's, 0 if unsaid: too few by what the
	 * call took, never too many.
	 */
	int64_t clock_ahead;
	const struct agora_said *said; /* during done() */
	struct fail fail; /* unless AGORA_DONE: text for the client */
};

/*
 * Makes the call:
 * - POST /join, with a token for channel and agent uid in the Authorization
 *   header and another one, of 3600 s, for the agent in the body
 * - POST /agents/{id}/leave
 * - GET /agents/{id}
 * - GET /agents?channel=…&state=…&from_time=…; with neither ->channel nor
 *   ->since ?limit=1, which changes and costs nothing: AGORA_DONE then means
 *   that app id and certificate are accepted
 * The last three carry a header token for channel "stop" and account "0".
 * Header tokens live TOKEN_EXPIRE_MAX.
 * ${done} is called exactly once, from the loop.
 * Returns 0, or -1 with ${fail} set and ${done} never called.
 */
int agora_send(struct agora *agora, const struct agora_request *request,
    void (*done)(void *arg, const struct agora_answer *answer), void *arg,
    struct fail *fail) __attribute__((warn_unused_result));

#endif
