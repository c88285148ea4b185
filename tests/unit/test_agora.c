/*
 * The calls to Agora with the HTTPS client and the clock replaced: the
 * http_…() and sys_monotonic_ms() below take the place of the library's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/agent.h"
#include "common/agora.h"
#include "common/fail.h"
#include "common/http.h"
#include "common/json.h"
#include "common/log.h"
#include "common/region.h"
#include "common/settings.h"
#include "common/sys.h"
#include "common/token.h"
#include "tests/unit/one_agent.h"

#define APP_ID "970CA35de60c44645bbae8a215061b33"
#define CERTIFICATE "5CFd2fd1755d40ecb72977518be15d3b"
#define NOW 1770199765
#define LINES_MAX 32

/* What http_start() was asked for, and to whom the answer goes. */
static struct wire {
	int64_t clock_ms;
	int starts;
	bool refuse; /* http_start() fails */
	bool fresh;
	int64_t timeout_ms;
	char method[8], url[1024], authorization[2048], content_type[64];
	char ca_file[64];
	char body[4096];
	bool has_body;
	void (*done)(void *arg, const struct http_result *result);
	void *arg;
} wire;

static struct seen {
	int calls;
	struct agora_answer answer;
	struct agora_said said;
} seen;

static struct agora agora;

int64_t
sys_monotonic_ms(void)
{
	return wire.clock_ms;
}

int64_t
sys_monotonic_us(void)
{
	return wire.clock_ms * 1000;
}

static void
copy(char *to, size_t size, const char *from)
{
	snprintf(to, size, "%s", from == NULL ? "" : from);
}

/* So that the linker takes nothing of the library's. */
struct http *
http_new(struct loop *loop, struct fail *fail)
{
	(void)loop;
	(void)fail;
	return NULL;
}

void
http_free(struct http *http)
{
	assert_null(http);
}

int
http_start(struct http *http, const struct http_request *request,
    void (*done)(void *arg, const struct http_result *result), void *arg,
    struct fail *fail)
{
	assert_null(http);
	if (wire.refuse)
		return fail_set(fail, FAIL_INTERNAL, "out of memory");
	wire.starts++;
	wire.fresh = request->fresh;
	wire.timeout_ms = request->timeout_ms;
	copy(wire.url, sizeof(wire.url), request->url);
	copy(wire.authorization, sizeof(wire.authorization),
	    request->authorization);
	copy(wire.content_type, sizeof(wire.content_type),
	    request->content_type);
	copy(wire.ca_file, sizeof(wire.ca_file), request->ca_file);
	copy(wire.body, sizeof(wire.body), request->body);
	wire.has_body = request->body != NULL;
	wire.done = done;
	wire.arg = arg;
	copy(wire.method, sizeof(wire.method), request->method);
	return 0;
}

static int
setup(void **state)
{
	(void)state;
	memset(&wire, 0, sizeof(wire));
	memset(&seen, 0, sizeof(seen));
	memset(&agora, 0, sizeof(agora));
	wire.clock_ms = 1000000;
	log_set_level(LOG_LEVEL_ERROR);
	return 0;
}

static struct settings
defaults(void)
{
	static char greeting[] = "Hi", instructions[] = "Be brief";
	static char failure[] = "Oops", none[] = "", ca[] = "/ca.pem";
	static char path[] = "/api/conversational-ai-agent";
	struct settings settings = { .usable = true,
		.app_id = APP_ID,
		.area = SETTINGS_AREA_US,
		.api_path = path,
		.api_base_url = none,
		.ca_file = ca,
		.greeting = greeting,
		.instructions = instructions,
		.failure_message = failure,
		.tts_model_id = none,
		.tts_voice_id = none };

	assert_int_equal(secret_set(&settings.certificate, CERTIFICATE), 0);
	return settings;
}

static void
remember(void *arg, const struct agora_answer *answer)
{
	assert_ptr_equal(arg, &seen);
	seen.calls++;
	seen.answer = *answer;
	seen.said = *answer->said;
}

static struct agent_start start = { .channel = "room",
	.agent_uid = "58888506",
	.user_uid = "1234567" };
#define FIXED "https://127.0.0.1:8443/x"

/* Sends one call to FIXED; what it needs beside is in ${request}. */
static int
try_to_send(struct agora_request request, const struct settings *settings,
    struct fail *fail)
{
	request.settings = settings;
	request.base = FIXED;
	request.timeout_ms = 1234;
	request.now = NOW;
	request.salt = 11;
	return agora_send(&agora, &request, remember, &seen, fail);
}

static void
send_call(struct agora_request request)
{
	struct settings settings = defaults();
	struct fail fail = { 0 };

	assert_int_equal(try_to_send(request, &settings, &fail), 0);
	assert_int_equal(seen.calls, 0);
}

static const struct agora_request a_join = { .call = AGORA_JOIN,
	.agent = &start,
	.name = "agent_room",
	.body_salt = 22 };

static void
join(void)
{
	send_call(a_join);
}

