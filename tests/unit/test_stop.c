/*
 * Stops of agents, from the outcome of each call to what the caller is told.
 */
#include "tests/unit/wire.h"

#include "common/stop.h"
#include "common/stop_policy.h"

#define ID "1NT29X"
#define LEAVE "/agents/" ID "/leave"
#define NO_TASK "{\"detail\":\"task not found\",\"reason\":\"TaskNotFound\"}"
#define QUITTING                                                               \
	"{\"reason\":\"InvalidRequest\",\"detail\":\"The task is already in "  \
	"the process of shutting down\"}"

static struct settings settings;

static struct told {
	int times;
	bool stopped;
	struct fail fail;
} told;

static int
setup(void **state)
{
	(void)state;
	wire_reset();
	settings = wire_settings();
	told = (struct told){ 0 };
	return 0;
}

static void
done(void *arg, const struct fail *fail)
{
	assert_ptr_equal(arg, &told);
	told.times++;
	told.stopped = fail == NULL;
	if (fail != NULL)
		told.fail = *fail;
}

static int
try_to_begin(const char *id, int64_t budget_ms, struct fail *fail)
{
	return stop_begin(&agora, &settings, id, 0, WIRE_NOW, budget_ms, done,
	    &told, fail);
}

/* A stop whose first leave is on its way. */
static void
begin(void)
{
	assert_int_equal(try_to_begin(ID, STOP_BUDGET_MS, NULL), 0);
	assert_int_equal(wire.sent, 0); /* from the loop */
	assert_int_equal(agora_working(&agora), 1);
	assert_int_equal(wire.shares, 1);
	wire_pass(0);
}

static void
expect_stopped(void)
{
	assert_int_equal(told.times, 1);
	assert_true(told.stopped);
	wire_expect_nothing();
}

static void
expect_failed(enum fail_kind kind)
{
	assert_int_equal(told.times, 1);
	assert_false(told.stopped);
	assert_int_equal(told.fail.kind, kind);
	assert_int_not_equal(told.fail.text[0], '\0');
	wire_expect_nothing();
}

static void
test_stopped(void **state)
{
	const struct wire_call *call;

	(void)state;
	begin();
	call = wire_expect("POST",
	    "https://api-us-west-1.agora.io/api/conversational-ai-agent/v2/"
	    "projects/" WIRE_APP_ID LEAVE);
	assert_int_equal(call->timeout_ms, STOP_LEAVE_MS);
	assert_string_equal(call->body, "");
	assert_memory_equal(call->authorization, "agora token=007", 15);
	wire_reply(200, "{}");
	expect_stopped();
}

static void
test_shutting_down_already(void **state)
{
	(void)state;
	begin();
	wire_reply(400, QUITTING);
	expect_stopped();
}

static void
test_no_such_agent(void **state)
{
	(void)state;
	begin();
	wire_reply(404, NO_TASK);
	expect_failed(FAIL_NOT_FOUND);
	assert_int_equal(told.fail.upstream_status, 404);
}

/* Our own unclear leave may have been what ended it. */
static void
test_no_such_agent_after_an_unclear_leave(void **state)
{
	static const int unclear[] = { 500, 502, 504, 0 };

	for (size_t i = 0; i < sizeof(unclear) / sizeof(unclear[0]); i++) {
		setup(state);
		begin();
		if (unclear[i] == 0)
			wire_break(HTTP_BROKEN);
		else
			wire_reply(unclear[i], "");
		wire_pass(1500);
		wire_reply(404, NO_TASK);
		expect_stopped();
	}
}

/* A leave that provably did nothing, or came too early, explains no 404. */
static void
test_no_such_agent_after_a_leave_that_did_nothing(void **state)
{
	(void)state;
	begin();
	wire_break(HTTP_NOT_SENT);
	wire_pass(250);
	wire_reply(503, "");
	wire_pass(3500);
	wire_reply(404, NO_TASK);
	expect_failed(FAIL_NOT_FOUND);
}

static void
test_refusals_are_final(void **state)
{
	static const int refusals[] = { 302, 400, 401, 403, 405, 413, 422 };

	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		setup(state);
		begin();
		wire_reply(refusals[i], "");
		expect_failed(FAIL_UPSTREAM);
		assert_int_equal(told.fail.upstream_status, refusals[i]);
	}
	setup(state);
	begin();
	wire_reply(404, "no Route matched"); /* a gateway's, not Agora's */
	expect_failed(FAIL_UPSTREAM);
	setup(state);
	begin();
	wire_break(HTTP_UNTRUSTED);
	expect_failed(FAIL_UPSTREAM);
}

/* Everything else is tried again, on the next host, with a new token. */
static void
test_hosts_in_turn(void **state)
{
	static const char *const host[] = { "https://api-us-west-1.agora.io/",
		"https://api-us-east-1.agora.io/",
		"https://api-us-west-1.sd-rtn.com/" };
	char before[1024] = "";

	(void)state;
	begin();
	for (size_t i = 0; i < STOP_LEAVES_MAX; i++) {
		const struct wire_call *call = wire_expect("POST", LEAVE);

		assert_memory_equal(call->url, host[i], strlen(host[i]));
		assert_string_not_equal(call->authorization, before);
		memcpy(before, call->authorization, sizeof(before));
		assert_int_equal(told.times, 0);
		wire_reply(500, "");
		wire_pass(3500);
	}
	expect_failed(FAIL_UPSTREAM);
	assert_int_equal(told.fail.upstream_status, 500);
	assert_int_equal(wire.sent, STOP_LEAVES_MAX);
}

