/* Hosts that are shut for a while, and the bucket of retries. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/health.h"

#define HOST "https://a.example/api"
#define T0 5000

static struct health
failed(int times)
{
	struct health health = { 0 };

	for (int i = 0; i < times; i++) {
		health_call(&health, HOST, T0);
		health_result(&health, HOST, false, T0);
	}
	return health;
}

static void
test_shut_after_failures_in_a_row(void **state)
{
	struct health health = failed(HEALTH_FAILURES - 1);

	(void)state;
	assert_true(health_open(&health, HOST, T0));
	health_result(&health, HOST, true, T0);
	health_result(&health, HOST, false, T0);
	assert_true(health_open(&health, HOST, T0));

	health = failed(HEALTH_FAILURES);
	assert_false(health_open(&health, HOST, T0));
	assert_false(health_open(&health, HOST, T0 + HEALTH_SHUT_MS - 1));
	assert_true(health_open(&health, HOST, T0 + HEALTH_SHUT_MS));
	assert_true(health_open(&health, "https://b.example", T0));
}

static void
test_one_trial_at_a_time(void **state)
{
	struct health health = failed(HEALTH_FAILURES);
	int64_t now = T0 + HEALTH_SHUT_MS;

	(void)state;
	health_call(&health, HOST, now);
	assert_false(health_open(&health, HOST, now));
	/* Its failure does not add to the time. */
	health_result(&health, HOST, false, now + 8000);
	assert_true(health_open(&health, HOST, now + HEALTH_SHUT_MS));
	health_call(&health, HOST, now + HEALTH_SHUT_MS);
	health_result(&health, HOST, true, now + HEALTH_SHUT_MS + 1);
	assert_true(health_open(&health, HOST, now + HEALTH_SHUT_MS + 1));
}

static void
test_late_failures_do_not_keep_it_shut(void **state)
{
	struct health health = failed(HEALTH_FAILURES);

	(void)state;
	health_result(&health, HOST, false, T0 + HEALTH_SHUT_MS - 1);
	assert_true(health_open(&health, HOST, T0 + HEALTH_SHUT_MS));
}

static void
test_old_hosts_make_room(void **state)
{
	struct health health = failed(HEALTH_FAILURES);
	char base[32];

	(void)state;
	for (int i = 0; i < HEALTH_HOSTS_MAX; i++) {
		snprintf(base, sizeof(base), "https://%d.example", i);
		health_result(&health, base, false, T0);
	}
	assert_true(health_open(&health, HOST, T0)); /* forgotten */
}

static void
test_one_retry_in_ten(void **state)
{
	struct health health = { 0 };
	int retries = 0;

	(void)state;
	for (; health_may_retry(&health); retries++)
		health_retry(&health);
	assert_int_equal(retries, HEALTH_RETRIES);
	for (int calls = 0; calls < 1000; calls++) {
		health_result(&health, HOST, true, T0);
		if (health_may_retry(&health)) {
			health_retry(&health);
			retries++;
		}
	}
	assert_int_equal(retries, HEALTH_RETRIES + 100);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shut_after_failures_in_a_row),
		cmocka_unit_test(test_one_trial_at_a_time),
		cmocka_unit_test(test_late_failures_do_not_keep_it_shut),
		cmocka_unit_test(test_old_hosts_make_room),
		cmocka_unit_test(test_one_retry_in_ten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