static void
leave(const char *id)
{
	send_call(
	    (struct agora_request){ .call = AGORA_LEAVE, .agent_id = id });
}

static struct http_result
answered(int status, const char *body)
{
	struct http_result result = { .outcome = HTTP_ANSWERED,
		.status = status,
		.body = body,
		.body_len = strlen(body),
		.retry_after = -1,
		.date = -1 };

	return result;
}

static struct http_result
ended(enum http_outcome outcome)
{
	struct http_result result = { .outcome = outcome,
		.retry_after = -1,
		.date = -1,
		.error = "libcurl's words" };

	return result;
}

/* The clock moves on by ${ms}, then the attempt under way ends so. */
static void
reply(int64_t ms, struct http_result result)
{
	wire.clock_ms += ms;
	wire.done(wire.arg, &result);
}

static void
expect_end(enum agora_class class, enum fail_kind kind)
{
	assert_int_equal(seen.calls, 1);
	assert_int_equal(seen.answer.class, class);
	assert_int_equal(seen.answer.fail.kind, kind);
	if (class == AGORA_DONE)
		assert_string_equal(seen.answer.fail.text, "");
}

/* agora_classify(), row by row. */

#define JOINED                                                                 \
	"{\"agent_id\":\"1NT29X\",\"create_ts\":1,"                            \
	"\"status\":\"RUNNING\"}"
#define QUITTING                                                               \
	"{\"reason\":\"InvalidRequest\",\"detail\":\"The task is "             \
	"already in the process of shutting down\"}"
#define NO_TASK "{\"detail\":\"task not found\",\"reason\":\"TaskNotFound\"}"
#define NO_ROUTE "{\"message\":\"no Route matched with those values\"}"

static void
expect_class(enum agora_call call, struct http_result result,
    enum agora_class class)
{
	struct agora_said said;

	agora_read(&result, &said);
	if (agora_classify(call, &result, &said) != class)
		fail_msg("call %u, outcome %u, HTTP %d %s: class %u, not %u",
		    call, result.outcome, result.status,
		    result.body == NULL ? "" : result.body,
		    agora_classify(call, &result, &said), class);
}

static void
test_outcomes_without_an_answer(void **state)
{
	enum agora_call call;

	(void)state;
	for (call = AGORA_JOIN; call <= AGORA_LEAVE; call++) {
		expect_class(call, ended(HTTP_NOT_SENT), AGORA_NOT_PROCESSED);
		expect_class(call, ended(HTTP_NO_MEMORY), AGORA_NOT_PROCESSED);
		expect_class(call, ended(HTTP_UNTRUSTED), AGORA_FINAL);
		expect_class(call, ended(HTTP_BROKEN), AGORA_UNKNOWN);
		expect_class(call, ended(HTTP_TOO_LARGE), AGORA_UNKNOWN);
	}
}

static void
test_status_codes(void **state)
{
	static const struct {
		int status;
		enum agora_class class;
	} rows[] = { { 409, AGORA_UNKNOWN }, { 429, AGORA_LATER },
		{ 503, AGORA_LATER }, { 500, AGORA_UNKNOWN },
		{ 502, AGORA_UNKNOWN }, { 504, AGORA_UNKNOWN },
		{ 400, AGORA_FINAL }, { 401, AGORA_FINAL },
		{ 403, AGORA_FINAL }, { 404, AGORA_FINAL },
		{ 405, AGORA_FINAL }, { 413, AGORA_FINAL },
		{ 422, AGORA_FINAL }, { 300, AGORA_FINAL },
		{ 301, AGORA_FINAL }, { 302, AGORA_FINAL },
		{ 307, AGORA_FINAL }, { 308, AGORA_FINAL },
		{ 399, AGORA_FINAL }, { 201, AGORA_UNKNOWN },
		{ 204, AGORA_UNKNOWN }, { 402, AGORA_UNKNOWN },
		{ 408, AGORA_UNKNOWN }, { 418, AGORA_UNKNOWN },
		{ 501, AGORA_UNKNOWN }, { 599, AGORA_UNKNOWN },
		{ 100, AGORA_UNKNOWN }, { 999, AGORA_UNKNOWN } };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		expect_class(AGORA_JOIN, answered(rows[i].status, ""),
		    rows[i].class);
		expect_class(AGORA_LEAVE, answered(rows[i].status, ""),
		    rows[i].class);
	}
}

static void
test_join_is_done_only_with_an_id(void **state)
{
	static const char *const without[] = { "", "{}", "[]", "null", "<html>",
		"{\"agent_id\":\"\"}", "{\"agent_id\":5}",
		"{\"agent_id\":null}", "{\"agent_id\":\"a/b\"}",
		"{\"agent_id\":\"..\"}", "{\"agent_id\":\"a\\u0000b\"}",
		"{\"agent_id\":\"abc\"" };
	size_t i;

	(void)state;
	expect_class(AGORA_JOIN, answered(200, JOINED), AGORA_DONE);
	for (i = 0; i < sizeof(without) / sizeof(without[0]); i++)
		expect_class(AGORA_JOIN, answered(200, without[i]),
		    AGORA_UNKNOWN);
}

