/*
 * A question to Agora that changes nothing, asked of one host after the other
 * until one answers.
 */
#ifndef DEPLOY_TOOL_ASK_H
#define DEPLOY_TOOL_ASK_H

#include <stddef.h>

#include "common/agora.h"
#include "common/fail.h"
#include "common/loop.h"

struct session;

/* Lives inside its asker's struct, which outlives it. */
struct ask {
	struct session *session;
	/* ->call and what belongs to it; kept until ->done. */
	struct agora_request request;
	/* The last answer: AGORA_DONE, or why nobody gave it. */
	void (*done)(struct ask *ask, const struct agora_answer *answer);

	size_t host; /* the one that answered, see region.h */
	int tries;   /* ask.c's from here */
	struct loop_timer timer;
};

/*
 * Asks; ->host is the first to be asked. ->done is called exactly once, from
 * the loop, in half a minute at most where Agora is not there, in two where it
 * wants us to wait. Returns 0, or -1 and ->done is never called: no memory.
 */
int ask_begin(struct ask *ask) __attribute__((warn_unused_result));

#endif
