/*
 * The policy of a start: every edge in a table, then a million random faults
 * against a model of Agora.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/start_policy.h"

#define T0 1000000 /* monotonic ms when a start begins */
#define ALL_OPEN 0xfu

/* ---- edges -------------------------------------------------------------- */

/* A policy and the event that it is given next. */
struct play {
	struct start_policy policy;
	struct start_event event;
	struct start_step step;
};

static struct play
play_hosts(size_t hosts)
{
	struct play play = { .event = { .now_ms = T0,
				 .hosts_open = ALL_OPEN,
				 .may_retry = true,
				 .retry_after = -1 } };

	start_policy_init(&play.policy, hosts, T0);
	return play;
}

static enum start_action
tell(struct play *play, enum start_event_kind kind)
{
	play->event.kind = kind;
	play->step = start_policy_next(&play->policy, &play->event);
	return play->step.action;
}

/* The time passes, then something happens. */
static enum start_action
tell_at(struct play *play, int64_t ms, enum start_event_kind kind)
{
	play->event.now_ms = T0 + ms;
	return tell(play, kind);
}

/* A start whose join is on its way. */
static struct play
joining(size_t hosts)
{
	struct play play = play_hosts(hosts);

	assert_int_equal(tell(&play, START_BEGIN), START_DO_JOIN);
	assert_int_equal(play.step.ms, START_JOIN_MS);
	assert_false(play.step.retry);
	return play;
}

/* No look at the list says anything, until the client is told so. */
static void
give_up_looking(struct play *play)
{
	while (tell(play, START_LISTED_UNCLEAR) == START_DO_PAUSE &&
	    play->step.answer == START_SAY_NOTHING)
		assert_int_equal(tell(play, START_TIME), START_DO_LIST);
	assert_int_equal(play->step.answer, START_SAY_FAILED);
}

/* A start whose first join may have worked, at its second. */
static struct play
joining_again(void)
{
	struct play play = joining(1);

	assert_int_equal(tell_at(&play, 8000, START_UNKNOWN), START_DO_PAUSE);
	assert_int_equal(tell(&play, START_TIME), START_DO_JOIN);
	return play;
}

static void
assert_end(const struct play *play, enum start_answer answer, bool orphan)
{
	assert_int_equal(play->step.answer, answer);
	assert_int_equal(play->step.action, START_DO_END);
	assert_int_equal(play->step.orphan, orphan);
	assert_int_equal(play->policy.state, START_AT_END);
}

static void
test_joined_and_told(void **state)
{
	struct play play = joining(1);

	(void)state;
	assert_int_equal(tell(&play, START_JOINED), START_DO_NOTHING);
	assert_int_equal(play.step.answer, START_SAY_STARTED);
	tell(&play, START_TOLD);
	assert_end(&play, START_SAY_NOTHING, false);
}

static void
test_answer_not_taken_stops_the_agent(void **state)
{
	struct play play = joining(1);

	(void)state;
	tell(&play, START_JOINED);
	assert_int_equal(tell(&play, START_NOT_TOLD), START_DO_STOP);
	assert_int_equal(play.step.ms, START_CLEANUP_MS);
	tell(&play, START_STOPPED);
	assert_end(&play, START_SAY_NOTHING, false);
}

static void
test_stop_that_fails_leaves_an_orphan(void **state)
{
	struct play play = joining(1);

	(void)state;
	tell(&play, START_JOINED);
	tell(&play, START_NOT_TOLD);
	play.event.now_ms += START_CLEANUP_MS;
	tell(&play, START_STOP_FAILED);
	assert_end(&play, START_SAY_NOTHING, true);
}

static void
test_stop_that_fails_at_once_is_tried_again(void **state)
{
	struct play play = joining(1);

	(void)state;
	tell(&play, START_JOINED);
	tell(&play, START_NOT_TOLD);
	assert_int_equal(tell(&play, START_STOP_FAILED), START_DO_PAUSE);
	play.event.now_ms += play.step.ms;
	assert_int_equal(tell(&play, START_TIME), START_DO_STOP);
	tell(&play, START_STOPPED);
	assert_end(&play, START_SAY_NOTHING, false);
}

static void
test_not_processed_moves_on(void **state)
{
	struct play play = joining(4);

	(void)state;
	play.event.random = 123;
	assert_int_equal(tell(&play, START_NOT_PROCESSED), START_DO_PAUSE);
	assert_int_equal(play.step.ms, 123);
	assert_int_equal(tell(&play, START_TIME), START_DO_JOIN);
	assert_true(play.step.retry);
	assert_int_equal(play.policy.host, 1);
	tell(&play, START_NOT_PROCESSED);
	tell(&play, START_TIME);
	assert_int_equal(play.policy.host, 2);
	tell(&play, START_NOT_PROCESSED); /* three joins are enough */
	assert_end(&play, START_SAY_FAILED, false);
}

static void
test_one_host_is_tried_once(void **state)
{
	struct play play = joining(1);

	(void)state;
	tell(&play, START_NOT_PROCESSED);
	assert_end(&play, START_SAY_FAILED, false);
}

static void
test_closed_hosts_are_passed_over(void **state)
{
	struct play play = play_hosts(4);

	(void)state;
	play.event.hosts_open = 0xa;
	assert_int_equal(tell(&play, START_BEGIN), START_DO_JOIN);
	assert_int_equal(play.policy.host, 1);
	tell(&play, START_NOT_PROCESSED);
	tell(&play, START_TIME);
	assert_int_equal(play.policy.host, 3);
	tell(&play, START_NOT_PROCESSED);
	assert_end(&play, START_SAY_FAILED, false);
}

