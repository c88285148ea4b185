/*
 * What to do next when an agent is being stopped. Stopping twice does no harm,
 * so everything but a refusal is tried again, on any host.
 *
 * A state machine like start_policy.h's; stop.c carries it out.
 */
#ifndef COMMON_STOP_POLICY_H
#define COMMON_STOP_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STOP_BUDGET_MS 10000 /* until the answer; the web server waits longer */
#define STOP_LEAVE_MS 4000   /* one leave */
#define STOP_LEAVE_MIN_MS 2000 /* with less left, no further leave */
#define STOP_LEAVES_MAX 3

enum stop_event_kind {
	STOP_BEGIN,
	STOP_TIME, /* a pause is over */

	/* A leave ended. */
	STOP_LEFT,          /* the agent ends */
	STOP_GONE,          /* there is no such agent, or no more */
	STOP_NOT_PROCESSED, /* provably */
	STOP_LATER,         /* nothing was done, the server is busy */
	STOP_UNKNOWN,
	STOP_REFUSED, /* for good */
};

/* Something happened, and how things stand at that time. */
struct stop_event {
	enum stop_event_kind kind;
	int64_t now_ms;      /* monotonic */
	uint32_t random;     /* for the length of pauses */
	unsigned hosts_open; /* bit i: host i may be called */
	bool may_retry;      /* the process has retries left */
	int64_t retry_after; /* seconds, or -1, with STOP_LATER */
};

enum stop_action {
	STOP_DO_PAUSE,       /* for ${ms} */
	STOP_DO_LEAVE,       /* on ->host, within ${ms} */
	STOP_DO_END_STOPPED, /* it does not run any more */
	STOP_DO_END_FAILED,  /* with the failure of the last leave */
};

struct stop_step {
	enum stop_action action;
	int64_t ms;
	bool retry; /* this leave is paid for with one of the retries */
};

struct stop_policy {
	size_t hosts; /* how many there are, 1 to 32 */
	size_t host;  /* the one to call */
	int leaves;
	int64_t until; /* monotonic ms */
	bool unclear;  /* a leave may have worked unseen */
};

/*
 * Prepares a stop on ${hosts} candidates, ${first} the first of them, that may
 * take ${budget_ms}.
 */
void stop_policy_init(struct stop_policy *policy, size_t hosts, size_t first,
    int64_t now_ms, int64_t budget_ms);

/*
 * Takes ${event} in and says what to do. A pause is followed by STOP_TIME, a
 * leave by the event that ends it.
 */
struct stop_step stop_policy_next(struct stop_policy *policy,
    const struct stop_event *event);

#endif