static void
test_one_fixed_host(void **state)
{
	static char base[] = "https://127.0.0.1:8443/x";

	(void)state;
	settings.api_base_url = base;
	begin();
	wire_expect("POST",
	    "https://127.0.0.1:8443/x/v2/projects/" WIRE_APP_ID LEAVE);
	wire_break(HTTP_NOT_SENT);
	wire_pass(1500);
	wire_expect("POST",
	    "https://127.0.0.1:8443/x/v2/projects/" WIRE_APP_ID LEAVE);
	wire_reply(200, "{}");
	expect_stopped();
}

static void
test_retry_after(void **state)
{
	struct http_result later = wire_answer(429, "");

	(void)state;
	begin();
	later.retry_after = 2;
	wire_end_call(0, later);
	wire_pass(1999);
	assert_int_equal(wire.calls, 0);
	wire_pass(501);
	wire_expect("POST", LEAVE);
	later.retry_after = 4; /* longer than we wait */
	wire_end_call(0, later);
	expect_failed(FAIL_UPSTREAM);
	assert_int_equal(told.fail.retry_after, 4);
}

static void
test_budget(void **state)
{
	(void)state;
	assert_int_equal(try_to_begin(ID, 6000, NULL), 0);
	wire_pass(0);
	assert_int_equal(wire_expect("POST", LEAVE)->timeout_ms, 4000);
	wire_pass(2500);
	wire_break(HTTP_BROKEN);
	wire_pass(250);
	/* Clipped to what is left. */
	assert_in_range(wire_expect("POST", LEAVE)->timeout_ms, 3250, 3500);
	wire_pass(3000);
	wire_break(HTTP_BROKEN);
	expect_failed(FAIL_UPSTREAM);
	assert_int_equal(told.fail.upstream_status, 504);
}

static void
test_no_retries_left(void **state)
{
	(void)state;
	for (int i = 0; i < HEALTH_RETRIES; i++)
		health_retry(&agora.health);
	begin();
	wire_break(HTTP_BROKEN);
	expect_failed(FAIL_UPSTREAM);
}

static void
test_ids_that_are_not_legal(void **state)
{
	static const char *const ids[] = { "", ".", "..", "a/b", "a b", "%2e",
		"a\n", "\xc3\xa4" };
	char id[AGORA_ID_SIZE + 1];
	struct fail fail;

	(void)state;
	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		fail = (struct fail){ 0 };
		assert_int_equal(try_to_begin(ids[i], 1, &fail), -1);
		assert_int_equal(fail.kind, FAIL_BAD_INPUT);
	}
	memset(id, 'a', AGORA_ID_SIZE);
	id[AGORA_ID_SIZE] = '\0';
	assert_int_equal(try_to_begin(id, 1, &fail), -1);
	wire_expect_nothing();
	assert_int_equal(told.times, 0);
}

static void
test_the_longest_id(void **state)
{
	char id[AGORA_ID_SIZE], path[AGORA_ID_SIZE + 32];

	(void)state;
	memset(id, 'a', AGORA_ID_SIZE - 1);
	id[AGORA_ID_SIZE - 1] = '\0';
	assert_int_equal(try_to_begin(id, STOP_BUDGET_MS, NULL), 0);
	wire_pass(0);
	snprintf(path, sizeof(path), "/agents/%s/leave", id);
	wire_expect("POST", path);
	wire_reply(200, "");
	expect_stopped();
}

/* From the n-th allocation on there is no memory: told, or never begun. */
static void
test_no_memory(void **state)
{
	for (int from = 1; from <= 7; from++) {
		struct fail fail = { 0 };

		setup(state);
		wire.no_memory_from = from;
		if (try_to_begin(ID, STOP_BUDGET_MS, &fail) == -1) {
			assert_int_equal(fail.kind, FAIL_INTERNAL);
			assert_int_equal(told.times, 0);
			wire_expect_nothing();
			continue;
		}
		wire_pass(0);
		while (wire.calls > 0) {
			wire_break(HTTP_BROKEN);
			wire_pass(3500);
		}
		wire_pass(STOP_BUDGET_MS);
		expect_failed(from < 7 ? FAIL_INTERNAL : FAIL_UPSTREAM);
	}
}

static void
test_no_random_numbers(void **state)
{
	(void)state;
	wire.no_random = true;
	begin();
	wire_pass(STOP_BUDGET_MS);
	assert_int_equal(wire.sent, 0);
	expect_failed(FAIL_INTERNAL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_stopped, setup),
		cmocka_unit_test_setup(test_shutting_down_already, setup),
		cmocka_unit_test_setup(test_no_such_agent, setup),
		cmocka_unit_test(test_no_such_agent_after_an_unclear_leave),
		cmocka_unit_test_setup(
		    test_no_such_agent_after_a_leave_that_did_nothing, setup),
		cmocka_unit_test(test_refusals_are_final),
		cmocka_unit_test_setup(test_hosts_in_turn, setup),
		cmocka_unit_test_setup(test_one_fixed_host, setup),
		cmocka_unit_test_setup(test_retry_after, setup),
		cmocka_unit_test_setup(test_budget, setup),
		cmocka_unit_test_setup(test_no_retries_left, setup),
		cmocka_unit_test_setup(test_ids_that_are_not_legal, setup),
		cmocka_unit_test_setup(test_the_longest_id, setup),
		cmocka_unit_test(test_no_memory),
		cmocka_unit_test_setup(test_no_random_numbers, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
