/*
 * Claims of starts on one name, in one process and in several.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/claim.h"
#include "common/fail.h"
#include "common/shared.h"

#define CERTIFICATE "5CFd2fd1755d40ecb72977518be15d3b"
#define T0 1000000

static char folder[64]; /* of the table */
static struct shared *shared;

static int
setup(void **state)
{
	struct fail fail = { 0 };

	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/test_claim.XXXXXX");
	if (mkdtemp(folder) == NULL)
		return -1;
	shared = shared_open(folder, &fail);
	return shared == NULL;
}

static int
teardown(void **state)
{
	char file[96];

	(void)state;
	shared_close(shared);
	snprintf(file, sizeof(file), "%s/agora-agent.shared", folder);
	unlink(file);
	snprintf(file, sizeof(file), "%s/agora-agent.lock", folder);
	unlink(file);
	return rmdir(folder);
}

static struct claim
claim_of(const char *name, uint32_t random)
{
	struct claim claim;

	claim_take(&claim, shared, CERTIFICATE, name, T0, random << 12);
	return claim;
}

static enum start_others
others(const struct claim *claim, const char *agent_id)
{
	return claim_others(claim, agent_id, T0);
}

static void
test_alone(void **state)
{
	struct claim claim = claim_of("n", 1);

	(void)state;
	assert_int_equal(others(&claim, ""), START_OTHERS_NONE);
	assert_int_equal(others(&claim, "A1"), START_OTHERS_NONE);
	claim_stop(&claim, "A1", T0);
	assert_int_equal(others(&claim, "A1"), START_OTHERS_NONE);
	claim_stop(&claim, "A1", T0 + 1); /* tries again */
	assert_int_equal(others(&claim, "A1"), START_OTHERS_NONE);
}

static void
test_others_try(void **state)
{
	struct claim one = claim_of("n", 1), two = claim_of("n", 2);
	struct claim elsewhere = claim_of("other name", 3);

	(void)state;
	assert_int_equal(others(&one, ""), START_OTHERS_TRY);
	assert_int_equal(others(&two, "A1"), START_OTHERS_TRY);
	assert_int_equal(others(&elsewhere, ""), START_OTHERS_NONE);
	claim_drop(&one);
	claim_drop(&one); /* twice is fine */
	assert_int_equal(others(&two, ""), START_OTHERS_NONE);
	assert_int_equal(others(&one, ""), START_OTHERS_TRY);
}

static void
test_others_have(void **state)
{
	struct claim one = claim_of("n", 1), two = claim_of("n", 2);
	struct claim three = claim_of("n", 3);

	(void)state;
	claim_have(&one, "A1", T0);
	claim_have(&two, "A1", T0);
	claim_drop(&one);
	claim_drop(&two);
	assert_int_equal(others(&three, "A1"), START_OTHERS_HAVE);
	assert_int_equal(others(&three, "A2"), START_OTHERS_NONE);
	assert_int_equal(others(&three, ""), START_OTHERS_NONE);
	/* For as long as it may run. */
	assert_int_equal(claim_others(&three, "A1", T0 + 86400000),
	    START_OTHERS_HAVE);
}

static void
test_others_stop(void **state)
{
	struct claim one = claim_of("n", 1), two = claim_of("n", 2);

	(void)state;
	claim_drop(&one);
	claim_stop(&one, "A1", T0);
	assert_int_equal(others(&two, "A1"), START_OTHERS_STOP);
	assert_int_equal(others(&two, "A2"), START_OTHERS_NONE);
	/* The second leaves the first one's word alone. */
	claim_stop(&two, "A1", T0);
	assert_int_equal(others(&two, "A1"), START_OTHERS_STOP);
	claim_stop_not(&two);
	assert_int_equal(others(&two, "A1"), START_OTHERS_STOP);
	claim_stop_not(&one);
	assert_int_equal(others(&two, "A1"), START_OTHERS_NONE);
	claim_stop(&two, "A1", T0);
	assert_int_equal(others(&one, "A1"), START_OTHERS_STOP);
}

static void
test_more_starts_than_places(void **state)
{
	struct claim claim[CLAIM_TRIES + 3];
	size_t count = sizeof(claim) / sizeof(claim[0]);

	(void)state;
	for (size_t i = 0; i < count; i++)
		claim[i] = claim_of("n", (uint32_t)i + 1);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(others(&claim[i], ""), START_OTHERS_TRY);
	for (size_t i = 0; i < count; i++)
		claim_drop(&claim[i]);
	assert_int_equal(others(&claim[0], ""), START_OTHERS_NONE);
}

