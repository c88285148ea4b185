/*
 * The agents of the project that run, ours and others': found in Agora's list,
 * looked at one by one, since the list does not say their names, and stopped.
 */
#ifndef DEPLOY_TOOL_RUNNING_H
#define DEPLOY_TOOL_RUNNING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/agent_name.h"
#include "common/agora_outcome.h"
#include "common/fail.h"

struct session;

/* Whose an agent is, by its name. */
enum running_owner {
	RUNNING_FOREIGN,
	/*
	 * The name has our form, but in a channel that a client named: Agora's
	 * Python quickstart may call one of its agents like that.
	 */
	RUNNING_PERHAPS,
	RUNNING_OURS,
};

/* What became of it. */
enum running_end {
	RUNNING_SEEN,
	RUNNING_STOPPED,
	RUNNING_GONE, /* it had ended before, or never was */
	RUNNING_FAILED,
};

struct running {
	char agent_id[AGORA_ID_SIZE];
	int64_t start_ts; /* seconds since 1970, 0: not known */
	enum running_end end;
	char why[FAIL_TEXT_SIZE]; /* of RUNNING_FAILED, for a person */

	/* What is known once it was looked at: */
	char status[AGORA_STATUS_SIZE];
	char text[AGENT_NAME_SIZE]; /* its name, 0x20 to 0x7e only */
	enum running_owner owner;
	struct agent_name name; /* not of RUNNING_FOREIGN */
};

struct running_list {
	struct running *agent;
	size_t len;
	size_t size;
};

/* Adds an agent, whose id is legal. Returns 0, or -1: no memory, or too many. */
int running_add(struct running_list *list, const char *agent_id,
    int64_t start_ts) __attribute__((warn_unused_result));

void running_free(struct running_list *list);

/*
 * Adds all agents that run and, where it says when they started, have done so
 * for ${older_s} seconds. Returns 0, or -1 with ${fail} set.
 */
int running_find(struct session *session, int64_t older_s,
    struct running_list *list, struct fail *fail)
    __attribute__((warn_unused_result));

/* Seconds since it started, -1: not known. */
int64_t running_age(const struct session *session, const struct running *agent);

/* What is to be done with each agent. */
struct running_work {
	/*
	 * Answers whether to stop ${agent}, which was just looked at; may set
	 * ->end and ->why if not. NULL: no.
	 */
	bool (*wants)(void *arg, struct running *agent);
	/* It has its ->end; several are under way, and end in any order. */
	void (*ended)(void *arg, const struct running *agent);
	void *arg;
};

/*
 * Looks at all agents of ${list}, stops those that are wanted, several at a
 * time, and goes on past failures, but not without end where all fail. On a
 * terminal stderr says meanwhile how far it is.
 * Returns 0 or, if one failed, -1.
 */
int running_each(struct session *session, struct running_list *list,
    const struct running_work *work);

/*
 * running_find() and running_each(). What keeps it from finding them is said,
 * and in ${fail}; ${list} is then empty. Returns 0, or -1.
 */
int running_all(struct session *session, int64_t older_s,
    struct running_list *list, const struct running_work *work,
    struct fail *fail);

#endif
