/*
 * What an outcome of a call to Agora means: the class that decides what to do
 * next, and the sentence that tells a person.
 */
#ifndef COMMON_AGORA_OUTCOME_H
#define COMMON_AGORA_OUTCOME_H

#include <stdbool.h>
#include <stdint.h>

#include "common/agent_name.h"
#include "common/fail.h"

struct http_result;

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

enum agora_call {
	AGORA_JOIN,
	AGORA_LEAVE,
	AGORA_GET,  /* one agent */
	AGORA_LIST, /* of agents */
};

#define AGORA_LISTED_MAX 20   /* agents of one page; the service's default */
#define AGORA_CURSOR_SIZE 129 /* bytes, with the NUL; today an agent id */
#define AGORA_STATUS_SIZE 16  /* bytes, with the NUL */

/* What a GET says about an agent. */
enum agora_life {
	AGORA_LIFE_UNSAID,
	AGORA_ALIVE, /* STARTING, RUNNING, RECOVERING */
	AGORA_DEAD,  /* STOPPING, STOPPED, FAILED */
};

/* What of an answer's body is used. All is empty when there is no answer. */
struct agora_said {
	/*
	 * Of a join, or of the agent that a join conflicts with ("agent_id", in
	 * older versions "taskId"); "" when it is absent or not legal.
	 */
	char agent_id[AGORA_ID_SIZE];

	/* Of a GET: */
	enum agora_life life;
	char status[AGORA_STATUS_SIZE]; /* its word, A-Z only, or "" */
	char name[AGENT_NAME_SIZE];     /* "" if it says none */
	int64_t start_ts; /* seconds since 1970, 0 if it says none */

	/*
	 * Of a list: how many, and which. ->cut: there were more than fit,
	 * or the next page cannot be asked for.
	 */
	bool is_list;
	bool cut;
	char cursor[AGORA_CURSOR_SIZE]; /* of the next page; "": the last */
	size_t listed;
	struct agora_listed {
		char agent_id[AGORA_ID_SIZE];
		int64_t start_ts;
	} agent[AGORA_LISTED_MAX];

	/*
	 * The service's own word for what is wrong, "ServiceNotEnabled".
	 * Clients see it, so what is not just letters becomes "".
	 */
	char reason[FAIL_REASON_SIZE];

	/*
	 * True when the service itself wrote the answer. A gateway that knows
	 * no route says 404 too, but never with the service's members.
	 */
	bool from_service;

	/* True for the words that the second of two stops is answered with. */
	bool shutting_down;
};

/* Reads the body of ${result}, once, for the functions below. */
void agora_read(const struct http_result *result, struct agora_said *said);

/*
 * Sorts the outcome of a call, without side effects. The HTTP status decides,
 * but for three: a join with 200 is AGORA_DONE only when the answer has a legal
 * agent id, and a leave with 400 is AGORA_DONE when the agent is shutting down
 * already, one with 404 when it was sent twice.
 */
enum agora_class agora_classify(enum agora_call call,
    const struct http_result *result, const struct agora_said *said);

/* What was asked for, as far as an explanation needs it. */
struct agora_asked {
	enum agora_call call;
	const char *agent_id; /* AGORA_LEAVE only */
	int64_t now;          /* seconds since 1970 when the answer came */
};

/*
 * Fills ${fail} with kind, one sentence for the client that says what to do
 * about it where that is known, and upstream status and reason. Nothing else
 * of Agora's answer gets in. A clock that differs from the answer's Date is
 * named when it explains a refusal.
 */
void agora_explain(const struct agora_asked *asked, enum agora_class class,
    const struct http_result *result, const struct agora_said *said,
    struct fail *fail);

#endif
