#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"
#include "fcgi/answer.h"

static const struct answer_head head = { .id = "an-id", .allow = "POST" };

/* Answers whether the answer to ${fail} has ${line} in its header. */
static bool
has_line(const struct fail *fail, const char *line)
{
	struct buf out = BUF(ANSWER_MAX);
	const char *at, *end;
	bool found;

	answer_fail(&head, fail, &out);
	assert_false(buf_failed(&out));
	at = strstr(buf_str(&out), line);
	end = strstr(buf_str(&out), "\r\n\r\n");
	assert_non_null(end);
	found = at != NULL && at < end;
	buf_free(&out);
	return found;
}

static void
retry_after_is_sent_when_it_is_known(void **state)
{
	struct fail limit = { .kind = FAIL_LIMIT, .retry_after = 7 };
	struct fail upstream = { .kind = FAIL_UPSTREAM, .retry_after = 60 };

	(void)state;
	assert_true(has_line(&limit, "Status: 429 Too Many Requests\r\n"));
	assert_true(has_line(&limit, "\r\nRetry-After: 7\r\n"));
	assert_true(has_line(&upstream, "\r\nRetry-After: 60\r\n"));
	upstream.retry_after = 0;
	assert_false(has_line(&upstream, "Retry-After"));
}

static void
a_401_says_how_to_authenticate(void **state)
{
	struct fail fail = { .kind = FAIL_UNAUTHORIZED };

	(void)state;
	assert_true(has_line(&fail, "Status: 401 Unauthorized\r\n"));
	assert_true(has_line(&fail, "\r\nWWW-Authenticate: Bearer\r\n"));
	fail.kind = FAIL_FORBIDDEN;
	assert_false(has_line(&fail, "WWW-Authenticate"));
}

static void
check_success(const struct buf *data, const char *body)
{
	struct buf out = BUF(ANSWER_MAX);
	const char *end;

	answer_success(&head, data, &out);
	assert_int_equal(strncmp(buf_str(&out), "Status: 200 OK\r\n", 16), 0);
	end = strstr(buf_str(&out), "\r\n\r\n");
	assert_non_null(end);
	assert_string_equal(end + 4, body);
	buf_free(&out);
}

static void
a_success_has_data_or_not(void **state)
{
	struct buf data = BUF(64);

	(void)state;
	check_success(NULL, "{\"code\":0,\"msg\":\"success\"}");
	buf_text(&data, "{\"a\":1}");
	check_success(&data,
	    "{\"code\":0,\"msg\":\"success\",\"data\":{\"a\":1}}");
	buf_free(&data);
}

/* Nothing that a failure says is cut, however much of it must be escaped. */
static void
the_longest_failure_fits(void **state)
{
	struct fail fail = { .kind = FAIL_UPSTREAM, .upstream_status = 403 };
	struct buf out = BUF(ANSWER_MAX);

	(void)state;
	memset(fail.text, '"', sizeof(fail.text) - 1);
	memset(fail.upstream_reason, '\xff', sizeof(fail.upstream_reason) - 1);
	answer_fail(&head, &fail, &out);
	assert_false(buf_failed(&out));
	assert_non_null(strstr(buf_str(&out), "\"request_id\":\"an-id\","));
	assert_string_equal(buf_str(&out) + out.len - 3, "\"}}");
	buf_free(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(retry_after_is_sent_when_it_is_known),
		cmocka_unit_test(a_401_says_how_to_authenticate),
		cmocka_unit_test(a_success_has_data_or_not),
		cmocka_unit_test(the_longest_failure_fits),
	};

	return cmocka_run_group_tests_name("answer", tests, NULL, NULL);
}
