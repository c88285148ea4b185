/*
 * Starts of agents, from the outcome of each call to what the client is told
 * and what is cleaned up behind its back.
 */
#include "tests/unit/wire.h"
#include "tests/unit/one_agent.h"

#include "common/agent.h"
#include "common/region.h"
#include "common/shared.h"
#include "common/start.h"
#include "common/start_policy.h"
#include "common/stop_policy.h"

#define NAME "agent_room_58888506"
#define FOREIGN_NAME NAME "_1770199740"
#define JOIN "/join"
#define NAMED(status) "{\"status\":\"" status "\",\"name\":\"" NAME "\"}"
#define RUNNING_OLD "{\"status\":\"RUNNING\",\"start_ts\":", "}"
#define LIST_RUNNING "/agents?channel=room&state=2"
#define LIST_STARTING "/agents?channel=room&state=1"
#define JOINED "{\"agent_id\":\"A1\",\"status\":\"RUNNING\"}"
#define CONFLICT_A2 "{\"reason\":\"TaskConflict\",\"agent_id\":\"A2\"}"
#define NO_TASK "{\"detail\":\"task not found\",\"reason\":\"TaskNotFound\"}"
#define NONE "{\"data\":{\"list\":[]}}"
#define IDLE_MS 60000 /* by then everything is over */

static struct settings settings;

/* A client, and what it was told. */
struct client {
	struct start *start;
	bool gone; /* does not take the answer */
	int answers;
	char agent_id[AGORA_ID_SIZE];
	struct fail fail;
};

static struct client client;

/* Set by a test for its starts: a name that we have not issued. */
static bool foreign_channel;

static int
setup(void **state)
{
	(void)state;
	wire_reset();
	settings = wire_settings();
	one_agent_make(&settings);
	client = (struct client){ 0 };
	foreign_channel = false;
	return 0;
}

static bool
answer(void *arg, const char *agent_id, const struct fail *fail)
{
	struct client *told = arg;

	told->answers++;
	if (fail != NULL)
		told->fail = *fail;
	else
		snprintf(told->agent_id, sizeof(told->agent_id), "%s",
		    agent_id);
	return !told->gone;
}

static int
try_to_begin(struct client *of, struct fail *fail)
{
	const struct agent_start agent = { .agent = one_agent,
		.channel = "room",
		.agent_uid = "58888506",
		.user_uid = "1234567",
		.own_channel = !foreign_channel };

	of->start = start_begin(&agora, &settings, &agent, WIRE_NOW, "req1",
	    answer, of, fail);
	return of->start == NULL ? -1 : 0;
}

static const struct wire_call *
expect_join(const char *name)
{
	const struct wire_call *call = wire_expect("POST", JOIN);
	char member[AGENT_NAME_SIZE + 16];

	snprintf(member, sizeof(member), "\"name\":\"%s\"", name);
	if (strstr(call->body, member) == NULL)
		fail_msg("%s is not in %s", member, call->body);
	return call;
}

/* A start whose first join is on its way. */
static void
begin(void)
{
	struct fail fail = { 0 };

	assert_int_equal(try_to_begin(&client, &fail), 0);
	assert_int_equal(wire.sent, 0); /* from the loop */
	assert_int_equal(agora_working(&agora), 1);
	assert_int_equal(wire.shares, 1);
	wire_pass(0);
	assert_false(expect_join(foreign_channel ? FOREIGN_NAME : NAME)->fresh);
}

/* The same, on one fixed host. */
static void
begin_on_one_host(void)
{
	static char base[] = "https://127.0.0.1:8443/x";

	settings.api_base_url = base;
	begin();
}

static void
expect_started(const char *id)
{
	assert_int_equal(client.answers, 1);
	assert_string_equal(client.agent_id, id);
	assert_int_equal(wire.orphans, 0);
	wire_expect_nothing();
}

static void
expect_told_of_failure(int status)
{
	assert_int_equal(client.answers, 1);
	assert_string_equal(client.agent_id, "");
	assert_int_equal(client.fail.kind, FAIL_UPSTREAM);
	assert_int_equal(client.fail.upstream_status, status);
	assert_int_not_equal(client.fail.text[0], '\0');
}

static void
expect_failed(int status)
{
	expect_told_of_failure(status);
	assert_int_equal(wire.orphans, 0);
	wire_expect_nothing();
}

/* ---- what a join ends with ---------------------------------------------- */

static void
test_joined(void **state)
{
	const struct wire_call *call;

	(void)state;
	begin();
	call = wire_expect("POST",
	    "https://api-us-west-1.agora.io/api/conversational-ai-agent/v2/"
	    "projects/" WIRE_APP_ID JOIN);
	assert_int_equal(call->timeout_ms, START_JOIN_MS);
	assert_non_null(strstr(call->body, "\"OPUS\""));
	wire_reply(200, JOINED);
	expect_started("A1");
}

static void
test_answer_comes_from_the_loop(void **state)
{
	(void)state;
	assert_int_equal(try_to_begin(&client, NULL), 0);
	assert_int_equal(client.answers, 0);
	wire_pass(0);
	wire_reply(200, JOINED);
	expect_started("A1");
}

/* Refused for good: told at once, nothing is tried again or looked for. */
static void
test_refusals_are_final(void **state)
{
	static const int refusals[] = { 302, 400, 401, 403, 404, 405, 413,
		422 };

	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		setup(state);
		begin();
		wire_reply(refusals[i], "{\"reason\":\"No\"}");
		expect_failed(refusals[i]);
		assert_string_equal(client.fail.upstream_reason, "No");
		assert_int_equal(wire.sent, 1);
	}
	setup(state);
	begin();
	wire_break(HTTP_UNTRUSTED);
	expect_failed(502);
	assert_int_equal(wire.sent, 1);
}

