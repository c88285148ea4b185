/*
 * Who else, in any process of this host, is busy with the agent of a name.
 *
 * Starts of one name meet at Agora, where they share the agent. What Agora
 * cannot know is that a start which failed for one client, and which now
 * wants to stop the agent it may have made, would take it away from another
 * client. So every start says in the shared table that it tries a name, which
 * agent its client has, and which one it stops.
 */
#ifndef COMMON_CLAIM_H
#define COMMON_CLAIM_H

#include <stdint.h>

#include "common/start_policy.h"

struct shared;

#define CLAIM_TRIES 4 /* simultaneous starts of one name that are told apart */

struct claim {
	struct shared *shared;   /* borrowed; NULL: none, nobody is seen */
	const char *certificate; /* borrowed, as the name */
	const char *name;
	uint32_t random; /* what tells this start's numbers from others' */

	/* Places in the table, and the numbers of this start there or 0. */
	uint64_t try_key, stop_key;
	uint64_t try_mine, stop_mine;
};

/*
 * Says that a start of the agent ${name} begins at the monotonic time
 * ${now_ms}. Without memory for it, or without room in the table, the start
 * is not known to others: no harm but the above.
 */
void claim_take(struct claim *claim, struct shared *shared,
    const char *certificate, const char *name, int64_t now_ms, uint32_t random);

/*
 * What others do with the agent ${agent_id}, or else with the name. "" is an
 * agent that nobody has or stops.
 */
enum start_others claim_others(const struct claim *claim, const char *agent_id,
    int64_t now_ms);

/* Says that the client of this start has ${agent_id}. Before claim_drop(). */
void claim_have(struct claim *claim, const char *agent_id, int64_t now_ms);

/*
 * Says that this start is about to stop ${agent_id}, unless another one is.
 * Look at claim_others() again after it: of a start that stops an agent and
 * one that finds it for its client, at least one sees the other. Stays on
 * record for a while, because others may still hear that it runs.
 */
void claim_stop(struct claim *claim, const char *agent_id, int64_t now_ms);

/* This start does not stop it after all. */
void claim_stop_not(struct claim *claim);

/* This start does not try any more: its client was told, or left. */
void claim_drop(struct claim *claim);

#endif