static void
test_leave_classes(void **state)
{
	(void)state;
	expect_class(AGORA_LEAVE, answered(200, ""), AGORA_DONE);
	expect_class(AGORA_LEAVE, answered(200, "<html>"), AGORA_DONE);
	expect_class(AGORA_LEAVE, answered(400, QUITTING), AGORA_DONE);
	expect_class(AGORA_LEAVE, answered(400, NO_TASK), AGORA_FINAL);
	expect_class(AGORA_LEAVE, answered(404, NO_TASK), AGORA_FINAL);
	expect_class(AGORA_LEAVE, answered(404, NO_ROUTE), AGORA_FINAL);
	expect_class(AGORA_JOIN, answered(400, QUITTING), AGORA_FINAL);
}

/* The first of two leaves may have ended the agent. */
static void
test_leave_that_was_sent_twice(void **state)
{
	struct http_result gone = answered(404, NO_TASK);
	struct http_result no_route = answered(404, NO_ROUTE);

	(void)state;
	gone.resent = no_route.resent = true;
	expect_class(AGORA_LEAVE, gone, AGORA_DONE);
	expect_class(AGORA_LEAVE, no_route, AGORA_FINAL);
	expect_class(AGORA_GET, gone, AGORA_FINAL);
}

/*
 * The first of two joins may have made an agent, whatever the second one met;
 * a conflict names it.
 */
static void
test_join_that_was_sent_twice(void **state)
{
	static const int statuses[] = { 400, 401, 403, 404, 409, 422, 429, 503,
		302, 500 };
	struct http_result result = answered(200, JOINED);
	size_t i;

	(void)state;
	result.resent = true;
	expect_class(AGORA_JOIN, result, AGORA_DONE);
	for (i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
		result.status = statuses[i];
		expect_class(AGORA_JOIN, result, AGORA_UNKNOWN);
	}
}

static void
test_ids(void **state)
{
	static const char *const bad[] = { "", ".", "..", "a/b", "a?b", "a b",
		"a%2fb", "a\nb", "\xc3\xa4", "../x", "a#b", "a\\b" };
	char longest[AGORA_ID_SIZE + 1];
	struct fail fail = { 0 };
	size_t i;

	(void)state;
	assert_int_equal(agora_id_check("1NT29X10YHxx-_.:az", &fail), 0);
	assert_int_equal(agora_id_check("...", &fail), 0);
	memset(longest, 'x', sizeof(longest));
	longest[128] = '\0';
	assert_int_equal(agora_id_check(longest, &fail), 0);
	assert_int_equal(fail.kind, FAIL_NONE);
	longest[128] = 'x';
	longest[129] = '\0';
	assert_int_equal(agora_id_check(longest, NULL), -1);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		memset(&fail, 0, sizeof(fail));
		assert_int_equal(agora_id_check(bad[i], &fail), -1);
		assert_int_equal(fail.kind, FAIL_BAD_INPUT);
	}
}

/* What goes out. */

static void
expect_token(const char *token, const char *channel, const char *account,
    uint32_t expire, uint32_t salt)
{
	struct token_parsed parsed;
	struct fail fail = { 0 };

	assert_int_equal(token_parse(token, &parsed, &fail), 0);
	assert_true(token_signed_by(&parsed, CERTIFICATE));
	assert_string_equal(parsed.app_id, APP_ID);
	assert_int_equal(parsed.issue_ts, NOW);
	assert_int_equal(parsed.expire, expire);
	assert_int_equal(parsed.salt, salt);
	assert_int_equal(parsed.services, 2);
	assert_string_equal(parsed.service[0].channel, channel);
	assert_string_equal(parsed.service[0].account, account);
	assert_string_equal(parsed.service[1].account, account);
}

static void
test_join_request(void **state)
{
	struct fail fail = { 0 };
	struct json *body;

	(void)state;
	join();
	assert_string_equal(wire.url, FIXED "/v2/projects/" APP_ID "/join");
	assert_string_equal(wire.method, "POST");
	assert_false(wire.fresh);
	assert_int_equal(wire.timeout_ms, 1234);
	assert_string_equal(wire.content_type, "application/json");
	assert_string_equal(wire.ca_file, "/ca.pem");
	assert_memory_equal(wire.authorization, "agora token=007", 15);
	expect_token(wire.authorization + 12, "room", "58888506", 86400, 11);
	body = json_parse(wire.body, strlen(wire.body), &fail);
	assert_string_equal(json_text(body, "name"), "agent_room");
	expect_token(json_text(json_at(body, "properties"), "token"), "room",
	    "58888506", 3600, 22);
	json_free(body);
	reply(300, answered(200, JOINED));
	expect_end(AGORA_DONE, FAIL_NONE);
	assert_string_equal(seen.said.agent_id, "1NT29X");
	assert_int_equal(wire.starts, 1);
}