/*
 * What may have worked is tried again on the same host, by the same name, but
 * not on the connection that may be why.
 */
static void
test_unknown_outcomes(void **state)
{
	static const struct {
		int status;
		const char *body;
	} rows[] = { { 500, "" }, { 502, "<html>" }, { 504, "" }, { 408, "" },
		{ 201, JOINED }, { 200, "" }, { 200, "{}" }, { 200, "<html>" },
		{ 200, "{\"agent_id\":\"../A1\"}" },
		{ 200, "{\"agent_id\":5}" }, { 500, JOINED } };
	char url[1024];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		setup(state);
		begin();
		memcpy(url, wire.call[0].url, sizeof(url));
		wire_reply(rows[i].status, rows[i].body);
		assert_int_equal(client.answers, 0);
		wire_pass(500);
		assert_string_equal(expect_join(NAME)->url, url);
		assert_true(expect_join(NAME)->fresh);
		wire_reply(200, JOINED);
		expect_started("A1");
	}
}

static void
test_no_answer_is_unknown(void **state)
{
	static const enum http_outcome outcomes[] = { HTTP_BROKEN,
		HTTP_TOO_LARGE };
	char url[1024];

	for (size_t i = 0; i < 2; i++) {
		setup(state);
		begin();
		memcpy(url, wire.call[0].url, sizeof(url));
		wire_break(outcomes[i]);
		wire_pass(500);
		assert_string_equal(expect_join(NAME)->url, url);
		wire_reply(200, JOINED);
		expect_started("A1");
	}
}

/* Provably not processed: on to the next host, each with tokens of its own. */
static void
test_hosts_in_turn(void **state)
{
	static const char *const host[] = { "https://api-us-west-1.agora.io/",
		"https://api-us-east-1.agora.io/",
		"https://api-us-west-1.sd-rtn.com/" };
	struct wire_call before = { 0 };

	(void)state;
	begin();
	for (size_t i = 0; i < START_JOINS_MAX; i++) {
		const struct wire_call *call = expect_join(NAME);

		assert_memory_equal(call->url, host[i], strlen(host[i]));
		assert_string_not_equal(call->authorization,
		    before.authorization);
		assert_string_not_equal(call->body, before.body);
		before = *call;
		assert_int_equal(client.answers, 0);
		wire_break(i == 1 ? HTTP_NO_MEMORY : HTTP_NOT_SENT);
		wire_pass(250);
	}
	expect_failed(503);
	assert_string_equal(client.fail.upstream_reason,
	    "upstream_unreachable");
}

static void
test_shut_hosts_are_passed_over(void **state)
{
	char base[REGION_URL_SIZE];

	(void)state;
	for (size_t host = 0; host < 4; host++) {
		if (host == 2)
			continue;
		region_base(&settings, host, base);
		for (int i = 0; i < HEALTH_FAILURES; i++)
			health_result(&agora.health, base, false, wire.ms);
	}
	begin();
	assert_non_null(strstr(wire.call[0].url, "us-west-1.sd-rtn.com"));
	wire_reply(200, JOINED);
	expect_started("A1");
}

static void
test_all_hosts_shut(void **state)
{
	char base[REGION_URL_SIZE];

	(void)state;
	for (size_t host = 0; host < 4; host++) {
		region_base(&settings, host, base);
		for (int i = 0; i < HEALTH_FAILURES; i++)
			health_result(&agora.health, base, false, wire.ms);
	}
	assert_int_equal(try_to_begin(&client, NULL), 0);
	wire_pass(0);
	expect_failed(503);
	assert_int_equal(wire.sent, 0);
	assert_string_equal(client.fail.upstream_reason,
	    "upstream_circuit_open");
	assert_int_equal(client.fail.retry_after, 10);
}

/* A look is no trial of a shut host: that is left to the next start. */
static void
test_looks_leave_a_shut_host_alone(void **state)
{
	static char base[] = "https://127.0.0.1:8443/x";

	(void)state;
	begin_on_one_host();
	client.gone = true;
	start_client_left(client.start);
	for (int i = 0; i < HEALTH_FAILURES - 1; i++)
		health_result(&agora.health, base, false, wire.ms);
	wire_break(HTTP_BROKEN); /* shuts it */
	assert_false(health_open(&agora.health, base, wire.ms));
	wire_pass(5000);
	wire_expect("GET", LIST_RUNNING);
	wire_reply(200, NONE);
	wire_expect("GET", LIST_STARTING);
	wire_pass(5000);
	assert_true(health_open(&agora.health, base, wire.ms));
	wire_reply(200, NONE);
	wire_pass(IDLE_MS);
	wire_expect_nothing();
}

static void
reply_later(int status, int64_t retry_after)
{
	struct http_result result = wire_answer(status, "");

	result.retry_after = retry_after;
	assert_int_equal(wire.calls, 1);
	wire_end_call(0, result);
}

static void
test_retry_after(void **state)
{
	(void)state;
	begin();
	reply_later(429, 2);
	wire_pass(1999);
	assert_int_equal(wire.calls, 0);
	wire_pass(251);
	expect_join(NAME);
	wire_reply(200, JOINED);
	expect_started("A1");
}

static void
test_retry_after_that_is_the_clients_to_wait(void **state)
{
	(void)state;
	begin();
	reply_later(429, 4);
	expect_failed(429);
	assert_int_equal(client.fail.retry_after, 4);
}

static void
test_how_often_later(void **state)
{
	(void)state;
	begin();
	reply_later(429, -1);
	wire_pass(2000);
	expect_join(NAME);
	reply_later(429, -1);
	expect_failed(429);

	setup(state);
	begin();
	reply_later(503, -1);
	wire_pass(2000);
	reply_later(503, 0);
	wire_pass(4000);
	reply_later(503, -1);
	expect_failed(503);
	assert_int_equal(wire.sent, 3);
}

