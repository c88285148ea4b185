#include "common/start_policy.h"

#define HOST_PAUSE_MS 250 /* at most, before another host */
#define BACKOFF_MS 500    /* at most, before the second join; doubled */
#define BACKOFF_MAX_MS 3000
#define LATER_MIN_MS 1000
#define RETRY_AFTER_MAX_S 3 /* longer is the client's to wait */
#define LATERS_MAX_429 1
#define LATERS_MAX 2
#define LOOKS_MAX 2   /* repeated for want of a clear answer */
#define GOING_MS 1000 /* before another join, when its agent is being stopped */
#define TAKEN_MS 500  /* before looking again at what another request does */

static struct start_step look(struct start_policy *p,
    const struct start_event *e);

static int64_t
left(const struct start_policy *p, const struct start_event *e)
{
	return p->until - e->now_ms;
}

static int64_t
at_most(int64_t ms, int64_t limit)
{
	return ms < limit ? ms : limit;
}

static int64_t
at_least(int64_t ms, int64_t limit)
{
	return ms > limit ? ms : limit;
}

static int64_t
random_up_to(const struct start_event *e, int64_t ms)
{
	return (int64_t)(e->random % ((uint64_t)ms + 1));
}

static bool
host_open(const struct start_event *e, size_t host)
{
	return (e->hosts_open >> host & 1) != 0;
}

/* ---- steps -------------------------------------------------------------- */

static struct start_step
step_nothing(void)
{
	return (struct start_step){ .action = START_DO_NOTHING };
}

static struct start_step
step_end(struct start_policy *p, bool orphan)
{
	p->state = START_AT_END;
	return (struct start_step){ .action = START_DO_END, .orphan = orphan };
}

static struct start_step
step_pause(struct start_policy *p, enum start_state state, int64_t ms)
{
	p->state = state;
	return (struct start_step){ .action = START_DO_PAUSE, .ms = ms };
}

/* A pause, then the next join. */
static struct start_step
step_join_in(struct start_policy *p, int64_t ms, bool retry)
{
	p->retry = retry;
	return step_pause(p, START_AT_PAUSING, ms);
}

static struct start_step
step_query(struct start_policy *p, const struct start_event *e,
    enum start_state state, enum start_action action)
{
	p->state = state;
	return (struct start_step){ .action = action,
		.ms = at_most(START_QUERY_MS, left(p, e)) };
}

/* ---- cleaning up behind the client's back ------------------------------- */

static struct start_step
wait_and_look(struct start_policy *p, const struct start_event *e, int64_t ms)
{
	if (!p->unknown && !p->ours)
		return step_end(p, false);
	/* What was found is stopped, and nothing has come after it. */
	if (left(p, e) <= ms)
		return step_end(p, p->ours || !p->stopped || !p->none_listed);
	return step_pause(p, START_AT_WAITING, ms);
}

/* Stops the agent that was found, unless another request needs it. */
static struct start_step
stop(struct start_policy *p, const struct start_event *e)
{
	if (e->others == START_OTHERS_TRY)
		return wait_and_look(p, e, TAKEN_MS);
	p->state = START_AT_STOPPING;
	return (struct start_step){ .action = START_DO_STOP,
		.ms = at_least(left(p, e), START_STOP_MIN_MS) };
}

static struct start_step
clean_up(struct start_policy *p, const struct start_event *e)
{
	if (!p->ours)
		return look(p, e);
	/* Theirs to stop now, or being stopped. */
	if (e->others == START_OTHERS_HAVE || e->others == START_OTHERS_STOP)
		return step_end(p, false);
	return stop(p, e);
}

static void
give_time_to_clean_up(struct start_policy *p, const struct start_event *e)
{
	if (!p->cleaning)
		p->until = e->now_ms + START_CLEANUP_MS;
	p->cleaning = true;
}

/* The client was answered, or left: is there something to clean up? */
static struct start_step
settle(struct start_policy *p, const struct start_event *e)
{
	p->answered = true;
	if (!p->unknown && !p->ours)
		return step_end(p, false);
	give_time_to_clean_up(p, e);
	return clean_up(p, e);
}

static struct start_step
fail(struct start_policy *p, const struct start_event *e,
    enum start_answer answer)
{
	struct start_step step = settle(p, e);

	step.answer = answer;
	return step;
}

/* ---- joining ------------------------------------------------------------ */