static void
test_no_table(void **state)
{
	struct claim claim;

	(void)state;
	claim_take(&claim, NULL, CERTIFICATE, "n", T0, 1);
	claim_have(&claim, "A1", T0);
	claim_stop(&claim, "A1", T0);
	assert_int_equal(others(&claim, "A1"), START_OTHERS_NONE);
	claim_stop_not(&claim);
	claim_drop(&claim);
}

/* ---- processes ---------------------------------------------------------- */

/* Runs ${what} in a process that opens the table itself, and is killed. */
static void
in_another_process(void (*what)(void))
{
	pid_t pid = fork();
	int status;

	assert_true(pid != -1);
	if (pid == 0) {
		shared = shared_open(folder, NULL);
		if (shared != NULL)
			what();
		kill(getpid(), SIGKILL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
}

static void
try_and_die(void)
{
	(void)claim_of("n", 7);
}

static void
have_and_die(void)
{
	struct claim claim = claim_of("n", 7);

	claim_have(&claim, "A1", T0);
}

static void
stop_and_die(void)
{
	struct claim claim = claim_of("n", 7);

	claim_drop(&claim);
	claim_stop(&claim, "A1", T0);
}

static void
test_other_processes(void **state)
{
	struct claim claim = claim_of("n", 1);

	(void)state;
	in_another_process(stop_and_die);
	assert_int_equal(others(&claim, "A1"), START_OTHERS_STOP);
	in_another_process(try_and_die);
	assert_int_equal(others(&claim, "A2"), START_OTHERS_TRY);
	in_another_process(have_and_die);
	assert_int_equal(others(&claim, "A1"), START_OTHERS_HAVE);
}

/* What a killed process was about to do is forgotten after a while. */
static void
test_claims_of_the_killed_expire(void **state)
{
	struct claim claim = claim_of("n", 1);

	(void)state;
	in_another_process(try_and_die);
	assert_int_equal(claim_others(&claim, "", T0 + START_BUDGET_MS),
	    START_OTHERS_TRY);
	assert_int_equal(claim_others(&claim, "", T0 + START_BUDGET_MS + 2001),
	    START_OTHERS_NONE);

	in_another_process(stop_and_die);
	assert_int_equal(claim_others(&claim, "A1", T0 + 15000),
	    START_OTHERS_STOP);
	claim_stop(&claim, "A1", T0 + 30000); /* and taken over */
	assert_int_equal(claim_others(&claim, "A1", T0 + 30000),
	    START_OTHERS_NONE);
	assert_true(claim.stop_mine != 0);
}

#define RACES 300

/* Whether one that stops an agent saw nobody. */
static bool
race_to_stop(void)
{
	struct claim claim = claim_of("n", 1);

	claim_drop(&claim);
	claim_stop(&claim, "A1", T0);
	return others(&claim, "A1") == START_OTHERS_NONE;
}

/* Whether one that finds the agent tells its client of it. */
static bool
race_to_have(void)
{
	struct claim claim = claim_of("n", 2);
	bool free = others(&claim, "A1") != START_OTHERS_STOP;

	if (free)
		claim_have(&claim, "A1", T0);
	claim_drop(&claim);
	return free;
}

/* Of two processes that act at the same time, at least one sees the other. */
static void
test_race(void **state)
{
	int stopped = 0, had = 0;

	for (int i = 0; i < RACES; i++) {
		pid_t pid = fork();
		bool mine, theirs;
		int status;

		assert_true(pid != -1);
		if (pid == 0) {
			bool alone;

			shared_close(shared);
			shared = shared_open(folder, NULL);
			alone = shared != NULL && race_to_stop();
			shared_close(shared);
			_exit(alone);
		}
		usleep((useconds_t)(i % 30) * 100);
		mine = race_to_have();
		assert_int_equal(waitpid(pid, &status, 0), pid);
		theirs = WEXITSTATUS(status) != 0;
		assert_false(mine && theirs);
		stopped += theirs;
		had += mine;
		teardown(state);
		setup(state);
	}
	assert_true(stopped + had > 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(test_alone),
		TEST(test_others_try),
		TEST(test_others_have),
		TEST(test_others_stop),
		TEST(test_more_starts_than_places),
		TEST(test_no_table),
		TEST(test_other_processes),
		TEST(test_claims_of_the_killed_expire),
		TEST(test_race),
#undef TEST
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
