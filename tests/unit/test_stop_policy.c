/* The policy of a stop, edge by edge, and that it always ends in time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/stop_policy.h"

#define T0 1000000

struct play {
	struct stop_policy policy;
	struct stop_event event;
	struct stop_step step;
};

static struct play
leaving(size_t hosts)
{
	struct play play = { .event = { .now_ms = T0,
				 .hosts_open = 0xf,
				 .may_retry = true,
				 .retry_after = -1 } };

	stop_policy_init(&play.policy, hosts, 0, T0, STOP_BUDGET_MS);
	play.step = stop_policy_next(&play.policy, &play.event);
	assert_int_equal(play.step.action, STOP_DO_LEAVE);
	assert_int_equal(play.step.ms, STOP_LEAVE_MS);
	assert_false(play.step.retry);
	assert_int_equal(play.policy.host, 0);
	return play;
}

static enum stop_action
tell(struct play *play, enum stop_event_kind kind)
{
	play->event.kind = kind;
	play->step = stop_policy_next(&play->policy, &play->event);
	return play->step.action;
}

static void
test_ends_at_once(void **state)
{
	static const struct {
		enum stop_event_kind kind;
		enum stop_action action;
	} rows[] = {
		{ STOP_LEFT, STOP_DO_END_STOPPED },
		{ STOP_GONE, STOP_DO_END_FAILED },
		{ STOP_REFUSED, STOP_DO_END_FAILED },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct play play = leaving(4);

		assert_int_equal(tell(&play, rows[i].kind), rows[i].action);
	}
}

static void
test_three_leaves_on_three_hosts(void **state)
{
	static const enum stop_event_kind kinds[] = { STOP_NOT_PROCESSED,
		STOP_UNKNOWN };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct play play = leaving(4);

		play.event.random = 100;
		assert_int_equal(tell(&play, kinds[i]), STOP_DO_PAUSE);
		assert_int_equal(play.step.ms, 100);
		assert_int_equal(tell(&play, STOP_TIME), STOP_DO_LEAVE);
		assert_true(play.step.retry);
		assert_int_equal(play.policy.host, 1);
		assert_int_equal(tell(&play, kinds[i]), STOP_DO_PAUSE);
		assert_int_equal(play.step.ms, 3100);
		tell(&play, STOP_TIME);
		assert_int_equal(play.policy.host, 2);
		assert_int_equal(tell(&play, kinds[i]), STOP_DO_END_FAILED);
	}
}

static void
test_one_host_is_given_time(void **state)
{
	struct play play = leaving(1);

	(void)state;
	tell(&play, STOP_NOT_PROCESSED);
	assert_int_equal(play.step.ms, 1000);
	tell(&play, STOP_TIME);
	assert_int_equal(play.policy.host, 0);
	tell(&play, STOP_NOT_PROCESSED);
	assert_int_equal(play.step.ms, 3000);
}

static void
test_gone_after_an_unclear_leave_is_stopped(void **state)
{
	struct play play = leaving(1);

	(void)state;
	tell(&play, STOP_UNKNOWN);
	tell(&play, STOP_TIME);
	assert_int_equal(tell(&play, STOP_GONE), STOP_DO_END_STOPPED);
}

static void
test_gone_after_a_leave_that_was_not_sent_is_gone(void **state)
{
	struct play play = leaving(1);

	(void)state;
	tell(&play, STOP_NOT_PROCESSED);
	tell(&play, STOP_TIME);
	assert_int_equal(tell(&play, STOP_GONE), STOP_DO_END_FAILED);
}

static void
test_later(void **state)
{
	struct play play = leaving(4);

	(void)state;
	play.event.retry_after = 2;
	assert_int_equal(tell(&play, STOP_LATER), STOP_DO_PAUSE);
	assert_int_equal(play.step.ms, 2000);
	tell(&play, STOP_TIME);
	assert_int_equal(play.policy.host, 0); /* it is busy, not broken */
	play.event.retry_after = 4;
	assert_int_equal(tell(&play, STOP_LATER), STOP_DO_END_FAILED);
}

static void
test_shut_hosts_are_passed_over_unless_all_are(void **state)
{
	struct play play = leaving(4);

	(void)state;
	play.event.hosts_open = 0x8;
	tell(&play, STOP_NOT_PROCESSED);
	assert_int_equal(play.policy.host, 3);
	play.event.hosts_open = 0;
	tell(&play, STOP_TIME);
	tell(&play, STOP_NOT_PROCESSED);
	assert_int_equal(play.step.action, STOP_DO_PAUSE);
	assert_int_equal(play.policy.host, 0);
}

static void
test_no_retries_left(void **state)
{
	struct play play = leaving(4);

	(void)state;
	play.event.may_retry = false;
	assert_int_equal(tell(&play, STOP_UNKNOWN), STOP_DO_END_FAILED);
}

/* However long each leave hangs. */
static void
test_budget(void **state)
{
	(void)state;
	for (uint32_t random = 0; random < 5000; random += 7) {
		struct play play = leaving(1);

		play.event.random = random;
		while (play.step.action == STOP_DO_LEAVE) {
			play.event.now_ms += play.step.ms;
			if (tell(&play, STOP_UNKNOWN) != STOP_DO_PAUSE)
				break;
			play.event.now_ms += play.step.ms;
			tell(&play, STOP_TIME);
		}
		assert_int_equal(play.step.action, STOP_DO_END_FAILED);
		assert_true(play.event.now_ms - T0 <= STOP_BUDGET_MS);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ends_at_once),
		cmocka_unit_test(test_three_leaves_on_three_hosts),
		cmocka_unit_test(test_one_host_is_given_time),
		cmocka_unit_test(test_gone_after_an_unclear_leave_is_stopped),
		cmocka_unit_test(
		    test_gone_after_a_leave_that_was_not_sent_is_gone),
		cmocka_unit_test(test_later),
		cmocka_unit_test(
		    test_shut_hosts_are_passed_over_unless_all_are),
		cmocka_unit_test(test_no_retries_left),
		cmocka_unit_test(test_budget),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