static struct start_step
join(struct start_policy *p, const struct start_event *e)
{
	struct start_step step = { .action = START_DO_JOIN,
		.ms = at_most(START_JOIN_MS, left(p, e)),
		.retry = p->retry };

	p->state = START_AT_JOINING;
	p->ours = false; /* of what was found before nothing is left */
	p->tried |= 1u << p->host;
	p->joins++;
	return step;
}

/* Moves to the first open host that was not called yet. */
static bool
move_host(struct start_policy *p, const struct start_event *e)
{
	size_t host;

	for (host = 0; host < p->hosts; host++)
		if (host_open(e, host) && (p->tried >> host & 1) == 0) {
			p->host = host;
			return true;
		}
	return false;
}

static bool
may_join_again(const struct start_policy *p, const struct start_event *e,
    int64_t pause)
{
	return p->joins < START_JOINS_MAX && e->may_retry &&
	    left(p, e) - pause >= START_ATTEMPT_MIN_MS;
}

static struct start_step
begin(struct start_policy *p, const struct start_event *e)
{
	if (!move_host(p, e))
		return fail(p, e, START_SAY_UNREACHABLE);
	return join(p, e);
}

/* For good; but an earlier join may have worked. */
static struct start_step
refused(struct start_policy *p, const struct start_event *e)
{
	return p->unknown ? look(p, e) : fail(p, e, START_SAY_FAILED);
}

static int64_t
backoff(const struct start_policy *p, const struct start_event *e)
{
	int64_t most = (int64_t)BACKOFF_MS << (p->joins > 1 ? p->joins - 1 : 0);

	return random_up_to(e, at_most(most, BACKOFF_MAX_MS));
}

/*
 * An agent may run, or not: the same join again says which. Not when that
 * would leave no time to look into the list after it.
 */
static struct start_step
resolve(struct start_policy *p, const struct start_event *e)
{
	int64_t pause = backoff(p, e);

	if (may_join_again(p, e, pause + START_QUERY_MS) &&
	    host_open(e, p->host))
		return step_join_in(p, pause, true);
	return look(p, e);
}

static struct start_step
not_processed(struct start_policy *p, const struct start_event *e)
{
	int64_t pause = random_up_to(e, HOST_PAUSE_MS);

	if (p->bound)
		return resolve(p, e);
	if (!may_join_again(p, e, pause) || !move_host(p, e))
		return fail(p, e, START_SAY_FAILED);
	return step_join_in(p, pause, true);
}

/* How long the server wants us to wait, or -1: too long. */
static int64_t
later_pause(const struct start_policy *p, const struct start_event *e)
{
	if (e->retry_after > RETRY_AFTER_MAX_S)
		return -1;
	if (e->retry_after > 0)
		return e->retry_after * 1000 + random_up_to(e, HOST_PAUSE_MS);
	/* 1 to 2 s, then 3 to 4 s */
	return LATER_MIN_MS * (p->laters > 1 ? 3 : 1) +
	    random_up_to(e, LATER_MIN_MS);
}

static struct start_step
later(struct start_policy *p, const struct start_event *e)
{
	int most = e->status == 429 ? LATERS_MAX_429 : LATERS_MAX;
	int64_t pause;

	if (e->status != 429)
		p->bound = p->half_made = true;
	p->laters++;
	pause = later_pause(p, e);
	if (p->laters <= most && pause != -1 && may_join_again(p, e, pause) &&
	    host_open(e, p->host))
		return step_join_in(p, pause, true);
	return refused(p, e);
}

/* The agent whose id was learned last is the one. */
static struct start_step
found(struct start_policy *p, const struct start_event *e)
{
	if (p->answered)
		return settle(p, e);
	p->state = START_AT_ANSWERING;
	return (struct start_step){ .answer = START_SAY_STARTED,
		.action = START_DO_NOTHING };
}

static struct start_step
conflict_with_id(struct start_policy *p, const struct start_event *e)
{
	if (left(p, e) <= 0)
		return found(p, e);
	return step_query(p, e, START_AT_CHECKING, START_DO_LOOK);
}

/* Nobody waits any more: no further join, only what must be cleaned up. */
static struct start_step
join_ended_unheard(struct start_policy *p, const struct start_event *e)
{
	if (p->unknown && e->kind == START_CONFLICT_ID)
		return conflict_with_id(p, e);
	return settle(p, e);
}