static void
test_no_open_host(void **state)
{
	struct play play = play_hosts(4);

	(void)state;
	play.event.hosts_open = 0;
	tell(&play, START_BEGIN);
	assert_end(&play, START_SAY_UNREACHABLE, false);
}

static void
test_host_closes_during_the_pause(void **state)
{
	struct play play = joining(2);

	(void)state;
	tell(&play, START_NOT_PROCESSED);
	play.event.hosts_open = 1;
	tell(&play, START_TIME);
	assert_end(&play, START_SAY_FAILED, false);
}

static void
test_no_retries_left(void **state)
{
	struct play play = joining(4);

	(void)state;
	play.event.may_retry = false;
	tell(&play, START_NOT_PROCESSED);
	assert_end(&play, START_SAY_FAILED, false);

	play = joining(1);
	play.event.may_retry = false;
	assert_int_equal(tell(&play, START_UNKNOWN), START_DO_LIST);
}

static void
test_refused(void **state)
{
	struct play play = joining(4);

	(void)state;
	tell(&play, START_REFUSED);
	assert_end(&play, START_SAY_FAILED, false);
}

static void
test_unknown_is_resolved_on_the_same_host(void **state)
{
	struct play play = joining(4);

	(void)state;
	play.event.random = 77;
	assert_int_equal(tell_at(&play, 10, START_UNKNOWN), START_DO_PAUSE);
	assert_int_equal(play.step.ms, 77);
	assert_int_equal(tell(&play, START_TIME), START_DO_JOIN);
	assert_int_equal(play.policy.host, 0);
	assert_true(play.step.retry);
	/* Even when that host is gone now: a twin would be worse. */
	assert_int_equal(tell(&play, START_NOT_PROCESSED), START_DO_PAUSE);
	assert_int_equal(tell(&play, START_TIME), START_DO_JOIN);
	assert_int_equal(play.policy.host, 0);
	assert_int_equal(tell(&play, START_UNKNOWN), START_DO_LIST);
	assert_int_equal(play.step.ms, START_QUERY_MS);
}

static void
test_unknown_then_joined(void **state)
{
	struct play play = joining_again();

	(void)state;
	tell(&play, START_JOINED);
	assert_int_equal(play.step.answer, START_SAY_STARTED);
}

static void
test_conflict_with_an_id(void **state)
{
	static const enum start_event_kind good[] = { START_AGENT_ALIVE,
		START_AGENT_UNCLEAR };

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct play play = joining(1);

		assert_int_equal(tell(&play, START_CONFLICT_ID), START_DO_LOOK);
		assert_int_equal(play.step.ms, START_QUERY_MS);
		tell(&play, good[i]);
		assert_int_equal(play.step.answer, START_SAY_STARTED);
		/* Another request made it: not ours to stop. */
		tell(&play, START_NOT_TOLD);
		assert_end(&play, START_SAY_NOTHING, false);
	}
}

static void
test_conflict_after_a_lost_answer_is_ours(void **state)
{
	struct play play = joining_again();

	(void)state;
	assert_int_equal(tell(&play, START_CONFLICT_ID), START_DO_LOOK);
	tell(&play, START_AGENT_ALIVE);
	assert_int_equal(play.step.answer, START_SAY_STARTED);
	assert_int_equal(tell(&play, START_NOT_TOLD), START_DO_STOP);
}

static void
test_conflict_at_the_last_moment(void **state)
{
	struct play play = joining(1);

	(void)state;
	tell_at(&play, START_BUDGET_MS, START_CONFLICT_ID);
	assert_int_equal(play.step.answer, START_SAY_STARTED);
}

static void
test_burnt_names(void **state)
{
	struct play play = joining(1);

	(void)state;
	for (int suffix = 1; suffix <= START_SUFFIX_MAX; suffix++) {
		tell(&play, START_CONFLICT_ID);
		assert_int_equal(tell(&play, START_AGENT_DEAD), START_DO_JOIN);
		assert_int_equal(play.policy.suffix, suffix);
		assert_false(play.step.retry);
	}
	tell(&play, START_CONFLICT_ID);
	tell(&play, START_AGENT_DEAD);
	assert_end(&play, START_SAY_BURNT, false);
}

static void
test_conflict_without_an_id(void **state)
{
	struct play play = joining(1);

	(void)state;
	assert_int_equal(tell(&play, START_CONFLICT), START_DO_LIST);
	assert_false(play.policy.list_starting);
	assert_int_equal(tell(&play, START_LISTED_NONE), START_DO_LIST);
	assert_true(play.policy.list_starting);
	assert_int_equal(tell(&play, START_LISTED_ONE), START_DO_LOOK);
	tell(&play, START_AGENT_ALIVE);
	assert_int_equal(play.step.answer, START_SAY_STARTED);
}

static void
test_nothing_listed_joins_once_more(void **state)
{
	static const enum start_event_kind none[] = { START_AGENT_DEAD,
		START_AGENT_FOREIGN };

	(void)state;
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		struct play play = joining(1);

		tell(&play, START_CONFLICT);
		tell(&play, START_LISTED_ONE);
		/* First what is about to run is looked at, too. */
		assert_int_equal(tell(&play, none[i]), START_DO_LIST);
		assert_true(play.policy.list_starting);
		assert_int_equal(tell(&play, START_LISTED_NONE),
		    START_DO_PAUSE);
		assert_int_equal(tell(&play, START_TIME), START_DO_JOIN);
		tell(&play, START_CONFLICT);
		tell(&play, START_LISTED_NONE);
		tell(&play, START_LISTED_NONE);
		tell(&play, START_TIME);
		tell(&play, START_CONFLICT);
		tell(&play, START_LISTED_NONE);
		tell(&play, START_LISTED_NONE);
		assert_end(&play, START_SAY_FAILED, false);
	}
}