static void
test_no_retries_left(void **state)
{
	(void)state;
	for (int i = 0; i < HEALTH_RETRIES; i++)
		health_retry(&agora.health);
	begin();
	wire_break(HTTP_NOT_SENT);
	expect_failed(503);
}

/* ---- conflicts, and the agent that they name ---------------------------- */

/* A start that looks at the agent which its first join collided with. */
static void
begin_and_collide(void)
{
	begin_on_one_host();
	wire_reply(409, CONFLICT_A2);
	assert_int_equal(wire_expect("GET", "/agents/A2")->timeout_ms,
	    START_QUERY_MS);
}

/* The same, after a join whose answer was lost: A2 may be its. */
static void
begin_and_collide_with_ours(void)
{
	begin_on_one_host();
	wire_break(HTTP_BROKEN);
	wire_pass(500);
	wire_reply(409, CONFLICT_A2);
	wire_expect("GET", "/agents/A2");
}

static void
test_conflicts_that_name_the_agent(void **state)
{
	static const char *const bodies[] = { CONFLICT_A2,
		"{\"taskId\":\"A2\"}",
		"{\"agent_id\":\"no/id\",\"taskId\":\"A2\"}" };

	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		setup(state);
		begin();
		wire_reply(409, bodies[i]);
		wire_expect("GET", "/agents/A2");
		wire_reply(200, NAMED("RUNNING"));
		expect_started("A2");
	}
}

static void
test_conflicts_that_name_none(void **state)
{
	static const char *const bodies[] = { "", "{}", "<html>",
		"{\"agent_id\":\"..\"}", "{\"agent_id\":7,\"taskId\":null}" };

	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		setup(state);
		begin();
		wire_reply(409, bodies[i]);
		wire_expect("GET", LIST_RUNNING);
		wire_reply(200,
		    "{\"data\":{\"list\":[{\"agent_id\":\"A2\"}]}}");
		wire_expect("GET", "/agents/A2");
		wire_reply(200,
		    "{\"status\":\"RUNNING\",\"name\":\"" NAME "\"}");
		expect_started("A2");
	}
}

static void
test_states_of_a_living_agent(void **state)
{
	static const char *const states[] = { "STARTING", "RUNNING",
		"RECOVERING" };
	char body[128];

	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
		setup(state);
		begin_and_collide();
		snprintf(body, sizeof(body),
		    "{\"name\":\"" NAME "\",\"status\":\"%s\"}", states[i]);
		wire_reply(200, body);
		expect_started("A2");
	}
}

/* A conflict says that it runs; no answer to the look takes that back. */
static void
test_unclear_looks(void **state)
{
	static const struct {
		int status;
		const char *body;
	} rows[] = { { 200, "" }, { 200, "{}" },
		{ 200, "{\"status\":\"NEW\"}" }, { 200, "{\"status\":2}" },
		{ 404, "no Route matched" }, { 403, "" }, { 429, "" },
		{ 500, "" } };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		setup(state);
		begin_and_collide();
		wire_reply(rows[i].status, rows[i].body);
		expect_started("A2");
	}
	setup(state);
	begin_and_collide();
	wire_break(HTTP_BROKEN);
	expect_started("A2");
}

/* An id lets its owner stop the agent: only of our own name it is given out. */
static void
test_conflict_with_another_name(void **state)
{
	static const char *const names[] = { "agent_other_1", NAME "_r1" };
	char body[128];

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		setup(state);
		begin_and_collide();
		snprintf(body, sizeof(body),
		    "{\"name\":\"%s\",\"status\":\"RUNNING\"}", names[i]);
		wire_reply(200, body);
		assert_int_equal(client.answers, 0);
		wire_expect("GET", LIST_RUNNING);
		wire_reply(200, NONE);
		wire_reply(200, NONE);
		wire_pass(500);
		expect_join(NAME);
		wire_reply(200, JOINED);
		expect_started("A1");
	}
}

/* Burnt names: the next one at once, on the same host. */
static void
test_names_of_dead_agents(void **state)
{
	static const struct {
		int status;
		const char *body;
	} rows[] = { { 200, "{\"status\":\"STOPPING\"}" },
		{ 200, "{\"status\":\"STOPPED\"}" },
		{ 200, "{\"status\":\"FAILED\"}" }, { 404, NO_TASK } };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		setup(state);
		begin_and_collide();
		wire_reply(rows[i].status, rows[i].body);
		expect_join(NAME "_r1");
		wire_reply(200, JOINED);
		expect_started("A1");
	}
}

/* The suffix is part of the name that an agent must have to be ours. */
static void
test_suffixes(void **state)
{
	static const char *const status[] = { "RUNNING", "STOPPED" };
	char body[128], name[64];

	(void)state;
	begin_and_collide();
	wire_reply(200, "{\"name\":\"" NAME "\",\"status\":\"STOPPED\"}");
	for (int i = 1; i <= START_SUFFIX_MAX; i++) {
		snprintf(name, sizeof(name), NAME "_r%d", i);
		expect_join(name);
		wire_reply(409, CONFLICT_A2);
		snprintf(body, sizeof(body),
		    "{\"name\":\"%s\",\"status\":\"%s\"}", name,
		    status[i < START_SUFFIX_MAX]);
		wire_reply(200, body);
	}
	expect_started("A2");
}

static void
test_more_suffixes_than_there_are(void **state)
{
	(void)state;
	begin_and_collide();
	for (int i = 0; i < START_SUFFIX_MAX; i++) {
		wire_reply(404, NO_TASK);
		wire_reply(409, CONFLICT_A2);
	}
	wire_reply(404, NO_TASK);
	expect_failed(409);
}