static struct start_step
join_ended(struct start_policy *p, const struct start_event *e)
{
	static struct start_step (*const heard[])(struct start_policy *,
	    const struct start_event *) = {
		[START_JOINED] = found,
		[START_CONFLICT_ID] = conflict_with_id,
		[START_CONFLICT] = look,
		[START_NOT_PROCESSED] = not_processed,
		[START_LATER] = later,
		[START_UNKNOWN] = resolve,
		[START_REFUSED] = refused,
	};
	bool conflict =
	    e->kind == START_CONFLICT || e->kind == START_CONFLICT_ID;

	if (e->resent)
		p->half_made = true;
	if (e->kind == START_UNKNOWN || (conflict && p->half_made)) {
		p->unknown = true;
		p->half_made = false;
		p->lost++;
	}
	if (e->kind == START_UNKNOWN || conflict)
		p->bound = true;
	if (e->kind == START_JOINED) {
		p->unknown = false;
		p->ours = true;
	}
	return p->answered ? join_ended_unheard(p, e) : heard[e->kind](p, e);
}

/* ---- looking for it ----------------------------------------------------- */

static struct start_step
list(struct start_policy *p, const struct start_event *e, bool starting)
{
	p->list_starting = starting;
	return step_query(p, e, START_AT_LOOKING, START_DO_LIST);
}

/* First among the running agents, then among those that are about to. */
static struct start_step
look(struct start_policy *p, const struct start_event *e)
{
	p->ours = false; /* what was found before is not what is looked for */
	if (left(p, e) > 0)
		return list(p, e, false);
	return p->answered ? step_end(p, true) : fail(p, e, START_SAY_FAILED);
}

static struct start_step
look_later(struct start_policy *p, const struct start_event *e)
{
	return wait_and_look(p, e, START_LOOK_EVERY_MS);
}

/* No answer, or none that says so: once more, if somebody waits for it. */
static struct start_step
look_again(struct start_policy *p, const struct start_event *e)
{
	int64_t pause = random_up_to(e, BACKOFF_MS);

	if (p->answered)
		return look_later(p, e);
	if (p->looks == LOOKS_MAX || left(p, e) - pause < START_QUERY_MS)
		return fail(p, e, START_SAY_FAILED);
	p->looks++;
	return step_pause(p, START_AT_WAITING, pause);
}

/* There is none, or none yet. */
static struct start_step
listed_none(struct start_policy *p, const struct start_event *e)
{
	int64_t pause = backoff(p, e);

	if (!p->list_starting && left(p, e) > 0)
		return list(p, e, true);
	p->none_listed = p->list_starting;
	if (p->answered)
		return look_later(p, e);
	if (may_join_again(p, e, pause) && host_open(e, p->host))
		return step_join_in(p, pause, true);
	return fail(p, e, START_SAY_FAILED);
}

static struct start_step
listed_one(struct start_policy *p, const struct start_event *e)
{
	if (left(p, e) <= 0)
		return p->answered ? step_end(p, true) :
				     fail(p, e, START_SAY_FAILED);
	return step_query(p, e, START_AT_VERIFYING, START_DO_LOOK);
}

static struct start_step
listed(struct start_policy *p, const struct start_event *e)
{
	p->none_listed = false;
	if (e->kind == START_LISTED_NONE)
		return listed_none(p, e);
	if (e->kind == START_LISTED_ONE)
		return listed_one(p, e);
	if (e->kind == START_LISTED_UNCLEAR)
		return look_again(p, e);
	return p->answered ? look_later(p, e) : fail(p, e, START_SAY_AMBIGUOUS);
}

/* It runs, but perhaps not for long: another request may be stopping it. */
static struct start_step
found_running(struct start_policy *p, const struct start_event *e)
{
	if (p->answered || e->others != START_OTHERS_STOP)
		return found(p, e);
	if (left(p, e) - GOING_MS < START_ATTEMPT_MIN_MS)
		return fail(p, e, START_SAY_FAILED);
	p->joins = 0; /* no failure of ours; time alone is the limit */
	return step_join_in(p, GOING_MS, false);
}

/* An agent of our name: did a join of ours make it, or another request? */
static void
attribute(struct start_policy *p, const struct start_event *e)
{
	if (e->kind == START_AGENT_OLD) {
		p->unknown = false; /* it held the name all the time */
		p->lost = 0;
	} else if (e->kind == START_AGENT_ALIVE && p->unknown) {
		p->ours = true;
		p->lost--;
	}
}

