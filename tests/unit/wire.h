/*
 * For tests of what calls Agora: the HTTPS client, the loop, the clocks, the
 * random numbers, the log and the shares of settings are replaced by the
 * functions below, which take the place of the library's. Time passes only
 * when a test says so, and every step can be made to fail.
 */
#ifndef TESTS_UNIT_WIRE_H
#define TESTS_UNIT_WIRE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/agora.h"
#include "common/fail.h"
#include "common/http.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/secret.h"
#include "common/settings.h"
#include "common/sys.h"

#define WIRE_APP_ID "970CA35de60c44645bbae8a215061b33"
#define WIRE_CERTIFICATE "5CFd2fd1755d40ecb72977518be15d3b"
#define WIRE_NOW 1770199765
#define WIRE_T0 1000000 /* monotonic ms at the beginning */
#define WIRE_MAX 64     /* calls, and timers, at a time */

/* A call on its way. */
struct wire_call {
	int number; /* the first is 1 */
	char method[8], url[1024], authorization[1024], body[4096];
	int64_t timeout_ms;
	bool fresh;
	void (*done)(void *arg, const struct http_result *result);
	void *arg;
};

static struct wire {
	int64_t ms;
	struct wire_call call[WIRE_MAX]; /* the first is the oldest */
	size_t calls;
	struct loop_timer *timer[WIRE_MAX];
	size_t timers;
	struct loop_timer *expiring;
	int sent; /* calls so far */

	/* What fails: everything from the n-th of them on; 0: nothing. */
	int no_memory_from, tried;
	bool no_random;
	bool nothing_sent;

	int shares;    /* of the settings */
	char log[512]; /* the last line of level warning or error */
	int orphans;
	uint32_t random;
} wire;

static struct agora agora;

/* Whether the next thing that takes memory fails. */
static bool
wire_out_of_memory(void)
{
	wire.tried++;
	return wire.no_memory_from != 0 && wire.tried >= wire.no_memory_from;
}

int64_t
sys_monotonic_ms(void)
{
	return wire.ms;
}

int64_t
sys_monotonic_us(void)
{
	return wire.ms * 1000;
}

int
sys_random(void *data, size_t len)
{
	uint8_t *bytes = data;

	memset(data, 0, len);
	if (wire.no_random)
		return -1;
	for (size_t i = 0; i < len; i++) {
		wire.random = wire.random * 1664525 + 1013904223;
		bytes[i] = (uint8_t)(wire.random >> 24);
	}
	return 0;
}

void
settings_share(struct settings *settings)
{
	(void)settings;
	wire.shares++;
}

void
settings_free(struct settings *settings)
{
	(void)settings;
	wire.shares--;
}

static void wire_log(const char *format, va_list args)
    __attribute__((format(printf, 1, 0)));

static void
wire_log(const char *format, va_list args)
{
	vsnprintf(wire.log, sizeof(wire.log), format, args);
	if (strstr(wire.log, "orphan_possible") != NULL)
		wire.orphans++;
}

void
log_error(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	wire_log(format, args);
	va_end(args);
}

void
log_warn(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	wire_log(format, args);
	va_end(args);
}

void
log_debug(const char *format, ...)
{
	(void)format;
}

/* ---- the loop ----------------------------------------------------------- */

void
loop_timer_clear(struct loop *loop, struct loop_timer *timer)
{
	(void)loop;
	for (size_t i = 0; i < wire.timers; i++)
		if (wire.timer[i] == timer)
			wire.timer[i] = wire.timer[--wire.timers];
	timer->place = 0;
}

/* As the loop's: setting one that is armed, or expiring, needs no memory. */
int
loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t ms)
{
	bool placed = timer->place != 0 || timer == wire.expiring;

	loop_timer_clear(loop, timer);
	if (!placed && wire_out_of_memory())
		return -1;
	assert_true(wire.timers < WIRE_MAX);
	wire.timer[wire.timers++] = timer;
	timer->place = 1;
	timer->due = ms < INT64_MAX - wire.ms ? wire.ms + ms : INT64_MAX;

	return 0;
}

/* The timer that is due first, by ${until_ms}; or NULL. */
static inline struct loop_timer *
wire_first_timer(int64_t until_ms)
{
	struct loop_timer *first = NULL;

	for (size_t i = 0; i < wire.timers; i++)
		if (wire.timer[i]->due <= until_ms &&
		    (first == NULL || wire.timer[i]->due < first->due))
			first = wire.timer[i];
	return first;
}

