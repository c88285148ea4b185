#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/buf.h"

static void
buf_starts_as_an_empty_string(void **state)
{
	struct buf buf = BUF(10);

	(void)state;
	assert_string_equal(buf_str(&buf), "");
	assert_false(buf_failed(&buf));
	assert_int_equal(buf.len, 0);
}

static void
buf_appends_text_bytes_and_formats(void **state)
{
	struct buf buf = BUF(100);

	(void)state;
	buf_text(&buf, "a");
	buf_add(&buf, "b\0c", 3);
	buf_format(&buf, "%d-%s", 42, "x");
	assert_false(buf_failed(&buf));
	assert_int_equal(buf.len, 8);
	assert_memory_equal(buf.data, "ab\0c42-x", 9);
	buf_free(&buf);
}

static void
buf_keeps_content_while_it_grows(void **state)
{
	struct buf buf = BUF(100000);

	(void)state;
	for (int i = 0; i < 10000; i++)
		buf_format(&buf, "%04d", i);
	assert_false(buf_failed(&buf));
	assert_int_equal(buf.len, 40000);
	assert_memory_equal(buf.data, "000000010002", 12);
	assert_string_equal(buf.data + 39996, "9999");
	buf_free(&buf);
}

static void
buf_in_an_array_stays_there(void **state)
{
	char bytes[9];
	struct buf buf = BUF_IN(bytes);

	(void)state;
	assert_string_equal(buf_str(&buf), "");
	buf_format(&buf, "%d", 1234);
	buf_text(&buf, "5678");
	assert_false(buf_failed(&buf));
	assert_ptr_equal(buf_str(&buf), bytes);
	assert_string_equal(bytes, "12345678");
	buf_text(&buf, "9");
	assert_true(buf_failed(&buf));
	buf_free(&buf);
	assert_int_equal(bytes[7], 0); /* wiped */
	buf_text(&buf, "again");
	assert_false(buf_failed(&buf));
	assert_string_equal(bytes, "again");
}

static void
buf_takes_exactly_its_ceiling(void **state)
{
	struct buf buf = BUF(4);

	(void)state;
	buf_text(&buf, "ab");
	buf_format(&buf, "%s", "cd");
	assert_false(buf_failed(&buf));
	assert_string_equal(buf_str(&buf), "abcd");
	buf_add(&buf, "", 0);
	assert_false(buf_failed(&buf));
	buf_free(&buf);
}

static void
buf_refuses_a_byte_past_its_ceiling(void **state)
{
	struct buf added = BUF(4), formatted = BUF(4);

	(void)state;
	buf_text(&added, "abcd");
	buf_text(&added, "e");
	assert_true(buf_failed(&added));
	assert_string_equal(buf_str(&added), "abcd");
	buf_format(&formatted, "%s", "abcde");
	assert_true(buf_failed(&formatted));
	assert_string_equal(buf_str(&formatted), "");
	buf_free(&added);
	buf_free(&formatted);
}

static void
buf_refuses_a_length_that_would_overflow(void **state)
{
	struct buf buf = BUF(SIZE_MAX);

	(void)state;
	buf_text(&buf, "a");
	buf_add(&buf, "b", SIZE_MAX);
	assert_true(buf_failed(&buf));
	assert_string_equal(buf_str(&buf), "a");
	buf_free(&buf);
}

static void
buf_failure_is_sticky(void **state)
{
	struct buf buf = BUF(4);

	(void)state;
	buf_text(&buf, "too long");
	buf_text(&buf, "a");
	assert_true(buf_failed(&buf));
	assert_string_equal(buf_str(&buf), "");
	buf_free(&buf);
}

static void
buf_reset_forgets_content_and_failure(void **state)
{
	struct buf buf = BUF(4);
	char *data;

	(void)state;
	buf_text(&buf, "abcd");
	data = buf.data;
	buf_text(&buf, "e");
	buf_reset(&buf);
	assert_false(buf_failed(&buf));
	assert_string_equal(buf_str(&buf), "");
	buf_text(&buf, "xy");
	assert_string_equal(buf_str(&buf), "xy");
	assert_ptr_equal(buf.data, data);
	assert_int_equal(buf.max, 4);
	buf_free(&buf);
}

static void
buf_take_hands_over_and_leaves_empty(void **state)
{
	struct buf buf = BUF(4);
	char *taken;

	(void)state;
	buf_text(&buf, "abcd");
	taken = buf_take(&buf);
	assert_string_equal(taken, "abcd");
	free(taken);
	assert_string_equal(buf_str(&buf), "");
	buf_text(&buf, "more");
	assert_string_equal(buf_str(&buf), "more");
	buf_free(&buf);
}

static void
buf_take_gives_nothing_when_failed_or_empty(void **state)
{
	struct buf failed = BUF(4), empty = BUF(4);

	(void)state;
	buf_text(&failed, "ab");
	buf_text(&failed, "too long");
	assert_null(buf_take(&failed));
	assert_string_equal(buf_str(&failed), "");
	assert_null(buf_take(&empty));
}

static void
buf_free_leaves_an_empty_buffer(void **state)
{
	struct buf buf = BUF(4);

	(void)state;
	buf_free(NULL);
	buf_text(&buf, "too long");
	buf_free(&buf);
	buf_free(&buf);
	assert_null(buf.data);
	assert_false(buf_failed(&buf));
	buf_text(&buf, "ab");
	assert_string_equal(buf_str(&buf), "ab");
	buf_free(&buf);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buf_starts_as_an_empty_string),
		cmocka_unit_test(buf_appends_text_bytes_and_formats),
		cmocka_unit_test(buf_keeps_content_while_it_grows),
		cmocka_unit_test(buf_in_an_array_stays_there),
		cmocka_unit_test(buf_takes_exactly_its_ceiling),
		cmocka_unit_test(buf_refuses_a_byte_past_its_ceiling),
		cmocka_unit_test(buf_refuses_a_length_that_would_overflow),
		cmocka_unit_test(buf_failure_is_sticky),
		cmocka_unit_test(buf_reset_forgets_content_and_failure),
		cmocka_unit_test(buf_take_hands_over_and_leaves_empty),
		cmocka_unit_test(buf_take_gives_nothing_when_failed_or_empty),
		cmocka_unit_test(buf_free_leaves_an_empty_buffer),
	};

	return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