/* The one that the list showed was looked at. */
static struct start_step
verified(struct start_policy *p, const struct start_event *e)
{
	attribute(p, e);
	if (e->kind == START_AGENT_ALIVE || e->kind == START_AGENT_OLD)
		return found_running(p, e);
	if (e->kind == START_AGENT_UNCLEAR)
		return look_again(p, e);
	return listed_none(p, e); /* nothing there that is ours */
}

/* The name is burnt: its agent is dead, but it still stands in the way. */
static struct start_step
next_name(struct start_policy *p, const struct start_event *e)
{
	p->unknown = false;
	p->lost = 0;
	if (p->suffix == START_SUFFIX_MAX || left(p, e) < START_ATTEMPT_MIN_MS)
		return fail(p, e, START_SAY_BURNT);
	p->suffix++;
	p->joins = 0;
	p->retry = false;
	return join(p, e);
}

/*
 * The agent that a conflict named was looked at. If it has our name, it is the
 * one that the client wants, whoever made it. Whether a join of this start
 * made it counts only when it must be stopped.
 */
static struct start_step
checked(struct start_policy *p, const struct start_event *e)
{
	if (e->kind == START_AGENT_DEAD)
		return p->answered ? step_end(p, false) : next_name(p, e);
	if (e->kind == START_AGENT_FOREIGN)
		return look(p, e); /* somebody else's: as if none was named */
	attribute(p, e);
	/* Even when it is unclear: a conflict says that it runs. */
	return found_running(p, e);
}

/* ---- the machine -------------------------------------------------------- */

/* Things may have changed during the pause. */
static struct start_step
join_after_pause(struct start_policy *p, const struct start_event *e)
{
	if (host_open(e, p->host) && (!p->retry || e->may_retry))
		return join(p, e);
	return refused(p, e);
}

static struct start_step
answer_ended(struct start_policy *p, const struct start_event *e)
{
	return e->kind == START_TOLD ? step_end(p, false) : settle(p, e);
}

/*
 * It is stopped. A join of ours whose answer was lost may still be carried out,
 * now that the name is free.
 */
static struct start_step
stopped(struct start_policy *p, const struct start_event *e)
{
	p->ours = false;
	p->stopped = true;
	p->unknown = p->lost > 0;
	return look_later(p, e);
}

/*
 * START_TIME: at the last moment somebody else turned out to want it. A stop
 * that failed is tried again while there is time.
 */
static struct start_step
stop_ended(struct start_policy *p, const struct start_event *e)
{
	if (e->kind == START_TIME)
		return clean_up(p, e);
	return e->kind == START_STOPPED ? stopped(p, e) : look_later(p, e);
}

/*
 * A join on its way is not broken off, which would only make its outcome
 * unknown: it is waited for, and its agent stopped.
 */
static struct start_step
client_left(struct start_policy *p, const struct start_event *e)
{
	struct start_step step = step_nothing();

	if (p->answered || p->state == START_AT_END)
		return step;
	if (p->state == START_AT_PAUSING)
		return fail(p, e, START_SAY_CLIENT_LEFT);
	p->answered = true;
	if (p->state != START_AT_JOINING)
		give_time_to_clean_up(p, e);
	step.answer = START_SAY_CLIENT_LEFT;
	return step;
}

void
start_policy_init(struct start_policy *policy, size_t hosts, int64_t now_ms)
{
	*policy = (struct start_policy){ .hosts = hosts,
		.until = now_ms + START_BUDGET_MS };
}

struct start_step
start_policy_next(struct start_policy *p, const struct start_event *e)
{
	if (e->kind == START_CLIENT_LEFT)
		return client_left(p, e);
	switch (p->state) {
	case START_AT_PAUSING:
		return e->kind == START_BEGIN ? begin(p, e) :
						join_after_pause(p, e);
	case START_AT_JOINING:
		return join_ended(p, e);
	case START_AT_CHECKING:
		return checked(p, e);
	case START_AT_LOOKING:
		return listed(p, e);
	case START_AT_VERIFYING:
		return verified(p, e);
	case START_AT_ANSWERING:
		return answer_ended(p, e);
	case START_AT_WAITING:
		return p->answered ? clean_up(p, e) : look(p, e);
	case START_AT_STOPPING:
		return stop_ended(p, e);
	case START_AT_END:
	default:
		return step_nothing();
	}
}