static void
test_leave_request(void **state)
{
	(void)state;
	leave("1NT:29.X");
	assert_string_equal(wire.url,
	    FIXED "/v2/projects/" APP_ID "/agents/1NT:29.X/leave");
	assert_string_equal(wire.method, "POST");
	assert_false(wire.fresh);
	assert_false(wire.has_body);
	assert_string_equal(wire.content_type, "");
	expect_token(wire.authorization + 12, "stop", "0", 86400, 11);
	reply(100, answered(200, ""));
	expect_end(AGORA_DONE, FAIL_NONE);
	assert_string_equal(seen.said.agent_id, "");
}

static void
list(void)
{
	send_call((struct agora_request){ .call = AGORA_LIST });
}

static void
test_list_request(void **state)
{
	(void)state;
	list();
	assert_string_equal(wire.method, "GET");
	assert_string_equal(wire.url,
	    FIXED "/v2/projects/" APP_ID "/agents?limit=1");
	assert_false(wire.has_body);
	expect_token(wire.authorization + 12, "stop", "0", 86400, 11);
	reply(100, answered(200, "{}"));
	expect_end(AGORA_DONE, FAIL_NONE);
}

static void
test_list_refused(void **state)
{
	(void)state;
	list();
	reply(100, answered(401, "{}"));
	expect_end(AGORA_FINAL, FAIL_UPSTREAM);
	assert_string_equal(seen.answer.fail.text,
	    "Agora refused the list of "
	    "agents (HTTP 401); check APP_ID and APP_CERTIFICATE");
}

static void
test_list_of_a_channel(void **state)
{
	(void)state;
	send_call((struct agora_request){ .call = AGORA_LIST,
	    .channel = "a b&c#%+;=?/~z-9._",
	    .state = 2 });
	assert_string_equal(wire.url,
	    FIXED "/v2/projects/" APP_ID
		  "/agents?channel=a%20b%26c%23%25%2B%3B%3D%3F%2F~z-9._"
		  "&state=2");
	reply(100,
	    answered(200,
		"{\"data\":{\"count\":2,\"list\":["
		"{\"start_ts\":17,\"status\":\"RUNNING\",\"agent_id\":\"A\"},"
		"{\"agent_id\":\"not/legal\"}]},\"status\":\"ok\"}"));
	expect_end(AGORA_DONE, FAIL_NONE);
	assert_true(seen.said.is_list);
	assert_int_equal(seen.said.listed, 2);
	assert_string_equal(seen.said.agent[0].agent_id, "A");
	assert_int_equal(seen.said.agent[0].start_ts, 17);
	assert_string_equal(seen.said.agent[1].agent_id, "");
}

/* Page by page. */
static void
test_list_of_all_channels(void **state)
{
	send_call((struct agora_request){ .call = AGORA_LIST,
	    .state = 1,
	    .since = 1770000000 });
	assert_string_equal(wire.url,
	    FIXED "/v2/projects/" APP_ID
		  "/agents?state=1&from_time=1770000000&limit=20");
	reply(100,
	    answered(200,
		"{\"data\":{\"count\":1,\"list\":[{\"agent_id\":\"A\"}]},"
		"\"meta\":{\"cursor\":\"a/b ==\",\"total\":2}}"));
	expect_end(AGORA_DONE, FAIL_NONE);
	assert_string_equal(seen.said.cursor, "a/b ==");
	assert_false(seen.said.cut);
	setup(state);
	send_call((struct agora_request){ .call = AGORA_LIST,
	    .state = 1,
	    .since = 1770000000,
	    .cursor = "a/b ==" });
	assert_string_equal(wire.url,
	    FIXED "/v2/projects/" APP_ID
		  "/agents?state=1&from_time=1770000000&limit=20"
		  "&cursor=a%2Fb%20%3D%3D");
	reply(1, answered(200, "{}"));
}

static void
expect_cursor(void **state, const char *meta, const char *cursor, bool cut)
{
	char body[400];

	snprintf(body, sizeof(body), "{\"data\":{\"list\":[]},\"meta\":%s}",
	    meta);
	setup(state);
	list();
	reply(1, answered(200, body));
	assert_string_equal(seen.said.cursor, cursor);
	assert_int_equal(seen.said.cut, cut);
}

