#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/json_write.h"

/* What ${text} of ${len} bytes becomes as a string. */
static void
check_string(const char *text, size_t len, const char *expected)
{
	struct buf out = BUF(256);

	json_write_string(&out, text, len);
	assert_string_equal(buf_str(&out), expected);
	buf_free(&out);
}

static void
strings_are_escaped(void **state)
{
	(void)state;
	check_string("", 0, "\"\"");
	check_string("a/b~\x7f", 5, "\"a/b~\x7f\"");
	check_string("\"\\", 2, "\"\\\"\\\\\"");
	check_string("a\b\f\n\r\tb", 7, "\"a\\b\\f\\n\\r\\tb\"");
	check_string("\0\x1f", 2, "\"\\u0000\\u001f\"");
}

static void
strings_are_utf_8_whatever_they_were(void **state)
{
	(void)state;
	check_string("\xe2\x82\xac\xf0\x9f\x98\x80", 7,
	    "\"\xe2\x82\xac\xf0\x9f\x98\x80\"");
	check_string("a\xff"
		     "b\xe2\x82",
	    5,
	    "\"a\xef\xbf\xbd"
	    "b\xef\xbf\xbd\xef\xbf\xbd\"");
	check_string("\xed\xa0\x80", 3,
	    "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
}

static void
members_are_separated_at_every_depth(void **state)
{
	struct buf inner = BUF(64), out = BUF(256);

	(void)state;
	buf_text(&inner, "[1]");
	json_write_open(&out, NULL);
	json_write_int(&out, "least", INT64_MIN);
	json_write_open(&out, "o");
	json_write_text(&out, "q\"", "{");
	json_write_int(&out, "n", 0);
	json_write_close(&out);
	json_write_json(&out, "i", &inner);
	json_write_open(&out, "empty");
	json_write_close(&out);
	json_write_close(&out);
	assert_false(buf_failed(&out));
	assert_string_equal(buf_str(&out),
	    "{\"least\":-9223372036854775808,\"o\":{\"q\\\"\":\"{\",\"n\":0},"
	    "\"i\":[1],\"empty\":{}}");
	buf_free(&inner);
	buf_free(&out);
}

static void
what_does_not_fit_marks_the_buffer(void **state)
{
	struct buf out = BUF(16);

	(void)state;
	json_write_open(&out, NULL);
	json_write_text(&out, "text", "0123456789");
	json_write_close(&out);
	assert_true(buf_failed(&out));
	buf_free(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(strings_are_escaped),
		cmocka_unit_test(strings_are_utf_8_whatever_they_were),
		cmocka_unit_test(members_are_separated_at_every_depth),
		cmocka_unit_test(what_does_not_fit_marks_the_buffer),
	};

	return cmocka_run_group_tests_name("json_write", tests, NULL, NULL);
}
