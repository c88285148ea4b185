#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/num.h"
#include "common/sys.h"

static void
num_parse_reads_integers(void **state)
{
	static const struct {
		const char *text;
		int64_t value;
	} cases[] = {
		{ "0", 0 },
		{ "7", 7 },
		{ "10", 10 },
		{ "-1", -1 },
		{ "-0", 0 },
		{ "4294967295", 4294967295 },
		{ "9223372036854775807", INT64_MAX },
		{ "-9223372036854775808", INT64_MIN },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int64_t value = 99;

		assert_int_equal(num_parse(cases[i].text, INT64_MIN, INT64_MAX,
				     &value),
		    0);
		assert_true(value == cases[i].value);
	}
}

static void
num_parse_refuses_everything_else(void **state)
{
	static const char *const cases[] = { "", "-", "+1", " 1", "1 ", "1\n",
		"01", "00", "-01", "--1", "1.0", "1e3", "0x10", "1a", "a",
		"\xff", "9223372036854775808", "-9223372036854775809",
		"9223372036854775817", "18446744073709551617",
		"99999999999999999999999999" };

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int64_t value = 99;

		assert_int_equal(num_parse(cases[i], INT64_MIN, INT64_MAX,
				     &value),
		    -1);
		assert_true(value == 99);
	}
}

static void
num_parse_keeps_to_its_bounds(void **state)
{
	int64_t value = 99;

	(void)state;
	assert_int_equal(num_parse("1", 1, 5, &value), 0);
	assert_int_equal(num_parse("5", 1, 5, &value), 0);
	assert_true(value == 5);
	assert_int_equal(num_parse("0", 1, 5, &value), -1);
	assert_int_equal(num_parse("6", 1, 5, &value), -1);
	assert_true(value == 5);
}

static void
num_in_range_reaches_both_ends(void **state)
{
	uint8_t zero[8] = { 0 }, five[8] = { 5 }, six[8] = { 6 };

	(void)state;
	assert_true(num_in_range(zero, 10, 15) == 10);
	assert_true(num_in_range(five, 10, 15) == 15);
	assert_true(num_in_range(six, 10, 15) == 10);
	assert_true(num_in_range(six, 10, 10) == 10);
}

static void
num_in_range_uses_all_eight_bytes(void **state)
{
	uint8_t random[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };

	(void)state;
	assert_true(num_in_range(random, 0, UINT64_MAX) ==
	    UINT64_C(0x0807060504030201));
}

static void
num_in_range_never_leaves_the_range(void **state)
{
	(void)state;
	for (int i = 0; i < 1000; i++) {
		uint8_t random[8];
		uint64_t number;

		assert_int_equal(sys_random(random, sizeof(random)), 0);
		number = num_in_range(random, 1000, 9999999);
		assert_in_range(number, 1000, 9999999);
	}
}

static void
num_hex_writes_lower_case(void **state)
{
	static const uint8_t bytes[] = { 0x00, 0x0f, 0xa5, 0xff };
	char hex[] = "xxxxxxxxxy";

	(void)state;
	num_hex(bytes, 4, hex);
	assert_string_equal(hex, "000fa5ff");
	assert_int_equal(hex[9], 'y');
	num_hex(bytes, 0, hex);
	assert_string_equal(hex, "");
}

static void
sys_random_differs_each_time(void **state)
{
	uint8_t a[32] = { 0 }, b[32] = { 0 };

	(void)state;
	assert_int_equal(sys_random(a, sizeof(a)), 0);
	assert_int_equal(sys_random(b, sizeof(b)), 0);
	assert_memory_not_equal(a, b, sizeof(a));
}

static void
sys_random_refuses_more_than_256_bytes(void **state)
{
	uint8_t data[257], zeros[257] = { 0 };

	(void)state;
	memset(data, 'x', sizeof(data));
	assert_int_equal(sys_random(data, 257), -1);
	assert_memory_equal(data, zeros, sizeof(data));
	assert_int_equal(sys_random(data, 256), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(num_parse_reads_integers),
		cmocka_unit_test(num_parse_refuses_everything_else),
		cmocka_unit_test(num_parse_keeps_to_its_bounds),
		cmocka_unit_test(num_in_range_reaches_both_ends),
		cmocka_unit_test(num_in_range_uses_all_eight_bytes),
		cmocka_unit_test(num_in_range_never_leaves_the_range),
		cmocka_unit_test(num_hex_writes_lower_case),
		cmocka_unit_test(sys_random_differs_each_time),
		cmocka_unit_test(sys_random_refuses_more_than_256_bytes),
	};

	return cmocka_run_group_tests_name("num", tests, NULL, NULL);
}