static void
test_cursors(void **state)
{
	char longest[AGORA_CURSOR_SIZE], meta[200];

	memset(longest, '%', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	expect_cursor(state, "null", "", false);
	expect_cursor(state, "{}", "", false);
	expect_cursor(state, "{\"cursor\":null}", "", false);
	expect_cursor(state, "{\"cursor\":\"\"}", "", false);
	snprintf(meta, sizeof(meta), "{\"cursor\":\"%s\"}", longest);
	expect_cursor(state, meta, longest, false);
	snprintf(meta, sizeof(meta), "{\"cursor\":\"%sx\"}", longest);
	expect_cursor(state, meta, "", true);
	expect_cursor(state, "{\"cursor\":20}", "", true);
	expect_cursor(state, "{\"cursor\":\"a\\u0000b\"}", "", true);
}

/* The longest URL that there can be is not cut. */
static void
test_longest_list(void **state)
{
	char channel[CHANNEL_SIZE], cursor[AGORA_CURSOR_SIZE];

	(void)state;
	memset(channel, ' ', sizeof(channel));
	channel[sizeof(channel) - 1] = '\0';
	memset(cursor, '%', sizeof(cursor));
	cursor[sizeof(cursor) - 1] = '\0';
	send_call((struct agora_request){ .call = AGORA_LIST,
	    .channel = channel,
	    .since = INT64_MIN,
	    .cursor = cursor });
	assert_string_equal(wire.url + strlen(wire.url) - 6, "%25%25");
	assert_int_equal(strlen(strstr(wire.url, "cursor=")),
	    strlen("cursor=") + 3 * strlen(cursor));
	reply(1, answered(200, "{}"));
}

static void
test_long_list_is_cut(void **state)
{
	char body[2048] = "{\"data\":{\"list\":[";
	size_t len = strlen(body);

	(void)state;
	for (int i = 0; i < AGORA_LISTED_MAX + 3; i++)
		len += (size_t)snprintf(body + len, sizeof(body) - len,
		    "%s{\"agent_id\":\"A%d\"}", i == 0 ? "" : ",", i);
	snprintf(body + len, sizeof(body) - len, "]}}");
	list();
	reply(1, answered(200, body));
	assert_int_equal(seen.said.listed, AGORA_LISTED_MAX);
	assert_true(seen.said.cut);
}

static void
test_look_at_an_agent(void **state)
{
	static const struct {
		const char *status;
		enum agora_life life;
	} rows[] = {
		{ "STARTING", AGORA_ALIVE },
		{ "RUNNING", AGORA_ALIVE },
		{ "RECOVERING", AGORA_ALIVE },
		{ "STOPPING", AGORA_DEAD },
		{ "STOPPED", AGORA_DEAD },
		{ "FAILED", AGORA_DEAD },
		{ "IDLE", AGORA_LIFE_UNSAID },
		{ "running", AGORA_LIFE_UNSAID },
		{ "", AGORA_LIFE_UNSAID },
	};
	char body[256];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		setup(state);
		send_call((struct agora_request){ .call = AGORA_GET,
		    .agent_id = "A1" });
		assert_string_equal(wire.method, "GET");
		assert_string_equal(wire.url,
		    FIXED "/v2/projects/" APP_ID "/agents/A1");
		snprintf(body, sizeof(body),
		    "{\"status\":\"%s\",\"name\":\"n\",\"start_ts\":5}",
		    rows[i].status);
		reply(1, answered(200, body));
		expect_end(AGORA_DONE, FAIL_NONE);
		assert_int_equal(seen.said.life, rows[i].life);
		assert_string_equal(seen.said.status, rows[i].status);
		assert_string_equal(seen.said.name, "n");
		assert_int_equal(seen.said.start_ts, 5);
	}
}