static void
test_several_listed(void **state)
{
	struct play play = joining(1);

	(void)state;
	tell(&play, START_CONFLICT);
	tell(&play, START_LISTED_MANY);
	assert_end(&play, START_SAY_AMBIGUOUS, false);
}

static void
test_list_unclear(void **state)
{
	struct play play = joining(1);
	int looks;

	(void)state;
	tell(&play, START_CONFLICT);
	give_up_looking(&play);
	assert_end(&play, START_SAY_FAILED, false);

	/* Once more, and once more. */
	play = joining(1);
	tell(&play, START_CONFLICT);
	for (looks = 0; play.policy.state != START_AT_END; looks++) {
		tell(&play, START_LISTED_ONE);
		if (tell(&play, START_AGENT_UNCLEAR) == START_DO_PAUSE)
			tell(&play, START_TIME);
	}
	assert_int_equal(looks, 3);
	assert_end(&play, START_SAY_FAILED, false);

	/* Not when that would take too long. */
	play = joining(1);
	tell(&play, START_CONFLICT);
	tell_at(&play, START_BUDGET_MS - START_QUERY_MS + 1,
	    START_LISTED_UNCLEAR);
	assert_end(&play, START_SAY_FAILED, false);
}

static void
test_refused_after_unknown_looks_first(void **state)
{
	struct play play = joining_again();

	(void)state;
	assert_int_equal(tell(&play, START_REFUSED), START_DO_LIST);
	assert_int_equal(play.step.answer, START_SAY_NOTHING);
}

