/*
 * query.c: values out of a query string.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fcgi/query.h"

static void
expect(const char *query, const char *value)
{
	char got[16];

	assert_int_equal(query_get(query, "uid", got, sizeof(got)), 0);
	assert_string_equal(got, value);
}

static void
refuse(const char *query)
{
	char got[16] = "x";

	assert_int_equal(query_get(query, "uid", got, sizeof(got)), -1);
	assert_string_equal(got, "");
}

static void
query_finds_the_first_of_a_name(void **state)
{
	(void)state;
	expect("uid=5", "5");
	expect("channel=a&uid=5", "5");
	expect("uid=5&uid=6", "5");
	expect("xuid=4&uidx=3&uid=5", "5");
	expect("&&uid=5&", "5");
	expect("uid=a=b", "a=b");
}

static void
query_absent_is_empty(void **state)
{
	(void)state;
	expect("", "");
	expect("uid", "");
	expect("uid=", "");
	expect("UID=5", "");
	expect("x=uid=5", "");
}

static void
query_decodes(void **state)
{
	(void)state;
	expect("uid=%35+%2b%2B%26%e4", "5 ++&\xe4");
}

static void
query_refuses_what_cannot_be_a_value(void **state)
{
	(void)state;
	refuse("uid=%");
	refuse("uid=%3");
	refuse("uid=%zz");
	refuse("uid=%00");
	refuse("uid=%3&x=5"); /* not read past the parameter */
	refuse("uid=1234567890123456");
	expect("uid=123456789012345", "123456789012345");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(query_finds_the_first_of_a_name),
		cmocka_unit_test(query_absent_is_empty),
		cmocka_unit_test(query_decodes),
		cmocka_unit_test(query_refuses_what_cannot_be_a_value),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