static void
test_conflict_names_the_agent(void **state)
{
	static const struct {
		const char *body, *id;
	} rows[] = {
		{ "{\"agent_id\":\"A\",\"taskId\":\"B\"}", "A" },
		{ "{\"taskId\":\"B\"}", "B" },
		{ "{\"agent_id\":\"../x\",\"taskId\":\"B\"}", "B" },
		{ "{\"agent_id\":7}", "" },
		{ "{}", "" },
		{ "no JSON", "" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		setup(state);
		join();
		reply(1, answered(409, rows[i].body));
		expect_end(AGORA_UNKNOWN, FAIL_UPSTREAM);
		assert_int_equal(seen.answer.status, 409);
		assert_string_equal(seen.said.agent_id, rows[i].id);
	}
}

static void
test_clocks_are_compared(void **state)
{
	struct http_result result = answered(200, "{}");

	(void)state;
	list();
	result.date = NOW - 100;
	reply(3000, result);
	/* Not the 3 s that it took: when it was said is not known. */
	assert_int_equal(seen.answer.clock_ahead, 100);
}

static void
test_no_https_client(void **state)
{
	struct fail fail = { 0 };

	(void)state;
	assert_null(agora_new(NULL, &fail));
	agora_free(NULL);
}

/* What the calls tell about a host. */
static void
test_health(void **state)
{
	static const struct {
		enum http_outcome outcome;
		int status;
		bool good;
	} rows[] = {
		{ HTTP_NOT_SENT, 0, false },
		{ HTTP_UNTRUSTED, 0, false },
		{ HTTP_BROKEN, 0, false },
		{ HTTP_TOO_LARGE, 0, false },
		{ HTTP_NO_MEMORY, 0, true },   /* says nothing about the host */
		{ HTTP_ANSWERED, 200, false }, /* without an id */
		{ HTTP_ANSWERED, 500, false },
		{ HTTP_ANSWERED, 409, true },
		{ HTTP_ANSWERED, 429, true },
		{ HTTP_ANSWERED, 503, true },
		{ HTTP_ANSWERED, 401, true },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		setup(state);
		for (int n = 0; n < HEALTH_FAILURES; n++) {
			memset(&seen, 0, sizeof(seen));
			join();
			reply(1,
			    rows[i].outcome == HTTP_ANSWERED ?
				answered(rows[i].status, "{}") :
				ended(rows[i].outcome));
		}
		if (health_open(&agora.health, FIXED, wire.clock_ms) !=
		    rows[i].good)
			fail_msg("outcome %u, HTTP %d", rows[i].outcome,
			    rows[i].status);
	}
}

/* Queries say nothing about the calls that matter. */
static void
test_queries_do_not_count(void **state)
{
	(void)state;
	for (int n = 0; n < HEALTH_FAILURES; n++) {
		memset(&seen, 0, sizeof(seen));
		list();
		reply(1, ended(HTTP_NOT_SENT));
	}
	assert_true(health_open(&agora.health, FIXED, wire.clock_ms));
}

static void
test_hosts_open(void **state)
{
	struct settings settings = defaults();
	char base[REGION_URL_SIZE];

	(void)state;
	assert_int_equal(agora_hosts_open(&agora, &settings, 0), 0xf);
	region_base(&settings, 2, base);
	for (int n = 0; n < HEALTH_FAILURES; n++)
		health_result(&agora.health, base, false, 0);
	assert_int_equal(agora_hosts_open(&agora, &settings, 0), 0xb);
}

static void
test_http_start_fails(void **state)
{
	struct settings settings = defaults();
	struct fail fail = { 0 };

	(void)state;
	wire.refuse = true;
	assert_int_equal(try_to_send(a_join, &settings, &fail), -1);
	assert_int_equal(fail.kind, FAIL_INTERNAL);
	assert_int_equal(seen.calls, 0);
}

static void
test_unusable_settings(void **state)
{
	struct settings settings = defaults();
	struct fail fail = { 0 };

	(void)state;
	assert_int_equal(secret_set(&settings.certificate, "short"), 0);
	assert_int_equal(try_to_send(a_join, &settings, &fail), -1);
	assert_int_equal(fail.kind, FAIL_INTERNAL);
	assert_int_equal(wire.starts, 0);
}

/* What the client is told. */

#define ERROR(reason) "{\"reason\":\"" reason "\",\"detail\":\"secret words\"}"

static void
expect_text(const char *text)
{
	assert_int_equal(seen.calls, 1);
	assert_string_equal(seen.answer.fail.text, text);
	assert_null(strstr(seen.answer.fail.text, "secret"));
}

static void
after_join(struct http_result result, const char *text)
{
	setup(NULL);
	join();
	reply(10, result);
	expect_text(text);
}

static void
after_leave(struct http_result result, const char *text)
{
	setup(NULL);
	leave("X1");
	reply(10, result);
	expect_text(text);
}

static void
test_texts_with_advice(void **state)
{
	(void)state;
	after_join(answered(403, ERROR("ServiceNotEnabled")),
	    "Agora refused the start: ServiceNotEnabled (HTTP 403); enable "
	    "Conversational AI for this App ID in the Agora console");
	assert_int_equal(seen.answer.fail.kind, FAIL_UPSTREAM);
	assert_int_equal(seen.answer.fail.upstream_status, 403);
	assert_string_equal(seen.answer.fail.upstream_reason,
	    "ServiceNotEnabled");
	after_join(answered(401, ERROR("InvalidPermission")),
	    "Agora refused the start: InvalidPermission (HTTP 401); check "
	    "APP_ID and APP_CERTIFICATE");
	after_join(answered(403, ERROR("AccountSuspended")),
	    "Agora refused the start: AccountSuspended (HTTP 403); the account "
	    "is suspended, see the Agora console");
	after_join(answered(422, ERROR("ResourceQuotaLimitExceeded")),
	    "Agora refused the start: ResourceQuotaLimitExceeded (HTTP 422); "
	    "the project's quota is used up; stop agents or ask Agora for "
	    "more");
	after_join(answered(429, ""),
	    "Agora refused the start for now "
	    "(HTTP 429); too many calls or agents; try again later");
	after_join(answered(503, ERROR("ResourceAllocationFailed")),
	    "Agora refused the start for now: ResourceAllocationFailed "
	    "(HTTP 503); try again in a moment");
	after_join(answered(409, ERROR("TaskConflict")),
	    "Agora refused the start: TaskConflict (HTTP 409); an agent of "
	    "this name runs already");
	after_join(answered(400, ERROR("InvalidFieldValue")),
	    "Agora refused the start: InvalidFieldValue (HTTP 400); check the "
	    "agent's settings and vendor keys");
}

static void
test_texts_without_advice(void **state)
{
	(void)state;
	after_join(answered(500, ERROR("InternalError")),
	    "Agora failed during the start: InternalError (HTTP 500)");
	after_join(answered(502, "<html>secret</html>"),
	    "Agora failed during the start (HTTP 502)");
	after_join(answered(302, ""), "Agora refused the start (HTTP 302)");
	after_join(answered(200, "{}"),
	    "Agora answered the start without an id (HTTP 200)");
	after_leave(answered(400, ERROR("InvalidRequest")),
	    "Agora refused the stop: InvalidRequest (HTTP 400)");
	after_leave(answered(405, ""), "Agora refused the stop (HTTP 405)");
}

static void
test_texts_without_an_answer(void **state)
{
	(void)state;
	after_join(ended(HTTP_BROKEN),
	    "Agora did not answer the start in time "
	    "or broke off; try again in a moment");
	after_join(ended(HTTP_TOO_LARGE),
	    "Agora's answer to the start is "
	    "larger than any it should send");
	after_leave(ended(HTTP_UNTRUSTED),
	    "Agora's certificate cannot be "
	    "verified, the stop was not sent; check the clock and the list of "
	    "certificate authorities of this server");
	setup(NULL);
	leave("X1");
	reply(9000, ended(HTTP_NOT_SENT));
	expect_text("Agora cannot be reached, the stop was not sent; try again "
		    "in a moment");
	setup(NULL);
	leave("X1");
	reply(9000, ended(HTTP_NO_MEMORY));
	expect_end(AGORA_NOT_PROCESSED, FAIL_INTERNAL);
}

static void
test_404_of_the_service_and_of_a_gateway(void **state)
{
	static const char no_route[] =
	    "Agora has no such route (HTTP 404); "
	    "AGORA_API_PATH is wrong for this project";

	(void)state;
	after_leave(answered(404, NO_TASK),
	    "No active session found for agent_id: X1");
	expect_end(AGORA_FINAL, FAIL_NOT_FOUND);
	assert_int_equal(seen.answer.fail.upstream_status, 404);
	assert_string_equal(seen.answer.fail.upstream_reason, "TaskNotFound");
	after_leave(answered(404, NO_ROUTE), no_route);
	expect_end(AGORA_FINAL, FAIL_UPSTREAM);
	after_leave(answered(404, "<html>not found</html>"), no_route);
	after_leave(answered(404, ""), no_route);
	after_join(answered(404, NO_ROUTE), no_route);
	after_join(answered(404, NO_TASK),
	    "Agora refused the start: TaskNotFound (HTTP 404)");
}

static void
test_clock_skew_is_told(void **state)
{
	struct http_result result = answered(401, ERROR("InvalidPermission"));

	(void)state;
	result.date = NOW - 3600;
	after_join(result,
	    "Agora refused the start: InvalidPermission "
	    "(HTTP 401); the clock of this server is 3600 s ahead of Agora's, "
	    "set it");
	result.date = NOW + 61;
	after_leave(result,
	    "Agora refused the stop: InvalidPermission "
	    "(HTTP 401); the clock of this server is 61 s behind Agora's, "
	    "set it");
	result.date = NOW + 60;
	after_join(result,
	    "Agora refused the start: InvalidPermission "
	    "(HTTP 401); check APP_ID and APP_CERTIFICATE");
}

/* The time that the call itself took is not skew. */
static void
test_slow_answer_is_not_skew(void **state)
{
	struct http_result result = answered(401, "");

	(void)state;
	result.date = NOW + 64;
	join();
	reply(5000, result);
	expect_text("Agora refused the start (HTTP 401); check APP_ID and "
		    "APP_CERTIFICATE");
}

static void
test_only_letters_are_a_reason(void **state)
{
	static const char letters64[] =
	    "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijkl";
	static const char *const odd[] = { "", "two words", "a<b>", "a1",
		"x\\ny", "allocate failed: secret", letters64 };
	char body[256];
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		snprintf(body, sizeof(body), "{\"reason\":\"%s\"}", odd[i]);
		after_join(answered(500, body),
		    "Agora failed during the start (HTTP 500)");
		assert_string_equal(seen.answer.fail.upstream_reason,
		    "upstream_failed");
	}
}

