#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/fail.h"

static void
fail_set_records_kind_and_sentence(void **state)
{
	struct fail fail = { 0 };

	(void)state;
	assert_int_equal(fail_set(&fail, FAIL_METHOD, "%s %d", "no", 7), -1);
	assert_int_equal(fail.kind, FAIL_METHOD);
	assert_string_equal(fail.text, "no 7");
}

static void
fail_set_keeps_the_first_reason(void **state)
{
	struct fail fail = { 0 };

	(void)state;
	fail_set(&fail, FAIL_BAD_INPUT, "first");
	assert_int_equal(fail_set(&fail, FAIL_INTERNAL, "second"), -1);
	assert_int_equal(fail.kind, FAIL_BAD_INPUT);
	assert_string_equal(fail.text, "first");
}

static void
fail_set_takes_no_struct(void **state)
{
	(void)state;
	assert_int_equal(fail_set(NULL, FAIL_INTERNAL, "nobody asks"), -1);
}

static void
fail_set_replaces_control_bytes(void **state)
{
	struct fail fail = { 0 };

	(void)state;
	fail_set(&fail, FAIL_BAD_INPUT, "%s",
	    "a\nb\rc\x1b[0m\x7f\xc3\xa9 \x01");
	assert_string_equal(fail.text, "a?b?c?[0m?\xc3\xa9 ?");
}

/* The longest text that fits, but for ${end}, then ${end} and more. */
static void
set_long(struct fail *fail, size_t room, const char *end)
{
	char filler[FAIL_TEXT_SIZE] = { 0 };

	memset(filler, 'x', FAIL_TEXT_SIZE - 1 - room);
	fail_set(fail, FAIL_BAD_INPUT, "%s%s and more", filler, end);
}

static void
fail_set_cuts_a_long_sentence(void **state)
{
	struct fail fail = { 0 };

	(void)state;
	set_long(&fail, 1, "y");
	assert_int_equal(strlen(fail.text), FAIL_TEXT_SIZE - 1);
	assert_int_equal(fail.text[FAIL_TEXT_SIZE - 2], 'y');
}

static void
fail_set_cuts_between_characters(void **state)
{
	static const char *const ends[] = { "\xc3\xa9", "\xe2\x80\xa6",
		"\xf0\x9f\x98\x80" };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		size_t size = strlen(ends[i]);

		for (size_t room = 1; room < size; room++) {
			struct fail fail = { 0 };

			set_long(&fail, room, ends[i]);
			assert_int_equal(strlen(fail.text),
			    FAIL_TEXT_SIZE - 1 - room);
		}
	}
}

static void
fail_set_keeps_a_last_character_that_fits(void **state)
{
	struct fail fail = { 0 };

	(void)state;
	set_long(&fail, 3, "\xe2\x80\xa6");
	assert_int_equal(strlen(fail.text), FAIL_TEXT_SIZE - 1);
	assert_string_equal(fail.text + FAIL_TEXT_SIZE - 4, "\xe2\x80\xa6");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fail_set_records_kind_and_sentence),
		cmocka_unit_test(fail_set_keeps_the_first_reason),
		cmocka_unit_test(fail_set_takes_no_struct),
		cmocka_unit_test(fail_set_replaces_control_bytes),
		cmocka_unit_test(fail_set_cuts_a_long_sentence),
		cmocka_unit_test(fail_set_cuts_between_characters),
		cmocka_unit_test(fail_set_keeps_a_last_character_that_fits),
	};

	return cmocka_run_group_tests_name("fail", tests, NULL, NULL);
}
