#define _GNU_SOURCE /* memmem(3) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/apikeys.h"

#define ONE "0123456789abcdef"
#define TWO "a-second-key~with/other=signs"

static void
each_key_of_the_list_matches(void **state)
{
	struct apikeys keys;

	(void)state;
	assert_null(apikeys_set(&keys, ONE ", " TWO));
	assert_int_equal(keys.len, 2);
	assert_true(apikeys_match(&keys, ONE));
	assert_true(apikeys_match(&keys, TWO));
}

static void
nothing_else_matches(void **state)
{
	static const char *const others[] = { "", "0123456789abcde", ONE "0",
		"1123456789abcdef", "0123456789abcdeF", ONE " ", " " ONE,
		ONE "," TWO, ONE ", " TWO, "," };
	struct apikeys keys;
	char *huge = calloc(1, 1024 * 1024);

	(void)state;
	assert_null(apikeys_set(&keys, ONE "," TWO));
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (apikeys_match(&keys, others[i]))
			fail_msg("\"%s\" matches", others[i]);
	memset(huge, '0', 1024 * 1024 - 1);
	assert_false(apikeys_match(&keys, huge));
	free(huge);
	keys.len = 0;
	assert_false(apikeys_match(&keys, ONE));
}

static void
the_keys_themselves_are_not_kept(void **state)
{
	struct apikeys one, two;

	(void)state;
	assert_null(apikeys_set(&one, ONE));
	assert_null(apikeys_set(&two, ONE));
	assert_null(memmem(&one, sizeof(one), ONE, 8));
	assert_memory_not_equal(one.mac, two.mac, HMAC_SIZE);
}

/* ${count} keys of ${len} bytes, with commas between them. */
static const char *
many(size_t count, size_t len)
{
	static char text[8192];
	size_t at = 0;

	for (size_t i = 0; i < count; i++) {
		memset(text + at, 'k', len);
		text[at + len] = ',';
		at += len + 1;
	}
	text[at - 1] = '\0';
	return text;
}

static void
keys_have_limits(void **state)
{
	struct apikeys keys;

	(void)state;
	assert_null(apikeys_set(&keys, many(16, 256)));
	assert_true(apikeys_match(&keys, many(1, 256)));
	assert_non_null(apikeys_set(&keys, many(17, 16)));
	assert_int_equal(keys.len, 0);
	assert_non_null(apikeys_set(&keys, many(1, 257)));
	assert_non_null(apikeys_set(&keys, many(1, 15)));
	assert_non_null(apikeys_set(&keys, ONE ","));
	assert_non_null(apikeys_set(&keys, "," ONE));
	assert_non_null(apikeys_set(&keys, ""));
	assert_non_null(apikeys_set(&keys, "0123456789 abcdef"));
	assert_non_null(apikeys_set(&keys, "0123456789\tabcdef"));
	assert_non_null(apikeys_set(&keys,
	    "0123456789\xc3\xa9"
	    "abcdef"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_key_of_the_list_matches),
		cmocka_unit_test(nothing_else_matches),
		cmocka_unit_test(the_keys_themselves_are_not_kept),
		cmocka_unit_test(keys_have_limits),
	};

	return cmocka_run_group_tests_name("apikeys", tests, NULL, NULL);
}