/* The log: one line for each failed attempt, and nothing secret. */

static size_t
lines_of(FILE *file, char lines[LINES_MAX][1200])
{
	size_t count = 0;

	rewind(file);
	while (count < LINES_MAX &&
	    fgets(lines[count], sizeof(lines[0]), file) != NULL)
		count++;
	return count;
}

static void
provoke_log_lines(void)
{
	struct http_result refused = answered(403, ERROR("InvalidPermission"));

	copy(refused.request_id, sizeof(refused.request_id), "req-1");
	join();
	reply(10, ended(HTTP_NOT_SENT));
	seen.calls = 0;
	join();
	reply(10, refused);
	seen.calls = 0;
	leave("X1");
	reply(10, ended(HTTP_BROKEN));
	seen.calls = 0;
	leave("X1");
	reply(10, ended(HTTP_UNTRUSTED));
	seen.calls = 0;
	leave("X1");
	reply(10, answered(404, NO_TASK));
	seen.calls = 0;
	join();
	reply(10, answered(200, JOINED));
}

/* Expects provoke_log_lines() to log ${expected}, up to a NULL. */
static void
expect_log(enum log_level level, const char *const *expected)
{
	char lines[LINES_MAX][1200];
	FILE *file = tmpfile();
	int kept = dup(STDERR_FILENO);
	size_t i, count;

	assert_non_null(file);
	log_set_level(level);
	dup2(fileno(file), STDERR_FILENO);
	provoke_log_lines();
	dup2(kept, STDERR_FILENO);
	close(kept);
	count = lines_of(file, lines);
	fclose(file);
	for (i = 0; expected[i] != NULL; i++) {
		assert_true(i < count);
		assert_string_equal(lines[i], expected[i]);
	}
	assert_int_equal(i, count);
}

