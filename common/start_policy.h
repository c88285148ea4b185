/*
 * What to do next when an agent is being started: one agent, once, over a
 * network that loses answers.
 *
 * A state machine without clock, network or memory of its own: it is told what
 * happened and says what to do. start.c carries that out.
 *
 *   PAUSING   before a join            LOOKING    for it in Agora's list
 *   JOINING   the join is on its way   VERIFYING  that what was found is ours
 *   CHECKING  the agent of a conflict  ANSWERING  the client is being told
 *   WAITING   before another look      STOPPING   an agent nobody was told of
 *
 * An outcome that proves that the join was not processed may move to another
 * host. An unknown one never does: the agent's name is a lock only where it
 * was sent. It is resolved on the same host: join again under the same name
 * (a conflict names the agent), then look into the list. When time is up the
 * client is told so, and for a while longer the agent is looked for and
 * stopped.
 */
#ifndef COMMON_START_POLICY_H
#define COMMON_START_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define START_BUDGET_MS                                                        \
	20000               /* until the answer; the web server waits longer */
#define START_JOIN_MS 8000  /* one join */
#define START_QUERY_MS 3000 /* one look at an agent, or at the list */
#define START_CLEANUP_MS 8000 /* after the answer: look for it and stop it */
#define START_LOOK_EVERY_MS 2000
#define START_STOP_MIN_MS 4000 /* an agent found late is stopped all the same */
#define START_ATTEMPT_MIN_MS 2000 /* with less left, no further join */
#define START_JOINS_MAX 3         /* for one name */
#define START_SUFFIX_MAX 9        /* names that are burnt already */

enum start_event_kind {
	START_BEGIN,
	START_TIME,        /* a pause is over */
	START_CLIENT_LEFT, /* before it was answered */
	START_TOLD,        /* the client took the answer */
	START_NOT_TOLD,    /* it was gone */

	/* A join ended. */
	START_JOINED,        /* with an id */
	START_CONFLICT_ID,   /* an agent of this name runs; its id is known */
	START_CONFLICT,      /* the same without an id */
	START_NOT_PROCESSED, /* provably */
	START_LATER,         /* nothing was done, the server is busy */
	START_UNKNOWN,
	START_REFUSED, /* for good */

	/* A look at one agent ended. */
	START_AGENT_ALIVE,   /* it runs, or is about to */
	START_AGENT_OLD,     /* the same, since before the first join */
	START_AGENT_DEAD,    /* it ends, has ended, or was never there */
	START_AGENT_FOREIGN, /* it has another name */
	START_AGENT_UNCLEAR, /* no answer that says so */

	/* A look at the list ended: agents started since the first join. */
	START_LISTED_NONE,
	START_LISTED_ONE,
	START_LISTED_MANY,
	START_LISTED_UNCLEAR,

	/* A stop ended. */
	START_STOPPED,
	START_STOP_FAILED,
};

/* What others do with the agent whose id was learned last; see claim.h. */
enum start_others {
	START_OTHERS_NONE,
	START_OTHERS_TRY,  /* somebody else is starting one of this name */
	START_OTHERS_STOP, /* somebody else is stopping it right now */
	START_OTHERS_HAVE, /* somebody else's client was told of it */
};

/* Something happened, and how things stand at that time. */
struct start_event {
	enum start_event_kind kind;
	int64_t now_ms;      /* monotonic */
	uint32_t random;     /* for the length of pauses */
	unsigned hosts_open; /* bit i: host i may be called */
	bool may_retry;      /* the process has retries left */
	enum start_others others;
	bool resent;         /* a join was sent twice: this is of the second */
	int status;          /* HTTP status, with START_LATER */
	int64_t retry_after; /* seconds, or -1, with START_LATER */
};

/* What to tell the client. */
enum start_answer {
	START_SAY_NOTHING,
	START_SAY_STARTED,     /* then START_TOLD or START_NOT_TOLD follows */
	START_SAY_FAILED,      /* with the failure of the last join */
	START_SAY_BURNT,       /* all names are taken by agents that ended */
	START_SAY_AMBIGUOUS,   /* several agents could be ours */
	START_SAY_UNREACHABLE, /* no host may be called */
	START_SAY_CLIENT_LEFT, /* nobody will read it */
};

enum start_action {
	START_DO_NOTHING, /* an event is on its way */
	START_DO_PAUSE,   /* for ${ms} */
	START_DO_JOIN,    /* to ->host, under ->suffix, within ${ms} */
	START_DO_LOOK,    /* at the agent whose id was learned last */
	START_DO_LIST,    /* the channel's ->list_starting or running ones */
	START_DO_STOP, /* the agent whose id was learned last; when it may not
			     be stopped after all: START_TIME, a while later */
	START_DO_END,  /* nothing follows */
};

struct start_step {
	enum start_answer answer; /* first */
	enum start_action action; /* then */
	int64_t ms;
	bool retry;  /* this join is paid for with one of the retries */
	bool orphan; /* at the end: an agent may run that nobody knows */
};

enum start_state {
	START_AT_PAUSING,
	START_AT_JOINING,
	START_AT_CHECKING,
	START_AT_LOOKING,
	START_AT_VERIFYING,
	START_AT_ANSWERING,
	START_AT_WAITING,
	START_AT_STOPPING,
	START_AT_END,
};

struct start_policy {
	enum start_state state;
	size_t hosts;       /* how many there are, 1 to 32 */
	size_t host;        /* the one to call */
	unsigned tried;     /* bit i: host i was called */
	int joins;          /* under this name */
	int laters;         /* START_LATER so far */
	int suffix;         /* 0: the plain name */
	int64_t until;      /* monotonic ms: answer, later cleanup, by then */
	bool list_starting; /* the list of starting agents is the next */
	bool retry;         /* the next join is one */
	bool answered;      /* the client was told something, or left */
	bool unknown;       /* an agent of ours may run that nobody knows */
	bool ours;          /* the id that was learned last is such an agent */
	bool bound;         /* to the host: the name may be taken there */
	bool half_made; /* a join before, failed or resent, may have made one */
	bool cleaning;  /* ->until is the end of the cleaning up */
	bool none_listed; /* by the last look */
	bool stopped;     /* an agent that nobody was told of */
	int looks;        /* that were repeated */
	int lost;         /* unknown joins that no agent accounts for */
};

/* Prepares a start on ${hosts} candidates at the monotonic time ${now_ms}. */
void start_policy_init(struct start_policy *policy, size_t hosts,
    int64_t now_ms);

/*
 * Takes ${event} in and says what to do. Every START_DO_… but NOTHING and END
 * is answered by exactly one event of its kind; START_CLIENT_LEFT may come at
 * any time and ends a pause.
 */
struct start_step start_policy_next(struct start_policy *policy,
    const struct start_event *event);

#endif
