/*
 * gate.c: headers that are empty, double, or nearly what is asked for. What
 * clients see of the rest is in tests/system/test_access.py.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/fail.h"
#include "common/settings.h"
#include "common/shared.h"
#include "fcgi/exchange.h"
#include "fcgi/gate.h"
#include "fcgi/service.h"

#define KEY "0123456789abcdef"

static char no_origins[] = "";
static struct settings settings;
static struct service service = { .settings = &settings };
static struct shared *shared; /* NULL: no memory for it */

struct shared *__wrap_service_shared(struct service *unused);

struct shared *
__wrap_service_shared(struct service *unused)
{
	(void)unused;
	return shared;
}

static int
reset(void **state)
{
	(void)state;
	settings =
	    (struct settings){ .usable = true, .allowed_origins = no_origins };
	return 0;
}

/* ${lines} are variables, one a line; NULL: there are none. */
static int
enter(const char *lines, struct exchange *exchange, struct fail *fail)
{
	static char text[512]; /* lives as long as what the gate notes */
	char *params[8] = { NULL }, *at = text;
	size_t count = 0;

	*exchange = (struct exchange){ .service = &service };
	*fail = (struct fail){ 0 };
	if (lines == NULL)
		return gate_enter(exchange, NULL, fail);
	assert_in_range(strlen(lines), 0, sizeof(text) - 1);
	memcpy(text, lines, strlen(lines) + 1);
	while (at != NULL) {
		params[count++] = at;
		at = strchr(at, '\n');
		if (at != NULL)
			*at++ = '\0';
	}
	return gate_enter(exchange, params, fail);
}

static void
ask_for_key(void)
{
	assert_null(apikeys_set(&settings.api_keys, KEY));
}

static void
expect_entry(const char *lines, enum fail_kind expected)
{
	struct exchange exchange;
	struct fail fail;

	assert_int_equal(enter(lines, &exchange, &fail),
	    expected == FAIL_NONE ? 0 : -1);
	assert_int_equal(fail.kind, expected);
}

static void
expect_token(const char *lines, const char *token)
{
	struct exchange exchange;
	struct fail fail;

	assert_int_equal(enter(lines, &exchange, &fail), 0);
	assert_string_equal(exchange.request.token, token);
}

static void
no_headers_at_all(void **state)
{
	(void)state;
	expect_entry(NULL, FAIL_NONE);
	ask_for_key();
	expect_entry(NULL, FAIL_UNAUTHORIZED);
	expect_entry("HTTP_X_API_KEY=", FAIL_UNAUTHORIZED);
	expect_entry("HTTP_X_API_KEY=   ", FAIL_UNAUTHORIZED);
}

static void
same_header_twice(void **state)
{
	(void)state;
	ask_for_key();
	expect_entry("HTTP_X_API_KEY=" KEY "\nHTTP_X_API_KEY=" KEY, FAIL_NONE);
	expect_entry("HTTP_X_API_KEY=" KEY "\nHTTP_X_API_KEY=x",
	    FAIL_UNAUTHORIZED);
	expect_entry("HTTP_X_API_KEY=" KEY "\nHTTP_X_API_KEY_2=x", FAIL_NONE);
	expect_entry("HTTP_AUTHORIZATION=Bearer " KEY
		     "\nREDIRECT_HTTP_AUTHORIZATION=Bearer " KEY,
	    FAIL_NONE);
	expect_entry("HTTP_AUTHORIZATION=Bearer " KEY
		     "\nREDIRECT_HTTP_AUTHORIZATION=Bearer x",
	    FAIL_UNAUTHORIZED);
}

static void
token_in_either_header(void **state)
{
	(void)state;
	settings.require_token = true;
	expect_token("HTTP_AUTHORIZATION=agora token=007x", "007x");
	expect_token("HTTP_AUTHORIZATION=agora token=007x\n"
		     "HTTP_X_AGORA_TOKEN=007x",
	    "007x");
	expect_token("HTTP_AUTHORIZATION=agora 007x", "");
	expect_entry("HTTP_AUTHORIZATION=agora token=007x\n"
		     "HTTP_X_AGORA_TOKEN=007y",
	    FAIL_UNAUTHORIZED);
}

static int
count_start(const char *address, struct fail *fail)
{
	struct exchange exchange = { .service = &service,
		.request.peer = address };

	*fail = (struct fail){ 0 };
	return gate_count_start(&exchange, &settings, fail);
}

/* One start each; the second address of a pair shares the first one's. */
static void
networks(void **state)
{
	static const char *const pairs[][2] = {
		{ "192.0.2.1", "::ffff:192.0.2.1" },
		{ "2001:db8::1", "2001:db8::2:3" },
		{ "0:0:5:6::1", "0:0:5:6::2" },
		{ "::1", "::2" },
		{ "nobody knows", "nobody knows" },
	};
	struct fail fail;
	size_t i;

	(void)state;
	settings.start_limit = (struct limit){ .count = 1, .seconds = 60 };
	shared = shared_open(NULL, NULL);
	assert_non_null(shared);
	for (i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		assert_int_equal(count_start(pairs[i][0], &fail), 0);
		assert_int_equal(count_start(pairs[i][1], &fail), -1);
		assert_int_equal(fail.kind, FAIL_LIMIT);
		assert_in_range(fail.retry_after, 1, 60);
	}
	shared_close(shared);
	shared = NULL;
}

static void
nothing_to_count_with(void **state)
{
	struct fail fail;

	(void)state;
	assert_int_equal(count_start("192.0.2.1", &fail), 0);
	settings.start_limit = (struct limit){ .count = 1, .seconds = 60 };
	assert_int_equal(count_start("192.0.2.1", &fail), -1);
	assert_int_equal(fail.kind, FAIL_INTERNAL);
}

/* In a table of its own a process that serves more than one request counts. */
static void
nobody_to_count_with(void **state)
{
	struct fail fail;

	(void)state;
	settings.start_limit = (struct limit){ .count = 1, .seconds = 60 };
	shared = shared_open(NULL, NULL);
	assert_non_null(shared);
	service.alone = true;
	assert_int_equal(count_start("192.0.2.1", &fail), 0);
	assert_int_equal(count_start("192.0.2.1", &fail), -1);
	assert_int_equal(fail.kind, FAIL_LIMIT);
	service.single = true;
	assert_int_equal(count_start("192.0.2.2", &fail), -1);
	assert_int_equal(fail.kind, FAIL_CONFIG);
	service.alone = false;
	assert_int_equal(count_start("192.0.2.2", &fail), 0);
	service.single = false;
	shared_close(shared);
	shared = NULL;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(no_headers_at_all, reset),
		cmocka_unit_test_setup(same_header_twice, reset),
		cmocka_unit_test_setup(token_in_either_header, reset),
		cmocka_unit_test_setup(networks, reset),
		cmocka_unit_test_setup(nothing_to_count_with, reset),
		cmocka_unit_test_setup(nobody_to_count_with, reset),
	};

	return cmocka_run_group_tests_name("gate", tests, NULL, NULL);
}