/* ---- lists -------------------------------------------------------------- */

/* A start that looks into the list, after a conflict without an id. */
static void
begin_and_list(void)
{
	begin_on_one_host();
	wire_reply(409, "");
	assert_int_equal(wire_expect("GET", LIST_RUNNING)->timeout_ms,
	    START_QUERY_MS);
}

static void
test_starting_agents_are_listed_apart(void **state)
{
	(void)state;
	begin_and_list();
	wire_reply(200, NONE);
	wire_expect("GET", LIST_STARTING);
	wire_reply(200, "{\"data\":{\"list\":[{\"agent_id\":\"A2\"}]}}");
	wire_expect("GET", "/agents/A2");
	wire_reply(200, NAMED("STARTING"));
	expect_started("A2");
}

static void
test_nothing_listed(void **state)
{
	(void)state;
	begin_and_list();
	wire_reply(200, NONE);
	wire_reply(200, NONE);
	wire_pass(500);
	expect_join(NAME);
	wire_reply(200, JOINED);
	expect_started("A1");
}

static void
test_lists_that_say_nothing(void **state)
{
	static const struct {
		int status;
		const char *body;
	} rows[] = { { 200, "" }, { 200, "{}" }, { 200, "{\"data\":[]}" },
		{ 200, "{\"data\":{\"list\":{}}}" }, { 500, NONE },
		{ 403, NONE }, { 404, NO_TASK },
		/* It is there, but cannot be named. */
		{ 200, "{\"data\":{\"list\":[{\"agent_id\":\"a/b\"}]}}" },
		{ 200, "{\"data\":{\"list\":[5]}}" } };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		setup(state);
		begin_and_list();
		for (int looks = 0; looks < 3; looks++) {
			wire_reply(rows[i].status, rows[i].body);
			wire_pass(500);
		}
		expect_failed(409);
	}
}

static void
test_several_listed(void **state)
{
	(void)state;
	begin_and_list();
	wire_reply(200,
	    "{\"data\":{\"list\":[{\"agent_id\":\"A2\"},"
	    "{\"agent_id\":\"A3\"}]}}");
	expect_failed(409);
	assert_string_equal(client.fail.upstream_reason, "upstream_ambiguous");
}

/* The one that is listed must have our name, and live. */
static void
test_listed_but_not_ours(void **state)
{
	static const char *const bodies[] = {
		"{\"name\":\"agent_other_1\",\"status\":\"RUNNING\"}",
		"{\"name\":\"" NAME "_r1\",\"status\":\"RUNNING\"}",
		"{\"name\":\"" NAME "\",\"status\":\"STOPPING\"}"
	};

	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		setup(state);
		begin_and_list();
		wire_reply(200,
		    "{\"data\":{\"list\":[{\"agent_id\":\"A2\"}]}}");
		wire_reply(200, bodies[i]);
		wire_expect("GET", LIST_STARTING);
		wire_reply(200, NONE);
		wire_pass(500);
		expect_join(NAME); /* nothing of ours is there */
		wire_reply(200, JOINED);
		expect_started("A1");
	}
}

/* ---- agents of an earlier time ------------------------------------------ */

/* ${born}: since the first join, by our clock; Agora's is ${ahead} s ahead. */
static void
reply_with_age(const char *before, const char *after, int64_t born,
    int64_t ahead)
{
	struct http_result result;
	char body[256];

	snprintf(body, sizeof(body), "%s%ld%s", before,
	    (long)(WIRE_NOW + born + ahead), after);
	result = wire_answer(200, body);
	result.date = WIRE_NOW + (wire.ms - WIRE_T0) / 1000 + ahead;
	assert_int_equal(wire.calls, 1);
	wire_end_call(0, result);
}

#define LISTED_OLD                                                             \
	"{\"data\":{\"list\":[{\"agent_id\":\"A2\",\"start_ts\":", "}]}}"

static void
test_old_agents_in_the_list_are_not_ours(void **state)
{
	static const int64_t ahead[] = { 0, 3600, -3600 };

	for (size_t i = 0; i < sizeof(ahead) / sizeof(ahead[0]); i++) {
		setup(state);
		foreign_channel = true;
		begin_and_list();
		reply_with_age(LISTED_OLD, -8, ahead[i]);
		wire_expect("GET", LIST_STARTING);
		reply_with_age(LISTED_OLD, 0, ahead[i]);
		wire_expect("GET", "/agents/A2");
		wire_reply(200,
		    "{\"status\":\"RUNNING\",\"name\":\"" FOREIGN_NAME "\"}");
		expect_started("A2");
	}
}

/* A channel of our own has one user: who starts again gets the same agent. */
static void
test_old_agents_of_an_own_channel_are_found(void **state)
{
	(void)state;
	begin_and_list();
	reply_with_age(LISTED_OLD, -1000, 0);
	wire_expect("GET", "/agents/A2");
	reply_with_age("{\"status\":\"RUNNING\",\"name\":\"" NAME
		       "\",\"start_ts\":",
	    "}", -1000, 0);
	expect_started("A2");
}

/* What is merely listed may be anybody's, as long as it has no name. */
static void
test_listed_agent_without_a_name(void **state)
{
	(void)state;
	begin_and_list();
	for (int looks = 0; looks < 3; looks++) {
		wire_reply(200,
		    "{\"data\":{\"list\":[{\"agent_id\":\"A2\"}]}}");
		wire_reply(200, "{\"status\":\"RUNNING\"}");
		wire_pass(500);
	}
	expect_failed(409);
}