static void
test_later(void **state)
{
	static const struct {
		int status;
		int64_t retry_after, pause; /* -1: none, it fails */
	} rows[] = {
		{ 429, -1, 1000 },
		{ 429, 0, 1000 },
		{ 429, 2, 2000 },
		{ 429, 3, 3000 },
		{ 429, 4, -1 },
		{ 429, INT64_MAX, -1 },
		{ 503, -1, 1000 },
		{ 503, 3, 3000 },
		{ 503, 5, -1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct play play = joining(4);

		play.event.status = rows[i].status;
		play.event.retry_after = rows[i].retry_after;
		tell(&play, START_LATER);
		if (rows[i].pause == -1) {
			assert_end(&play, START_SAY_FAILED, false);
			continue;
		}
		assert_int_equal(play.step.action, START_DO_PAUSE);
		assert_int_equal(play.step.ms, rows[i].pause);
		assert_int_equal(tell(&play, START_TIME), START_DO_JOIN);
		assert_int_equal(play.policy.host, 0);
		assert_true(play.step.retry);
	}
}

static void
test_later_how_often(void **state)
{
	struct play play = joining(1);

	(void)state;
	play.event.status = 429;
	tell(&play, START_LATER);
	tell(&play, START_TIME);
	tell(&play, START_LATER);
	assert_end(&play, START_SAY_FAILED, false);

	play = joining(1);
	play.event.status = 503;
	tell(&play, START_LATER);
	assert_int_equal(play.step.ms, 1000);
	tell(&play, START_TIME);
	tell(&play, START_LATER);
	assert_int_equal(play.step.ms, 3000);
	tell(&play, START_TIME);
	tell(&play, START_LATER);
	assert_end(&play, START_SAY_FAILED, false);
}

static void
test_later_after_unknown(void **state)
{
	struct play play = joining_again();

	(void)state;
	play.event.status = 429;
	play.event.retry_after = 60;
	assert_int_equal(tell(&play, START_LATER), START_DO_LIST);
}

static void
test_pauses_grow_and_are_random(void **state)
{
	struct play play;

	(void)state;
	for (uint32_t random = 0; random < 100000; random += 777) {
		play = joining(1);
		play.event.random = random;
		tell(&play, START_UNKNOWN);
		assert_int_equal(play.step.ms, random % 501);
		tell(&play, START_TIME);
		tell(&play, START_UNKNOWN);
		assert_int_equal(play.step.ms, random % 1001);
	}
}

/* The whole time is spent on hangs: the client is told within the budget. */
static void
test_budget(void **state)
{
	struct play play = joining_again();

	(void)state;
	/* 4 s are left: too little for a join and a look. */
	assert_int_equal(tell_at(&play, 16000, START_UNKNOWN), START_DO_LIST);
	assert_int_equal(play.step.ms, START_QUERY_MS);
	assert_int_equal(tell_at(&play, 19000, START_LISTED_NONE),
	    START_DO_LIST);
	assert_int_equal(play.step.ms, 1000);
	tell_at(&play, 20000, START_LISTED_UNCLEAR);
	assert_int_equal(play.step.answer, START_SAY_FAILED);
	assert_int_equal(play.step.action, START_DO_LIST);
}

static void
test_cleanup_looks_until_its_time_is_up(void **state)
{
	struct play play = joining(1);
	int looks = 0;

	(void)state;
	play.event.may_retry = false;
	tell(&play, START_UNKNOWN);
	give_up_looking(&play);
	while (play.step.action == START_DO_LIST) {
		looks++;
		tell(&play, START_LISTED_NONE);
		if (tell(&play, START_LISTED_NONE) != START_DO_PAUSE)
			break;
		assert_int_equal(play.step.ms, START_LOOK_EVERY_MS);
		play.event.now_ms += play.step.ms;
		tell(&play, START_TIME);
	}
	assert_int_equal(looks, 4);
	assert_end(&play, START_SAY_NOTHING, true);
}

static void
test_cleanup_stops_what_it_finds(void **state)
{
	struct play play = joining(1);

	(void)state;
	play.event.may_retry = false;
	tell(&play, START_UNKNOWN);
	give_up_looking(&play);
	tell(&play, START_LISTED_ONE);
	assert_int_equal(tell(&play, START_AGENT_ALIVE), START_DO_STOP);
	tell(&play, START_STOPPED);
	assert_end(&play, START_SAY_NOTHING, false);
}

static void
test_cleanup_leaves_foreign_agents_alone(void **state)
{
	static const enum start_event_kind not_ours[] = { START_AGENT_FOREIGN,
		START_AGENT_DEAD, START_AGENT_UNCLEAR };

	(void)state;
	for (size_t i = 0; i < sizeof(not_ours) / sizeof(not_ours[0]); i++) {
		struct play play = joining(1);

		play.event.may_retry = false;
		tell(&play, START_UNKNOWN);
		give_up_looking(&play);
		tell(&play, START_LISTED_ONE);
		if (tell(&play, not_ours[i]) == START_DO_LIST)
			tell(&play, START_LISTED_NONE);
		assert_int_equal(play.step.action, START_DO_PAUSE);
		assert_int_equal(tell(&play, START_TIME), START_DO_LIST);
		assert_int_equal(tell(&play, START_LISTED_MANY),
		    START_DO_PAUSE);
	}
}

static void
test_others(void **state)
{
	struct play play = joining(1);

	(void)state;
	/* Their client has it. */
	play.event.others = START_OTHERS_HAVE;
	tell(&play, START_JOINED);
	tell(&play, START_NOT_TOLD);
	assert_end(&play, START_SAY_NOTHING, false);

	/* They may need it: wait and see. */
	play = joining(1);
	play.event.others = START_OTHERS_TRY;
	tell(&play, START_JOINED);
	assert_int_equal(tell(&play, START_NOT_TOLD), START_DO_PAUSE);
	assert_int_equal(tell(&play, START_TIME), START_DO_PAUSE);
	play.event.others = START_OTHERS_NONE;
	assert_int_equal(tell(&play, START_TIME), START_DO_STOP);

	/* They are stopping it: not to be handed out. */
	play = joining(1);
	play.event.others = START_OTHERS_STOP;
	tell(&play, START_CONFLICT_ID);
	assert_int_equal(tell(&play, START_AGENT_ALIVE), START_DO_PAUSE);
	assert_int_equal(tell(&play, START_TIME), START_DO_JOIN);
	assert_false(play.step.retry);
	tell(&play, START_CONFLICT_ID);
	tell_at(&play, START_BUDGET_MS - 2000, START_AGENT_ALIVE);
	assert_end(&play, START_SAY_FAILED, false);
}

/* Another's client has some agent: says nothing of the one that is looked for. */
static void
test_others_have_what_is_not_ours(void **state)
{
	struct play play = joining(1);

	(void)state;
	tell(&play, START_UNKNOWN);
	play.event.others = START_OTHERS_HAVE;
	assert_int_equal(tell(&play, START_CLIENT_LEFT), START_DO_LIST);

	/* Ours was being stopped; what came after it is not known. */
	play = joining_again();
	play.event.others = START_OTHERS_STOP;
	tell(&play, START_CONFLICT_ID);
	assert_int_equal(tell(&play, START_AGENT_ALIVE), START_DO_PAUSE);
	assert_int_equal(tell(&play, START_TIME), START_DO_JOIN);
	tell(&play, START_CLIENT_LEFT);
	assert_int_equal(tell(&play, START_UNKNOWN), START_DO_LIST);
}

static void
test_client_leaves(void **state)
{
	static const struct {
		enum start_event_kind then;
		enum start_action action;
	} rows[] = {
		{ START_JOINED, START_DO_STOP },
		{ START_UNKNOWN, START_DO_LIST },
		{ START_NOT_PROCESSED, START_DO_END },
		{ START_LATER, START_DO_END }, { START_REFUSED, START_DO_END },
		{ START_CONFLICT, START_DO_END },
		{ START_CONFLICT_ID, START_DO_END }, /* another's agent */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct play play = joining(4);

		/* The join is waited for. */
		assert_int_equal(tell(&play, START_CLIENT_LEFT),
		    START_DO_NOTHING);
		assert_int_equal(play.step.answer, START_SAY_CLIENT_LEFT);
		tell(&play, START_CLIENT_LEFT); /* said twice: nothing new */
		assert_int_equal(play.step.answer, START_SAY_NOTHING);
		assert_int_equal(tell(&play, rows[i].then), rows[i].action);
		assert_int_equal(play.step.answer, START_SAY_NOTHING);
	}
}

static void
test_client_leaves_in_a_pause(void **state)
{
	struct play play = joining(4);

	(void)state;
	tell(&play, START_NOT_PROCESSED);
	tell(&play, START_CLIENT_LEFT);
	assert_end(&play, START_SAY_CLIENT_LEFT, false);

	play = joining(1);
	tell(&play, START_UNKNOWN);
	assert_int_equal(tell(&play, START_CLIENT_LEFT), START_DO_LIST);
	assert_int_equal(play.step.answer, START_SAY_CLIENT_LEFT);
}

static void
test_client_leaves_before_the_first_join(void **state)
{
	struct play play = play_hosts(1);

	(void)state;
	tell(&play, START_CLIENT_LEFT);
	assert_end(&play, START_SAY_CLIENT_LEFT, false);
}

static void
test_client_leaves_while_its_agent_is_checked(void **state)
{
	struct play play = joining_again();

	(void)state;
	tell(&play, START_CONFLICT_ID);
	tell(&play, START_CLIENT_LEFT);
	assert_int_equal(tell(&play, START_AGENT_ALIVE), START_DO_STOP);

	play = joining_again();
	tell(&play, START_CONFLICT_ID);
	tell(&play, START_CLIENT_LEFT);
	tell(&play, START_AGENT_DEAD);
	assert_end(&play, START_SAY_NOTHING, false);

	play = joining(1); /* an agent of another request */
	tell(&play, START_CONFLICT_ID);
	tell(&play, START_CLIENT_LEFT);
	tell(&play, START_AGENT_ALIVE);
	assert_end(&play, START_SAY_NOTHING, false);
}

static void
test_conflict_after_the_client_left_is_cleaned_up(void **state)
{
	struct play play = joining_again();

	(void)state;
	tell(&play, START_CLIENT_LEFT);
	assert_int_equal(tell(&play, START_CONFLICT_ID), START_DO_LOOK);
	assert_int_equal(tell(&play, START_AGENT_ALIVE), START_DO_STOP);
}

/* The name may be taken here: nowhere else would it be a lock. */
static void
test_what_binds_to_a_host(void **state)
{
	static const enum start_event_kind binding[] = { START_UNKNOWN,
		START_LATER };

	(void)state;
	for (size_t i = 0; i < sizeof(binding) / sizeof(binding[0]); i++) {
		struct play play = joining(4);

		play.event.status = 503;
		tell(&play, binding[i]);
		tell(&play, START_TIME);
		tell(&play, START_NOT_PROCESSED);
		assert_int_equal(tell(&play, START_TIME), START_DO_JOIN);
		assert_int_equal(play.policy.host, 0);
	}
}

static void
test_a_conflict_binds_to_a_host(void **state)
{
	struct play play = joining(4);

	(void)state;
	tell(&play, START_CONFLICT);
	tell(&play, START_LISTED_NONE);
	tell(&play, START_LISTED_NONE);
	tell(&play, START_TIME);
	tell(&play, START_NOT_PROCESSED);
	assert_int_equal(tell(&play, START_TIME), START_DO_JOIN);
	assert_int_equal(play.policy.host, 0);

	play = joining(4);
	tell(&play, START_CONFLICT_ID);
	tell(&play, START_AGENT_DEAD);
	tell(&play, START_NOT_PROCESSED);
	tell(&play, START_TIME);
	assert_int_equal(play.policy.host, 0);
}

/* Listed in a channel that has one user only: it has our name. */
static void
test_old_agent_in_the_list(void **state)
{
	struct play play = joining(1);

	(void)state;
	tell(&play, START_CONFLICT);
	tell(&play, START_LISTED_ONE);
	tell(&play, START_AGENT_OLD);
	assert_int_equal(play.step.answer, START_SAY_STARTED);
	tell(&play, START_NOT_TOLD);
	assert_end(&play, START_SAY_NOTHING, false);
}

/* Two joins got no answer, and one agent was found: where is the other? */
static void
test_cleanup_goes_on_while_a_join_is_unaccounted_for(void **state)
{
	struct play play = joining_again();

	(void)state;
	tell(&play, START_CLIENT_LEFT);
	tell(&play, START_UNKNOWN);
	tell(&play, START_LISTED_ONE);
	assert_int_equal(tell(&play, START_AGENT_ALIVE), START_DO_STOP);
	assert_int_equal(tell(&play, START_STOPPED), START_DO_PAUSE);
	assert_int_equal(tell(&play, START_TIME), START_DO_LIST);
	tell(&play, START_LISTED_ONE);
	assert_int_equal(tell(&play, START_AGENT_ALIVE), START_DO_STOP);
	tell(&play, START_STOPPED);
	assert_end(&play, START_SAY_NOTHING, false);
}

/* One was stopped; the other join was the conflict that one would expect. */
static void
test_nothing_comes_after_what_was_stopped(void **state)
{
	struct play play = joining_again();

	(void)state;
	tell(&play, START_CLIENT_LEFT);
	tell(&play, START_UNKNOWN);
	tell(&play, START_LISTED_ONE);
	tell(&play, START_AGENT_ALIVE);
	tell(&play, START_STOPPED);
	while (play.step.action == START_DO_PAUSE) {
		play.event.now_ms += play.step.ms;
		tell(&play, START_TIME);
		tell(&play, START_LISTED_NONE);
		tell(&play, START_LISTED_NONE);
	}
	assert_end(&play, START_SAY_NOTHING, false);
}

/* No join is in doubt, so there is nothing to look for. */
static void
test_conflict_that_nobody_hears_of_is_no_orphan(void **state)
{
	struct play play = joining(1);

	(void)state;
	tell(&play, START_CONFLICT);
	tell(&play, START_CLIENT_LEFT);
	tell(&play, START_LISTED_NONE);
	tell(&play, START_LISTED_NONE);
	assert_end(&play, START_SAY_NOTHING, false);
}

static void
test_the_longest_start(void **state)
{
	struct play play = joining_again();

	(void)state;
	tell_at(&play, 20000, START_UNKNOWN);
	assert_int_equal(play.step.answer, START_SAY_FAILED);
	tell_at(&play, 27999, START_LISTED_ONE);
	tell_at(&play, 28000, START_AGENT_ALIVE);
	assert_int_equal(play.step.action, START_DO_STOP);
	assert_true(play.step.ms <= 4000);
	tell_at(&play, 32000, START_STOP_FAILED);
	assert_end(&play, START_SAY_NOTHING, true);
}

/* A start whose lost join's agent another one is stopping, on a shut host. */
static struct play
waiting_for_a_name(void)
{
	struct play play = joining_again();

	tell(&play, START_CONFLICT_ID);
	play.event.others = START_OTHERS_STOP;
	tell(&play, START_AGENT_ALIVE);
	play.event.hosts_open = 0;
	assert_int_equal(tell(&play, START_TIME), START_DO_LIST);
	return play;
}

static void
test_name_that_does_not_come_free(void **state)
{
	struct play play = waiting_for_a_name();

	(void)state;
	/* The client is answered, whatever the other one does. */
	give_up_looking(&play);

	/* What the list shows is not what was found before. */
	play = waiting_for_a_name();
	tell(&play, START_LISTED_ONE);
	tell(&play, START_AGENT_FOREIGN);
	tell(&play, START_LISTED_NONE);
	assert_int_equal(play.step.answer, START_SAY_FAILED);
	assert_int_equal(play.step.action, START_DO_LIST);
}

/* A start that failed (503) may have made the agent that the next one meets. */
static void
test_agent_of_a_failed_start_is_ours(void **state)
{
	struct play play = joining(1);

	(void)state;
	play.event.status = 503;
	tell(&play, START_LATER);
	tell(&play, START_TIME);
	tell(&play, START_CLIENT_LEFT);
	assert_int_equal(tell(&play, START_CONFLICT_ID), START_DO_LOOK);
	assert_int_equal(tell(&play, START_AGENT_ALIVE), START_DO_STOP);
}

static void
test_old_agent_is_another_requests(void **state)
{
	struct play play = joining_again();

	(void)state;
	tell(&play, START_CONFLICT_ID);
	tell(&play, START_AGENT_OLD);
	assert_int_equal(play.step.answer, START_SAY_STARTED);
	tell(&play, START_NOT_TOLD);
	assert_end(&play, START_SAY_NOTHING, false);
}

/* Told without knowing whose it is, and not taken: looked for first. */
static void
test_unclear_agent_is_not_stopped_blindly(void **state)
{
	struct play play = joining_again();

	(void)state;
	tell(&play, START_CONFLICT_ID);
	tell(&play, START_AGENT_UNCLEAR);
	assert_int_equal(play.step.answer, START_SAY_STARTED);
	assert_int_equal(tell(&play, START_NOT_TOLD), START_DO_LIST);
}

/* ---- a model of Agora, and what a network does to it -------------------- */

#define WALKS 1000000
#define STEPS_MAX 200
#define LATEST_MS 30000 /* until a join whose answer was lost takes place */
#define AGENTS_MAX 32

struct agent {
	int suffix;
	size_t host; /* a name is a lock only where it was sent */
	bool alive;
	bool ours;  /* made by a join of this walk */
	bool known; /* the client has its id */
	bool stop_tried;
	bool burnt; /* ended, but its name is not free */
	int64_t born_ms;
	int64_t listed_ms; /* it is STARTING until then */
};

/* A join that is carried out after its answer was lost. */
struct late {
	bool there;
	int suffix;
	size_t host;
	int64_t at_ms;
};

struct world {
	uint64_t seed;
	struct start_policy policy;
	struct start_event event;
	struct agent agent[AGENTS_MAX];
	int agents;
	int last; /* whose id the policy's driver knows, -1: none */
	struct late late;
	int answers;
	int64_t answered_ms;
	int joins, looks;
	bool stopped; /* some agent, as the policy knows */
	int64_t end_ms;
	bool orphan;
};

static uint32_t
dice(struct world *world, uint32_t sides)
{
	world->seed ^= world->seed << 13;
	world->seed ^= world->seed >> 7;
	world->seed ^= world->seed << 17;
	return (uint32_t)((world->seed >> 20) % sides);
}

static bool
chance(struct world *world, uint32_t percent)
{
	return dice(world, 100) < percent;
}

static struct agent *
agent_named(struct world *world, int suffix, size_t host)
{
	for (int i = 0; i < world->agents; i++) {
		struct agent *agent = &world->agent[i];

		if (agent->suffix == suffix && agent->host == host &&
		    (agent->alive || agent->burnt))
			return agent;
	}
	return NULL;
}

static struct agent *
make_agent(struct world *world, int suffix, size_t host)
{
	struct agent *agent = &world->agent[world->agents];
	int64_t now = world->event.now_ms;

	assert_true(world->agents < AGENTS_MAX);
	world->agents++;
	*agent = (struct agent){ .suffix = suffix,
		.host = host,
		.alive = true,
		.ours = true,
		.born_ms = now,
		.listed_ms =
		    chance(world, 30) ? now + dice(world, 3000) : now };
	return agent;
}

/* Lets time pass; what was delayed happens. */
static void
pass(struct world *world, int64_t ms)
{
	world->event.now_ms += ms;
	if (!world->late.there || world->event.now_ms < world->late.at_ms)
		return;
	world->late.there = false;
	if (agent_named(world, world->late.suffix, world->late.host) == NULL)
		make_agent(world, world->late.suffix, world->late.host);
}

static enum start_event_kind
conflict(struct world *world, const struct agent *agent)
{
	if (chance(world, 30))
		return START_CONFLICT;
	world->last = (int)(agent - world->agent);
	return START_CONFLICT_ID;
}

/* What becomes of a join within ${ms}, and what we learn of it. */
static enum start_event_kind
play_join(struct world *world, int64_t ms)
{
	int suffix = world->policy.suffix;
	size_t host = world->policy.host;
	struct agent *agent;
	bool carried_out, lost;

	world->joins++;
	if (chance(world, 10))
		return START_NOT_PROCESSED;
	if (chance(world, 10))
		return START_LATER;
	if (chance(world, 5))
		return START_REFUSED;
	lost = chance(world, 50);
	if (lost && chance(world, 20) && !world->late.there) {
		world->late = (struct late){ .there = true,
			.suffix = suffix,
			.host = host,
			.at_ms = world->event.now_ms + dice(world, LATEST_MS) };
		pass(world, ms);
		return START_UNKNOWN;
	}
	carried_out = !lost || chance(world, 50);
	pass(world, dice(world, (uint32_t)ms / 4 + 1));
	agent = agent_named(world, suffix, host);
	if (!carried_out || lost) {
		if (carried_out && agent == NULL)
			make_agent(world, suffix, host);
		if (chance(world, 50))
			pass(world, ms - ms / 4);
		return START_UNKNOWN;
	}
	if (agent != NULL)
		return conflict(world, agent);
	world->last = (int)(make_agent(world, suffix, host) - world->agent);
	return START_JOINED;
}

static enum start_event_kind
play_look(struct world *world, int64_t ms)
{
	pass(world, dice(world, (uint32_t)ms + 1));
	if (chance(world, 15))
		return START_AGENT_UNCLEAR;
	if (!world->agent[world->last].alive)
		return START_AGENT_DEAD;
	return world->agent[world->last].ours ? START_AGENT_ALIVE :
						START_AGENT_OLD;
}

static enum start_event_kind
play_list(struct world *world, int64_t ms)
{
	int found = 0;

	world->looks++;
	pass(world, dice(world, (uint32_t)ms + 1));
	if (chance(world, 20))
		return START_LISTED_UNCLEAR;
	for (int i = 0; i < world->agents; i++) {
		const struct agent *agent = &world->agent[i];
		bool starting = agent->listed_ms > world->event.now_ms;

		if (!agent->alive || !agent->ours ||
		    starting != world->policy.list_starting)
			continue;
		world->last = i;
		found++;
	}
	assert_true(found <= 1);
	return found == 0 ? START_LISTED_NONE : START_LISTED_ONE;
}

static enum start_event_kind
play_stop(struct world *world, int64_t ms)
{
	struct agent *agent = &world->agent[world->last];

	/* Never what somebody talks to, nor what somebody else made. */
	assert_false(agent->known);
	assert_true(agent->ours);
	pass(world, dice(world, (uint32_t)ms + 1));
	agent->stop_tried = true;
	if (chance(world, 70))
		agent->alive = false;
	if (agent->alive || chance(world, 20))
		return START_STOP_FAILED;
	world->stopped = true;
	return START_STOPPED;
}

static enum start_event_kind
play_answer(struct world *world, enum start_answer answer)
{
	world->answers++;
	world->answered_ms = world->event.now_ms;
	if (answer != START_SAY_STARTED)
		return START_BEGIN; /* no event follows */
	assert_true(world->agent[world->last].suffix == world->policy.suffix);
	if (chance(world, 10))
		return START_NOT_TOLD;
	world->agent[world->last].known = true;
	return START_TOLD;
}

static enum start_event_kind
play_action(struct world *world, const struct start_step *step)
{
	if (step->action == START_DO_JOIN)
		return play_join(world, step->ms);
	if (step->action == START_DO_LOOK)
		return play_look(world, step->ms);
	if (step->action == START_DO_LIST)
		return play_list(world, step->ms);
	if (step->action == START_DO_STOP)
		return play_stop(world, step->ms);
	if (step->action == START_DO_PAUSE)
		pass(world, step->ms);
	else
		assert_int_equal(step->action, START_DO_END);
	world->orphan = step->orphan;
	return START_TIME;
}

/* Carries out one step; false when it was the last. */
static bool
play_step(struct world *world, const struct start_step *step)
{
	struct start_event *event = &world->event;

	assert_true(step->ms >= 0);
	if (step->answer != START_SAY_NOTHING) {
		event->kind = play_answer(world, step->answer);
		if (step->answer == START_SAY_STARTED)
			return true;
	}
	event->kind = play_action(world, step);
	return step->action != START_DO_END;
}

/* At most one agent of ours runs at any time. */
static void
check_no_twins(const struct world *world)
{
	int alive = 0;

	for (int i = 0; i < world->agents; i++)
		alive += world->agent[i].alive && world->agent[i].ours;
	assert_true(alive <= 1);
}

static void
check_times(const struct world *world)
{
	assert_int_equal(world->answers, 1);
	assert_true(world->answered_ms - T0 <= START_BUDGET_MS);
	assert_true(world->event.now_ms - T0 <=
	    START_BUDGET_MS + START_CLEANUP_MS + START_STOP_MIN_MS);
}

/*
 * A join whose answer was lost may be carried out when everything is over, or
 * during the last look. It is told as an orphan, unless an agent was stopped
 * that accounts for it.
 */
static void
check_end(const struct world *world)
{
	for (int i = 0; i < world->agents; i++) {
		const struct agent *agent = &world->agent[i];
		bool late = world->stopped &&
		    agent->born_ms > world->end_ms - 2 * START_QUERY_MS;

		if (agent->alive && agent->ours)
			assert_true(agent->known || agent->stop_tried ||
			    world->orphan || late);
	}
}

/* What was there before: nothing, another's agent, or a burnt name. */
static void
populate(struct world *world)
{
	struct agent *agent;

	if (!chance(world, 30))
		return;
	agent = make_agent(world, 0, 0);
	agent->ours = false;
	if (chance(world, 50)) {
		agent->alive = false;
		agent->burnt = true;
	}
}

/* The client leaves before the event that is due; false at the end. */
static bool
leave(struct world *world)
{
	struct start_event event = world->event;
	struct start_step step;

	event.kind = START_CLIENT_LEFT;
	step = start_policy_next(&world->policy, &event);
	assert_int_equal(step.answer, START_SAY_CLIENT_LEFT);
	world->answers++;
	world->answered_ms = event.now_ms;
	step.answer = START_SAY_NOTHING;
	if (step.action == START_DO_NOTHING)
		return true; /* what is on its way is waited for */
	return play_step(world, &step);
}

static void
walk(struct world *world)
{
	int patience = chance(world, 20) ? (int)dice(world, 12) : STEPS_MAX;
	bool more = true;

	world->event.kind = START_BEGIN;
	for (int i = 0; more; i++) {
		struct start_step step;

		assert_true(i < STEPS_MAX);
		world->event.random = dice(world, UINT32_MAX);
		world->event.hosts_open = chance(world, 90) ? ALL_OPEN : 0xa;
		world->event.may_retry = chance(world, 90);
		world->event.status = chance(world, 50) ? 429 : 503;
		world->event.retry_after = (int64_t)dice(world, 6) - 1;
		if (i >= patience && world->answers == 0) {
			more = leave(world);
			continue;
		}
		step = start_policy_next(&world->policy, &world->event);
		more = play_step(world, &step);
		check_no_twins(world);
	}
}

static void
test_a_million_walks(void **state)
{
	uint64_t answers = 0, orphans = 0;

	(void)state;
	for (uint64_t i = 1; i <= WALKS; i++) {
		struct world world = { .seed = i * 0x9e3779b97f4a7c15u,
			.last = -1,
			.event = { .now_ms = T0 } };

		populate(&world);
		start_policy_init(&world.policy, 4, T0);
		walk(&world);
		check_times(&world);
		world.end_ms = world.event.now_ms;
		pass(&world, LATEST_MS);
		check_end(&world);
		answers += (uint64_t)world.answers;
		orphans += world.orphan;
	}
	assert_int_equal(answers, WALKS);
	/* The walk is worth something: it reaches the bitter ends, too. */
	assert_true(orphans > WALKS / 1000);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_joined_and_told),
		cmocka_unit_test(test_answer_not_taken_stops_the_agent),
		cmocka_unit_test(test_stop_that_fails_leaves_an_orphan),
		cmocka_unit_test(test_stop_that_fails_at_once_is_tried_again),
		cmocka_unit_test(test_not_processed_moves_on),
		cmocka_unit_test(test_one_host_is_tried_once),
		cmocka_unit_test(test_closed_hosts_are_passed_over),
		cmocka_unit_test(test_no_open_host),
		cmocka_unit_test(test_host_closes_during_the_pause),
		cmocka_unit_test(test_no_retries_left),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_unknown_is_resolved_on_the_same_host),
		cmocka_unit_test(test_unknown_then_joined),
		cmocka_unit_test(test_conflict_with_an_id),
		cmocka_unit_test(test_conflict_after_a_lost_answer_is_ours),
		cmocka_unit_test(test_conflict_at_the_last_moment),
		cmocka_unit_test(test_burnt_names),
		cmocka_unit_test(test_conflict_without_an_id),
		cmocka_unit_test(test_nothing_listed_joins_once_more),
		cmocka_unit_test(test_several_listed),
		cmocka_unit_test(test_list_unclear),
		cmocka_unit_test(test_refused_after_unknown_looks_first),
		cmocka_unit_test(test_later),
		cmocka_unit_test(test_later_how_often),
		cmocka_unit_test(test_later_after_unknown),
		cmocka_unit_test(test_pauses_grow_and_are_random),
		cmocka_unit_test(test_budget),
		cmocka_unit_test(test_cleanup_looks_until_its_time_is_up),
		cmocka_unit_test(test_cleanup_stops_what_it_finds),
		cmocka_unit_test(test_cleanup_leaves_foreign_agents_alone),
		cmocka_unit_test(test_others),
		cmocka_unit_test(test_others_have_what_is_not_ours),
		cmocka_unit_test(test_client_leaves),
		cmocka_unit_test(test_client_leaves_in_a_pause),
		cmocka_unit_test(test_client_leaves_before_the_first_join),
		cmocka_unit_test(test_client_leaves_while_its_agent_is_checked),
		cmocka_unit_test(
		    test_conflict_after_the_client_left_is_cleaned_up),
		cmocka_unit_test(test_what_binds_to_a_host),
		cmocka_unit_test(test_a_conflict_binds_to_a_host),
		cmocka_unit_test(test_old_agent_in_the_list),
		cmocka_unit_test(
		    test_cleanup_goes_on_while_a_join_is_unaccounted_for),
		cmocka_unit_test(test_nothing_comes_after_what_was_stopped),
		cmocka_unit_test(
		    test_conflict_that_nobody_hears_of_is_no_orphan),
		cmocka_unit_test(test_the_longest_start),
		cmocka_unit_test(test_name_that_does_not_come_free),
		cmocka_unit_test(test_agent_of_a_failed_start_is_ours),
		cmocka_unit_test(test_old_agent_is_another_requests),
		cmocka_unit_test(test_unclear_agent_is_not_stopped_blindly),
		cmocka_unit_test(test_a_million_walks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