/* Lets ${ms} pass; what is due then has happened. */
static inline void
wire_pass(int64_t ms)
{
	int64_t until = wire.ms + ms;
	struct loop_timer *timer;

	while ((timer = wire_first_timer(until)) != NULL) {
		if (timer->due > wire.ms)
			wire.ms = timer->due;
		loop_timer_clear(NULL, timer);
		wire.expiring = timer;
		timer->expired(timer);
		wire.expiring = NULL;
	}
	wire.ms = until;
}

/* ---- the HTTPS client --------------------------------------------------- */

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

static inline void
wire_copy(char *to, size_t size, const char *from)
{
	assert_true(from == NULL || strlen(from) < size);
	snprintf(to, size, "%s", from == NULL ? "" : from);
}

int
http_start(struct http *http, const struct http_request *request,
    void (*done)(void *arg, const struct http_result *result), void *arg,
    struct fail *fail)
{
	struct wire_call *call = &wire.call[wire.calls];

	assert_null(http);
	if (wire.nothing_sent || wire_out_of_memory())
		return fail_set(fail, FAIL_INTERNAL, "out of memory");
	assert_true(wire.calls < WIRE_MAX);
	assert_true(request->timeout_ms > 0);
	*call = (struct wire_call){ .number = ++wire.sent,
		.timeout_ms = request->timeout_ms,
		.fresh = request->fresh,
		.done = done,
		.arg = arg };
	wire_copy(call->method, sizeof(call->method), request->method);
	wire_copy(call->url, sizeof(call->url), request->url);
	wire_copy(call->authorization, sizeof(call->authorization),
	    request->authorization);
	wire_copy(call->body, sizeof(call->body), request->body);
	wire.calls++;
	return 0;
}

static inline struct http_result
wire_answer(int status, const char *body)
{
	return (struct http_result){ .outcome = HTTP_ANSWERED,
		.status = status,
		.body = body,
		.body_len = strlen(body),
		.retry_after = -1,
		.date = -1 };
}

static inline struct http_result
wire_outcome(enum http_outcome outcome)
{
	return (struct http_result){ .outcome = outcome,
		.retry_after = -1,
		.date = -1,
		.error = "libcurl's words" };
}

/* The ${i}th call under way ends so. */
static inline void
wire_end_call(size_t i, struct http_result result)
{
	struct wire_call call;

	assert_true(i < wire.calls);
	call = wire.call[i];
	wire.calls--;
	memmove(&wire.call[i], &wire.call[i + 1],
	    (wire.calls - i) * sizeof(wire.call[0]));
	call.done(call.arg, &result);
}

/* The only call under way is answered. */
static inline void
wire_reply(int status, const char *body)
{
	assert_int_equal(wire.calls, 1);
	wire_end_call(0, wire_answer(status, body));
}

/* The only call under way ends without an answer. */
static inline void
wire_break(enum http_outcome outcome)
{
	assert_int_equal(wire.calls, 1);
	wire_end_call(0, wire_outcome(outcome));
}

/* Exactly one call is under way: ${method} to a URL that ends in ${path}. */
static inline const struct wire_call *
wire_expect(const char *method, const char *path)
{
	const struct wire_call *call = &wire.call[0];
	size_t len = strlen(path);

	assert_int_equal(wire.calls, 1);
	assert_string_equal(call->method, method);
	if (strlen(call->url) < len ||
	    strcmp(call->url + strlen(call->url) - len, path) != 0)
		fail_msg("%s is not …%s", call->url, path);
	return call;
}

/* ---- the beginning ------------------------------------------------------ */

static struct settings
wire_settings(void)
{
	static char text[] = "text", none[] = "";
	static char path[] = "/api/conversational-ai-agent";
	struct settings settings = { .usable = true,
		.app_id = WIRE_APP_ID,
		.area = SETTINGS_AREA_US,
		.api_path = path,
		.api_base_url = none,
		.ca_file = none,
		.greeting = text,
		.instructions = text,
		.failure_message = text,
		.tts_model_id = none,
		.tts_voice_id = none,
		.start_concurrency = 4,
		.idle_timeout = 30 };

	assert_int_equal(secret_set(&settings.certificate, WIRE_CERTIFICATE),
	    0);
	return settings;
}

/* Everything as in a process that has just begun. */
static inline void
wire_reset(void)
{
	wire = (struct wire){ .ms = WIRE_T0, .random = 1 };
	agora = (struct agora){ 0 };
}

/* Nothing is left of what was begun. */
static inline void
wire_expect_nothing(void)
{
	assert_int_equal(wire.calls, 0);
	assert_int_equal(wire.timers, 0);
	assert_int_equal(wire.shares, 0);
	assert_int_equal(agora.starts, 0);
	assert_int_equal(agora_working(&agora), 0);
}

#endif