/* Shared with the client, if it was there before; but not ours to stop. */
static void
test_old_agents_are_not_stopped(void **state)
{
	static const int64_t ahead[] = { 0, 3600, -3600 };

	for (size_t i = 0; i < sizeof(ahead) / sizeof(ahead[0]); i++) {
		setup(state);
		client.gone = true;
		begin_and_collide_with_ours();
		reply_with_age(RUNNING_OLD, -8, ahead[i]);
		expect_started("A2");

		setup(state);
		client.gone = true;
		begin_and_collide_with_ours();
		reply_with_age(RUNNING_OLD, 0, ahead[i]);
		wire_pass(0);
		wire_expect("POST", "/agents/A2/leave");
		wire_reply(200, "");
		expect_started("A2");
	}
}

/* The time that the answer took does not make an agent younger. */
static void
test_old_agent_in_a_late_answer(void **state)
{
	struct http_result result;
	char body[128];

	(void)state;
	client.gone = true;
	begin_and_collide_with_ours();
	snprintf(body, sizeof(body),
	    "{\"status\":\"RUNNING\",\"start_ts\":%ld}", (long)WIRE_NOW - 8);
	result = wire_answer(200, body);
	result.date = WIRE_NOW + (wire.ms - WIRE_T0) / 1000;
	wire_pass(2900);
	wire_end_call(0, result);
	expect_started("A2");
}

/* ---- time --------------------------------------------------------------- */

/* Ends every call as it would on a bad day, until nothing is left to do. */
static void
run_to_the_end(void)
{
	for (int i = 0; i < 200 && agora_working(&agora) > 0; i++) {
		if (wire.calls > 0)
			wire_end_call(0, wire_outcome(HTTP_BROKEN));
		wire_pass(500);
	}
}

static void
test_calls_are_clipped_to_the_budget(void **state)
{
	(void)state;
	begin_on_one_host();
	wire_pass(START_JOIN_MS);
	wire_break(HTTP_BROKEN);
	wire_pass(500);
	expect_join(NAME);
	wire_pass(START_JOIN_MS);
	wire_break(HTTP_BROKEN);
	wire_pass(0);
	/* 3.5 to 4 s are left: no join, but a look. */
	wire_expect("GET", LIST_RUNNING);
	wire_pass(START_QUERY_MS);
	wire_reply(200, NONE);
	assert_in_range(wire_expect("GET", LIST_STARTING)->timeout_ms, 500,
	    1000);
	wire_pass(wire.call[0].timeout_ms);
	wire_break(HTTP_BROKEN);
	expect_told_of_failure(504);
	assert_true(wire.ms - WIRE_T0 <= START_BUDGET_MS);
	run_to_the_end();
	wire_expect_nothing();
}

/* Nothing is heard any more: cleaned up for a while, then the log says so. */
static void
test_orphan_possible(void **state)
{
	(void)state;
	begin_on_one_host();
	for (int i = 0; i < 100 && agora_working(&agora) > 0; i++) {
		if (wire.calls == 0) {
			wire_pass(START_LOOK_EVERY_MS);
			continue;
		}
		wire_pass(wire.call[0].timeout_ms);
		wire_break(HTTP_BROKEN);
	}
	expect_told_of_failure(504);
	wire_expect_nothing();
	assert_int_equal(wire.orphans, 1);
	assert_non_null(strstr(wire.log, NAME));
	assert_non_null(strstr(wire.log, "req1"));
	assert_true(
	    wire.ms - WIRE_T0 <= START_BUDGET_MS + START_CLEANUP_MS + 2000);
}

/* Found after the client was told that it failed: stopped. */
static void
test_found_late(void **state)
{
	(void)state;
	begin_on_one_host();
	wire_break(HTTP_BROKEN);
	wire_pass(500);
	wire_reply(400, ""); /* refused, but the first may have worked */
	wire_expect("GET", LIST_RUNNING);
	for (int looks = 0; looks < 3; looks++) {
		wire_reply(500, "");
		wire_pass(500);
	}
	expect_told_of_failure(400);
	wire_expect("GET", LIST_RUNNING);
	wire_reply(200, "{\"data\":{\"list\":[{\"agent_id\":\"A2\"}]}}");
	wire_reply(200, NAMED("RUNNING"));
	wire_pass(0);
	wire_expect("POST", "/agents/A2/leave");
	wire_reply(200, "");
	expect_failed(400);
}

/* ---- how many ----------------------------------------------------------- */

static void
test_start_concurrency(void **state)
{
	struct client clients[3] = { { 0 } };
	struct fail fail = { 0 };

	(void)state;
	settings.start_concurrency = 2;
	assert_int_equal(try_to_begin(&clients[0], &fail), 0);
	assert_int_equal(try_to_begin(&clients[1], &fail), 0);
	assert_int_equal(try_to_begin(&clients[2], &fail), -1);
	assert_int_equal(fail.kind, FAIL_BUSY);
	assert_true(fail.retry_after > 0);
	assert_int_equal(wire.shares, 2);
	wire_pass(0);
	wire_end_call(0, wire_answer(200, JOINED));
	assert_int_equal(try_to_begin(&clients[2], &fail), 0);
	wire_pass(0);
	wire_end_call(0, wire_answer(200, JOINED));
	wire_end_call(0, wire_answer(200, JOINED));
	assert_int_equal(clients[2].answers, 1);
	wire_expect_nothing();
}

/* ---- clients that leave ------------------------------------------------- */

static void
leave(void)
{
	client.gone = true;
	start_client_left(client.start);
	assert_int_equal(client.answers, 1);
	assert_int_equal(client.fail.kind, FAIL_GONE);
}

static void
expect_stop(const char *path)
{
	wire_pass(0);
	wire_expect("POST", path);
	wire_reply(200, "");
	assert_int_equal(client.answers, 1);
	assert_int_equal(wire.orphans, 0);
	wire_expect_nothing();
}

