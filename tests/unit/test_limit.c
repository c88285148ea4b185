#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/limit.h"
#include "common/shared.h"

#define NOW INT64_C(1000000) /* any time */
#define MINUTE INT64_C(60000)

static const struct limit six = { .count = 6, .seconds = 60 };

static int
open_table(void **state)
{
	*state = shared_open(NULL, NULL);
	return *state != NULL ? 0 : -1;
}

static int
close_table(void **state)
{
	shared_close(*state);
	return 0;
}

static void
limit_parse_takes_two_numbers(void **state)
{
	static const char *const bad[] = { "", "/", "6", "6/", "/60", "6/60/1",
		"6:60", "0/60", "6/0", "-6/60", "6/-60", " 6/60", "6/60 ",
		"6 /60", "+6/60", "06/60", "6/60s", "1000001/1", "1/86401",
		"99999999999999999999/1", "6.5/60" };
	struct limit limit = { 0 };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (limit_parse(bad[i], &limit) != -1)
			fail_msg("\"%s\" was taken", bad[i]);
	assert_int_equal(limit.count, 0);
	assert_int_equal(limit_parse("6/60", &limit), 0);
	assert_int_equal(limit.count, 6);
	assert_int_equal(limit.seconds, 60);
	assert_int_equal(limit_parse("1000000/86400", &limit), 0);
	assert_int_equal(limit.count, LIMIT_COUNT_MAX);
	assert_int_equal(limit.seconds, LIMIT_SECONDS_MAX);
}

static void
so_many_at_once_then_evenly(void **state)
{
	int64_t wait;

	for (int i = 0; i < 6; i++)
		assert_int_equal(limit_take(&six, *state, 7, NOW), 0);
	wait = limit_take(&six, *state, 7, NOW);
	assert_int_equal(wait, 10000);
	assert_int_not_equal(limit_take(&six, *state, 7, NOW + 9999), 0);
	assert_int_equal(limit_take(&six, *state, 7, NOW + wait), 0);
	assert_int_not_equal(limit_take(&six, *state, 7, NOW + wait), 0);
	assert_int_equal(limit_take(&six, *state, 8, NOW), 0); /* another */
}

static void
refusals_cost_nothing(void **state)
{
	for (int i = 0; i < 100; i++)
		limit_take(&six, *state, 7, NOW);
	assert_int_equal(limit_take(&six, *state, 7, NOW + 10001), 0);
}

static void
all_may_come_again_after_the_time(void **state)
{
	for (int round = 0; round < 3; round++) {
		int64_t now = NOW + round * MINUTE;

		for (int i = 0; i < 6; i++)
			assert_int_equal(limit_take(&six, *state, 7, now), 0);
		assert_int_not_equal(limit_take(&six, *state, 7, now), 0);
	}
}

/* In any time, whatever the pace: what comes at once, and the rate. */
static void
the_rate_is_kept(void **state)
{
	static const struct limit limits[] = { { 1, 1 }, { 7, 3 }, { 3, 7 },
		{ 1000, 1 }, { 1000000, 1 }, { 1000000, 86400 } };

	(void)state;
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		struct shared *shared = shared_open(NULL, NULL);
		int64_t taken = 0, most;

		for (int64_t ms = 0; ms < 20000; ms++)
			if (limit_take(&limits[i], shared, 7, NOW + ms) == 0)
				taken++;
		most = limits[i].count +
		    20000 * (int64_t)limits[i].count /
			(1000 * (int64_t)limits[i].seconds);
		if (most > 20000)
			most = 20000;
		assert_in_range(taken, most - 1, most);
		shared_close(shared);
	}
}

static void
a_time_of_another_clock_does_no_harm(void **state)
{
	assert_true(shared_swap(*state, 7, 0, SHARED_TIME(NOW * 1000)));
	assert_int_equal(limit_take(&six, *state, 7, NOW), 0);
	assert_true(shared_swap(*state, 8, 0, UINT64_MAX));
	assert_int_equal(limit_take(&six, *state, 8, NOW), 0);
	for (int i = 0; i < 5; i++)
		assert_int_equal(limit_take(&six, *state, 8, NOW), 0);
	assert_int_not_equal(limit_take(&six, *state, 8, NOW), 0);
}

static void
a_shorter_limit_counts_at_once(void **state)
{
	static const struct limit hour = { .count = 6, .seconds = 3600 };

	for (int i = 0; i < 6; i++)
		assert_int_equal(limit_take(&hour, *state, 7, NOW), 0);
	assert_int_equal(limit_take(&six, *state, 7, NOW), 0);
}

/* Key 0 is what shared_key() gives without memory: it cannot be written. */
static void
a_table_that_cannot_be_written_limits_nobody(void **state)
{
	for (int i = 0; i < 20; i++)
		assert_int_equal(limit_take(&six, *state, 0, NOW), 0);
}

/* Children that take at the same time; returns how many times they could. */
static int
take_together(const char *folder, int children, int times)
{
	int taken = 0, status;

	for (int i = 0; i < children; i++) {
		if (fork() == 0) {
			struct shared *shared = shared_open(folder, NULL);
			int got = 0;

			for (int j = 0; j < times; j++)
				got += limit_take(&six, shared, 7, NOW) == 0;
			shared_close(shared);
			_exit(got);
		}
	}
	for (int i = 0; i < children; i++) {
		wait(&status);
		assert_true(WIFEXITED(status));
		taken += WEXITSTATUS(status);
	}
	return taken;
}

static void
processes_count_together(void **state)
{
	char parent[] = "/tmp/test_limit.XXXXXX", folder[64], file[96];

	(void)state;
	assert_non_null(mkdtemp(parent));
	snprintf(folder, sizeof(folder), "%s/state", parent);
	assert_int_equal(take_together(folder, 10, 20), 6);
	snprintf(file, sizeof(file), "%s/agora-agent.shared", folder);
	unlink(file);
	snprintf(file, sizeof(file), "%s/agora-agent.lock", folder);
	unlink(file);
	rmdir(folder);
	rmdir(parent);
}

#define TEST(name)                                                             \
	cmocka_unit_test_setup_teardown(name, open_table, close_table)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(limit_parse_takes_two_numbers),
		TEST(so_many_at_once_then_evenly),
		TEST(refusals_cost_nothing),
		TEST(all_may_come_again_after_the_time),
		TEST(the_rate_is_kept),
		TEST(a_time_of_another_clock_does_no_harm),
		TEST(a_shorter_limit_counts_at_once),
		TEST(a_table_that_cannot_be_written_limits_nobody),
		TEST(processes_count_together),
	};

	return cmocka_run_group_tests_name("limit", tests, NULL, NULL);
}
