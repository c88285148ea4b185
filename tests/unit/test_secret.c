#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/secret.h"

#define ELLIPSIS "\xe2\x80\xa6"

static void
secret_set_copies(void **state)
{
	struct secret secret = { 0 };

	(void)state;
	assert_int_equal(secret_set(&secret, "abc"), 0);
	assert_string_equal(secret.text, "abc");
	assert_int_equal(secret.len, 3);
}

static void
secret_set_leaves_nothing_of_the_last_one(void **state)
{
	struct secret secret = { 0 };
	char zeros[SECRET_MAX] = { 0 };

	(void)state;
	assert_int_equal(secret_set(&secret, "0123456789abcdef"), 0);
	assert_int_equal(secret_set(&secret, "x"), 0);
	assert_memory_equal(secret.text + 1, zeros, SECRET_MAX);
}

static void
secret_set_takes_the_longest_and_no_longer(void **state)
{
	struct secret secret = { 0 };
	char text[SECRET_MAX + 2] = { 0 };

	(void)state;
	memset(text, 'x', SECRET_MAX);
	assert_int_equal(secret_set(&secret, text), 0);
	assert_int_equal(secret.len, SECRET_MAX);
	assert_string_equal(secret.text, text);
	text[SECRET_MAX] = 'x';
	assert_int_equal(secret_set(&secret, text), -1);
	assert_int_equal(secret.len, 0);
	assert_string_equal(secret.text, "");
}

static void
secret_wipe_zeroes(void **state)
{
	char data[] = "key material", zeros[sizeof(data)] = { 0 };

	(void)state;
	secret_wipe(data, sizeof(data));
	assert_memory_equal(data, zeros, sizeof(data));
	secret_wipe(NULL, 0);
}

static void
secret_equal_compares_all_bytes(void **state)
{
	(void)state;
	assert_true(secret_equal("abc", "abc", 3));
	assert_true(secret_equal("abc", "abd", 2));
	assert_false(secret_equal("abc", "abd", 3));
	assert_false(secret_equal("xbc", "abc", 3));
	assert_true(secret_equal("a", "b", 0));
}

/* What secret_hint() makes of ${text} must be ${expected}. */
static void
check_hint(const char *text, const char *expected)
{
	struct secret secret = { 0 };
	char hint[SECRET_HINT_SIZE];

	assert_int_equal(secret_set(&secret, text), 0);
	secret_hint(&secret, hint);
	assert_string_equal(hint, expected);
}

static void
secret_hint_shows_the_last_four(void **state)
{
	(void)state;
	check_hint("0123456789abcdef", ELLIPSIS "cdef");
}

static void
secret_hint_shows_nothing_of_a_short_one(void **state)
{
	(void)state;
	check_hint("0123456789abcde", "set");
	check_hint("x", "set");
}

static void
secret_hint_says_not_set(void **state)
{
	(void)state;
	check_hint("", "not set");
}

static void
secret_hint_is_printable(void **state)
{
	(void)state;
	check_hint("0123456789ab\xc3\xa9\x1b\n", ELLIPSIS "????");
}

static void
secret_realloc_keeps_the_content(void **state)
{
	char *data = secret_realloc(NULL, 4);

	(void)state;
	assert_non_null(data);
	memcpy(data, "abc", 4);
	data = secret_realloc(data, 4000);
	assert_string_equal(data, "abc");
	data = secret_realloc(data, 2);
	assert_memory_equal(data, "ab", 2);
	secret_free(data);
	secret_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(secret_set_copies),
		cmocka_unit_test(secret_set_leaves_nothing_of_the_last_one),
		cmocka_unit_test(secret_set_takes_the_longest_and_no_longer),
		cmocka_unit_test(secret_wipe_zeroes),
		cmocka_unit_test(secret_equal_compares_all_bytes),
		cmocka_unit_test(secret_hint_shows_the_last_four),
		cmocka_unit_test(secret_hint_shows_nothing_of_a_short_one),
		cmocka_unit_test(secret_hint_says_not_set),
		cmocka_unit_test(secret_hint_is_printable),
		cmocka_unit_test(secret_realloc_keeps_the_content),
	};

	return cmocka_run_group_tests_name("secret", tests, NULL, NULL);
}