static void
test_client_leaves_before_the_join(void **state)
{
	(void)state;
	assert_int_equal(try_to_begin(&client, NULL), 0);
	leave();
	wire_expect_nothing();
	assert_int_equal(wire.sent, 0);
}

static void
test_client_leaves_during_the_join(void **state)
{
	(void)state;
	begin();
	leave();
	wire_reply(200, JOINED);
	expect_stop("/agents/A1/leave");

	setup(state);
	begin();
	leave();
	wire_break(HTTP_NOT_SENT);
	wire_expect_nothing();

	setup(state);
	begin();
	leave();
	wire_break(HTTP_BROKEN);
	wire_expect("GET", LIST_RUNNING);
	wire_reply(200, "{\"data\":{\"list\":[{\"agent_id\":\"A2\"}]}}");
	wire_reply(200, NAMED("RUNNING"));
	expect_stop("/agents/A2/leave");
}

/*
 * libcurl has sent the join twice, for its connection died: what the second
 * collides with may be the first's agent. Without that, it is another client's.
 */
static void
test_client_leaves_and_the_join_meets_itself(void **state)
{
	struct http_result conflict = wire_answer(409, CONFLICT_A2);

	(void)state;
	begin_on_one_host();
	leave();
	wire_end_call(0, conflict);
	wire_expect_nothing();

	setup(state);
	begin_on_one_host();
	leave();
	conflict.resent = true;
	wire_end_call(0, conflict);
	wire_expect("GET", "/agents/A2");
	wire_reply(200, NAMED("RUNNING"));
	expect_stop("/agents/A2/leave");
}

static void
test_client_leaves_during_a_pause(void **state)
{
	(void)state;
	begin();
	wire_break(HTTP_NOT_SENT);
	leave();
	wire_expect_nothing();

	setup(state);
	begin();
	wire_break(HTTP_BROKEN);
	leave();
	wire_expect("GET", LIST_RUNNING);
	wire_reply(200, NONE);
	wire_expect("GET", LIST_STARTING);
	wire_reply(200, "{\"data\":{\"list\":[{\"agent_id\":\"A2\"}]}}");
	wire_reply(200, NAMED("STARTING"));
	expect_stop("/agents/A2/leave");
}

static void
test_client_leaves_while_an_agent_is_looked_at(void **state)
{
	(void)state;
	begin_and_collide(); /* another request's */
	leave();
	wire_reply(200, NAMED("RUNNING"));
	wire_expect_nothing();
	assert_int_equal(wire.sent, 2);

	setup(state);
	begin_and_collide_with_ours();
	leave();
	wire_reply(200, NAMED("RUNNING"));
	expect_stop("/agents/A2/leave");
}

static void
test_client_leaves_during_a_list(void **state)
{
	(void)state;
	begin_on_one_host();
	wire_break(HTTP_BROKEN);
	wire_pass(500);
	wire_reply(409, "");
	wire_expect("GET", LIST_RUNNING);
	leave();
	wire_reply(200, "{\"data\":{\"list\":[{\"agent_id\":\"A2\"}]}}");
	wire_reply(200, NAMED("RUNNING"));
	expect_stop("/agents/A2/leave");
}

static void
test_answer_that_is_not_taken(void **state)
{
	(void)state;
	client.gone = true;
	begin();
	wire_reply(200, JOINED);
	expect_stop("/agents/A1/leave");
}

static void
test_stop_that_fails(void **state)
{
	(void)state;
	client.gone = true;
	begin();
	wire_reply(200, JOINED);
	wire_pass(0);
	wire_reply(403, "");
	assert_int_equal(wire.orphans, 0);
	wire_pass(START_LOOK_EVERY_MS); /* is tried again while there is time */
	wire_expect("POST", "/agents/A1/leave");
	for (int i = 0; i < 4 && wire.calls > 0; i++) {
		wire_reply(403, "");
		wire_pass(START_LOOK_EVERY_MS);
	}
	assert_int_equal(wire.orphans, 1);
	wire_expect_nothing();
	/* One that is gone already is stopped. */
	setup(state);
	client.gone = true;
	begin();
	wire_reply(200, JOINED);
	wire_pass(0);
	wire_reply(404, NO_TASK);
	assert_int_equal(wire.orphans, 0);
	wire_expect_nothing();
}

/* ---- starts of one name ------------------------------------------------- */

#define RUNNING "{\"name\":\"" NAME "\",\"status\":\"RUNNING\"}"
#define CONFLICT_A1 "{\"agent_id\":\"A1\"}"
#define LISTED_A1 "{\"data\":{\"list\":[{\"agent_id\":\"A1\"}]}}"

static struct client other;

static int
setup_two(void **state)
{
	static char base[] = "https://127.0.0.1:8443/x";
	struct fail fail = { 0 };

	setup(state);
	other = (struct client){ 0 };
	settings.api_base_url = base;
	agora.shared = shared_open(NULL, &fail);
	return agora.shared == NULL;
}

static int
teardown_two(void **state)
{
	(void)state;
	shared_close(agora.shared);
	return 0;
}

/* Begins ${of}; its first join is then the only call on its way. */
static void
begin_client(struct client *of)
{
	assert_int_equal(try_to_begin(of, NULL), 0);
	wire_pass(0);
	expect_join(NAME);
}

/* ${of} starts, and is told of A1, which runs already. */
static void
share_a1(struct client *of)
{
	begin_client(of);
	wire_reply(409, CONFLICT_A1);
	wire_expect("GET", "/agents/A1");
	wire_reply(200, RUNNING);
	assert_int_equal(of->answers, 1);
	assert_string_equal(of->agent_id, "A1");
}