#define NOT_SENT                                                               \
	"<4>agora-agent: agora: join: 127.0.0.1:8443: "                        \
	"not sent: libcurl's words\n"
#define REFUSED                                                                \
	"<3>agora-agent: agora: join: 127.0.0.1:8443: "                        \
	"HTTP 403 InvalidPermission, request id req-1\n"
#define NO_ANSWER                                                              \
	"<4>agora-agent: agora: leave: 127.0.0.1:8443: "                       \
	"no answer: libcurl's words\n"
#define NOT_TRUSTED                                                            \
	"<3>agora-agent: agora: leave: 127.0.0.1:8443: "                       \
	"not trusted: libcurl's words\n"
#define GONE                                                                   \
	"<4>agora-agent: agora: leave: 127.0.0.1:8443: "                       \
	"HTTP 404 TaskNotFound\n"

static void
test_log_lines(void **state)
{
	static const char *const expected[] = { NOT_SENT, REFUSED, NO_ANSWER,
		NOT_TRUSTED, GONE, NULL };

	(void)state;
	expect_log(LOG_LEVEL_INFO, expected);
}

#define DEBUG(text) "<7>agora-agent: agora: " text "\n"

/* Which host each attempt goes to, what it came to and how long it took. */
static void
test_debug_lines(void **state)
{
	static const char *const expected[] = {
		DEBUG("join: to 127.0.0.1:8443, within 1234 ms"), NOT_SENT,
		DEBUG("join: not processed after 10 ms"),
		DEBUG("join: to 127.0.0.1:8443, within 1234 ms"), REFUSED,
		DEBUG("join: final after 10 ms"),
		DEBUG("leave: to 127.0.0.1:8443, within 1234 ms"), NO_ANSWER,
		DEBUG("leave: unknown after 10 ms"),
		DEBUG("leave: to 127.0.0.1:8443, within 1234 ms"), NOT_TRUSTED,
		DEBUG("leave: final after 10 ms"),
		DEBUG("leave: to 127.0.0.1:8443, within 1234 ms"), GONE,
		DEBUG("leave: final after 10 ms"),
		DEBUG("join: to 127.0.0.1:8443, within 1234 ms"),
		DEBUG("join: done after 10 ms"), NULL
	};

	(void)state;
	expect_log(LOG_LEVEL_DEBUG, expected);
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

static int
make_agent(void **state)
{
	struct settings settings = defaults();

	(void)state;
	one_agent_make(&settings);
	start.agent = one_agent;
	return 0;
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
		TEST(test_outcomes_without_an_answer),
		TEST(test_status_codes),
		cmocka_unit_test_setup(test_join_is_done_only_with_an_id,
		    setup),
		TEST(test_leave_classes),
		TEST(test_leave_that_was_sent_twice),
		TEST(test_join_that_was_sent_twice),
		TEST(test_ids),
		TEST(test_join_request),
		TEST(test_leave_request),
		TEST(test_list_request),
		TEST(test_list_refused),
		TEST(test_list_of_a_channel),
		TEST(test_list_of_all_channels),
		TEST(test_cursors),
		TEST(test_longest_list),
		TEST(test_long_list_is_cut),
		TEST(test_look_at_an_agent),
		TEST(test_conflict_names_the_agent),
		TEST(test_clocks_are_compared),
		TEST(test_no_https_client),
		TEST(test_health),
		TEST(test_queries_do_not_count),
		TEST(test_hosts_open),
		TEST(test_http_start_fails),
		TEST(test_unusable_settings),
		TEST(test_texts_with_advice),
		TEST(test_texts_without_advice),
		TEST(test_texts_without_an_answer),
		cmocka_unit_test_setup(test_404_of_the_service_and_of_a_gateway,
		    setup),
		TEST(test_clock_skew_is_told),
		TEST(test_slow_answer_is_not_skew),
		TEST(test_only_letters_are_a_reason),
		TEST(test_log_lines),
		TEST(test_debug_lines),
	};

	return cmocka_run_group_tests_name("agora", tests, make_agent,
	    free_agent);
}