/* ${of} starts, and its join's answer is lost. */
static void
begin_and_lose_the_answer(struct client *of)
{
	begin_client(of);
	wire_break(HTTP_BROKEN);
}

/* Its client leaves; it finds A1 in the list. */
static void
give_up_and_find_a1(struct client *of)
{
	of->gone = true;
	start_client_left(of->start);
	wire_expect("GET", LIST_RUNNING);
	wire_reply(200, LISTED_A1);
	wire_expect("GET", "/agents/A1");
	wire_reply(200, RUNNING);
	wire_pass(0);
}

static void
expect_over(void)
{
	assert_int_equal(wire.orphans, 0);
	wire_expect_nothing();
}

static void
test_two_share_one_agent(void **state)
{
	(void)state;
	begin_client(&client);
	wire_reply(200, JOINED);
	assert_string_equal(client.agent_id, "A1");
	share_a1(&other);
	expect_over();
}

static void
test_what_another_client_has_is_not_stopped(void **state)
{
	(void)state;
	begin_and_lose_the_answer(&client);
	share_a1(&other);
	give_up_and_find_a1(&client);
	expect_over();
}

/* Two have it, a third does not take it: it still is the first two's. */
static void
test_what_two_clients_have_is_not_stopped(void **state)
{
	struct client third = { .gone = true };

	(void)state;
	begin_and_lose_the_answer(&client);
	share_a1(&other);
	share_a1(&third);
	give_up_and_find_a1(&client);
	expect_over();
}

static void
test_not_taken_what_another_client_has(void **state)
{
	(void)state;
	client.gone = true;
	begin_and_lose_the_answer(&client);
	share_a1(&other);
	wire_pass(500);
	expect_join(NAME);
	wire_reply(409, CONFLICT_A1);
	wire_reply(200, RUNNING); /* as far as this one knows, its own */
	assert_string_equal(client.agent_id, "A1");
	wire_pass(0);
	expect_over();
}

/* What another client may still be told of is waited for. */
static void
test_another_one_tries(void **state)
{
	(void)state;
	begin_and_lose_the_answer(&client);
	begin_client(&other);
	client.gone = true;
	start_client_left(client.start);
	wire_end_call(1, wire_answer(200, LISTED_A1));
	wire_end_call(1, wire_answer(200, RUNNING));
	expect_join(NAME);
	wire_pass(600); /* waits, and looks again at what the other does */
	expect_join(NAME);
	wire_reply(409, CONFLICT_A1);
	wire_reply(200, RUNNING);
	assert_string_equal(other.agent_id, "A1");
	wire_pass(600);
	expect_over();
}

/* Neither client wants it any more: one of the two stops it. */
static void
test_both_give_up(void **state)
{
	(void)state;
	begin_and_lose_the_answer(&client);
	begin_and_lose_the_answer(&other);
	client.gone = other.gone = true;
	start_client_left(client.start);
	start_client_left(other.start);
	wire_end_call(0, wire_answer(200, LISTED_A1));
	wire_end_call(1, wire_answer(200, RUNNING));
	wire_pass(0);
	wire_end_call(0, wire_answer(200, LISTED_A1));
	wire_end_call(1, wire_answer(200, RUNNING));
	wire_pass(0);
	wire_expect("POST", "/agents/A1/leave"); /* still the first one's */
	wire_reply(200, "");
	expect_over();
}

/* A stop that failed is tried again, though it is on record already. */
static void
test_stop_tried_again(void **state)
{
	(void)state;
	client.gone = true;
	begin_client(&client);
	wire_reply(200, JOINED);
	wire_pass(0);
	wire_reply(403, "");
	wire_pass(START_LOOK_EVERY_MS);
	wire_expect("POST", "/agents/A1/leave");
	wire_reply(200, "");
	wire_expect_nothing();
}

/* What a client had a moment ago is not what it starts now. */
static void
test_start_after_a_stop(void **state)
{
	(void)state;
	begin_client(&other);
	wire_reply(200, JOINED);
	wire_pass(1000);
	client.gone = true;
	begin_client(&client);
	wire_reply(200, "{\"agent_id\":\"A2\"}");
	wire_pass(0);
	wire_expect("POST", "/agents/A2/leave");
	wire_reply(200, "");
	expect_over();
}

/* An agent that is being stopped is not handed out. */
static void
test_another_one_stops_it(void **state)
{
	(void)state;
	begin_and_lose_the_answer(&client);
	give_up_and_find_a1(&client);
	assert_int_equal(try_to_begin(&other, NULL), 0);
	wire_pass(0);
	wire_end_call(1, wire_answer(409, CONFLICT_A1));
	wire_end_call(1, wire_answer(200, RUNNING));
	assert_int_equal(other.answers, 0);
	wire_reply(200, ""); /* the stop */
	wire_pass(1000);
	expect_join(NAME);
	wire_reply(200, "{\"agent_id\":\"A2\"}");
	assert_string_equal(other.agent_id, "A2");
	expect_over();
}

/* Nor when the look that says that it runs comes after the stop is over. */
static void
test_another_one_has_stopped_it(void **state)
{
	(void)state;
	begin_and_lose_the_answer(&client);
	give_up_and_find_a1(&client);
	assert_int_equal(try_to_begin(&other, NULL), 0);
	wire_pass(0);
	wire_end_call(1, wire_answer(409, CONFLICT_A1));
	wire_end_call(0, wire_answer(200, "")); /* the stop */
	wire_reply(200, RUNNING);
	assert_int_equal(other.answers, 0);
	wire_pass(1000);
	expect_join(NAME);
	wire_reply(200, "{\"agent_id\":\"A2\"}");
	assert_string_equal(other.agent_id, "A2");
	expect_over();
}

/*
 * It was told to wait for another one's stop, joins again, and that join's
 * answer is lost: what it made is looked for, not the one that was stopped.
 */
static void
test_lost_after_another_one_stopped_it(void **state)
{
	(void)state;
	begin_and_lose_the_answer(&client);
	give_up_and_find_a1(&client);
	assert_int_equal(try_to_begin(&other, NULL), 0);
	wire_pass(0);
	wire_end_call(1, wire_outcome(HTTP_BROKEN));
	wire_pass(500);
	wire_end_call(1, wire_answer(409, CONFLICT_A1));
	wire_end_call(1, wire_answer(200, RUNNING));
	wire_reply(200, ""); /* the stop */
	wire_pass(1000);
	expect_join(NAME);
	other.gone = true;
	start_client_left(other.start);
	wire_break(HTTP_BROKEN);
	wire_expect("GET", LIST_RUNNING);
	wire_reply(200, "{\"data\":{\"list\":[{\"agent_id\":\"A2\"}]}}");
	wire_reply(200, RUNNING);
	wire_pass(0);
	wire_expect("POST", "/agents/A2/leave");
	wire_reply(200, "");
	expect_over();
}

/* ---- without memory ----------------------------------------------------- */

static void
test_no_memory(void **state)
{
	for (int from = 1; from <= 20; from++) {
		struct fail fail = { 0 };

		setup(state);
		wire.no_memory_from = from;
		if (try_to_begin(&client, &fail) == -1) {
			assert_int_equal(fail.kind, FAIL_INTERNAL);
			assert_int_equal(client.answers, 0);
			wire_expect_nothing();
			continue;
		}
		wire_pass(0);
		run_to_the_end();
		assert_int_equal(client.answers, 1);
		assert_int_not_equal(client.fail.kind, FAIL_NONE);
		wire_expect_nothing();
	}
}

/* Without memory for anything, others still get their turn. */
static void
test_no_memory_does_not_hold_up_the_loop(void **state)
{
	int tried;

	(void)state;
	begin();
	wire.no_memory_from = 1;
	wire_break(HTTP_BROKEN);
	tried = wire.tried;
	wire_pass(IDLE_MS);
	assert_true(wire.tried - tried < 100);
	assert_int_equal(client.answers, 1);
	wire_expect_nothing();
}

static void
test_no_random_numbers(void **state)
{
	(void)state;
	wire.no_random = true;
	assert_int_equal(try_to_begin(&client, NULL), 0);
	wire_pass(IDLE_MS);
	assert_int_equal(wire.sent, 0);
	assert_int_equal(client.answers, 1);
	assert_int_equal(client.fail.kind, FAIL_INTERNAL);
	wire_expect_nothing();
}

static int
free_agent(void **state)
{
	(void)state;
	one_agent_free();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup(name, setup)
#define TWO(name) cmocka_unit_test_setup_teardown(name, setup_two, teardown_two)
		TEST(test_joined),
		TEST(test_answer_comes_from_the_loop),
		TEST(test_refusals_are_final),
		TEST(test_unknown_outcomes),
		TEST(test_no_answer_is_unknown),
		TEST(test_hosts_in_turn),
		TEST(test_shut_hosts_are_passed_over),
		TEST(test_all_hosts_shut),
		TEST(test_looks_leave_a_shut_host_alone),
		TEST(test_retry_after),
		TEST(test_retry_after_that_is_the_clients_to_wait),
		TEST(test_how_often_later),
		TEST(test_no_retries_left),
		TEST(test_conflicts_that_name_the_agent),
		TEST(test_conflicts_that_name_none),
		TEST(test_states_of_a_living_agent),
		TEST(test_unclear_looks),
		TEST(test_conflict_with_another_name),
		TEST(test_names_of_dead_agents),
		TEST(test_suffixes),
		TEST(test_more_suffixes_than_there_are),
		TEST(test_starting_agents_are_listed_apart),
		TEST(test_nothing_listed),
		TEST(test_lists_that_say_nothing),
		TEST(test_several_listed),
		TEST(test_listed_but_not_ours),
		TEST(test_old_agents_in_the_list_are_not_ours),
		TEST(test_old_agents_of_an_own_channel_are_found),
		TEST(test_listed_agent_without_a_name),
		TEST(test_old_agents_are_not_stopped),
		TEST(test_old_agent_in_a_late_answer),
		TEST(test_calls_are_clipped_to_the_budget),
		TEST(test_orphan_possible),
		TEST(test_found_late),
		TEST(test_start_concurrency),
		TEST(test_client_leaves_before_the_join),
		TEST(test_client_leaves_during_the_join),
		TEST(test_client_leaves_and_the_join_meets_itself),
		TEST(test_client_leaves_during_a_pause),
		TEST(test_client_leaves_while_an_agent_is_looked_at),
		TEST(test_client_leaves_during_a_list),
		TEST(test_answer_that_is_not_taken),
		TEST(test_stop_that_fails),
		TWO(test_two_share_one_agent),
		TWO(test_what_another_client_has_is_not_stopped),
		TWO(test_what_two_clients_have_is_not_stopped),
		TWO(test_not_taken_what_another_client_has),
		TWO(test_another_one_tries),
		TWO(test_both_give_up),
		TWO(test_stop_tried_again),
		TWO(test_start_after_a_stop),
		TWO(test_another_one_stops_it),
		TWO(test_another_one_has_stopped_it),
		TWO(test_lost_after_another_one_stopped_it),
		TEST(test_no_memory),
		TEST(test_no_memory_does_not_hold_up_the_loop),
		TEST(test_no_random_numbers),
#undef TEST
#undef TWO
	};

	return cmocka_run_group_tests(tests, NULL, free_agent);
}
