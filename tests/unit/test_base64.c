/*
 * Base64: the vectors of RFC 4648 section 10, and that each sequence of bytes
 * has one text only.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base64.h"

static const struct {
	const char *bytes;
	const char *text;
} rfc4648[] = {
	{ "", "" },
	{ "f", "Zg==" },
	{ "fo", "Zm8=" },
	{ "foo", "Zm9v" },
	{ "foob", "Zm9vYg==" },
	{ "fooba", "Zm9vYmE=" },
	{ "foobar", "Zm9vYmFy" },
};

static void
test_rfc4648(void **state)
{
	uint8_t bytes[16];
	char text[BASE64_SIZE(16)];
	size_t i, len;

	(void)state;
	for (i = 0; i < sizeof(rfc4648) / sizeof(*rfc4648); i++) {
		len = strlen(rfc4648[i].bytes);
		memcpy(bytes, rfc4648[i].bytes, len);
		base64_encode(bytes, len, text);
		assert_string_equal(text, rfc4648[i].text);
		assert_int_equal(strlen(text) + 1, BASE64_SIZE(len));

		memset(bytes, 0, sizeof(bytes));
		assert_int_equal(base64_decode(text, strlen(text), bytes,
				     sizeof(bytes), &len),
		    0);
		assert_int_equal(len, strlen(rfc4648[i].bytes));
		assert_memory_equal(bytes, rfc4648[i].bytes, len);
	}
}

/* All 2^24 groups would be slow under valgrind; each bit pair is enough. */
static void
test_every_byte_in_every_place(void **state)
{
	uint8_t in[3], out[3];
	char text[BASE64_SIZE(3)];
	size_t place, len, n;
	unsigned int value;

	(void)state;
	for (n = 1; n <= 3; n++)
		for (place = 0; place < n; place++)
			for (value = 0; value < 256; value++) {
				memset(in, 0xa5, sizeof(in));
				in[place] = (uint8_t)value;
				base64_encode(in, n, text);
				assert_int_equal(base64_decode(text, 4, out, 3,
						     &len),
				    0);
				assert_int_equal(len, n);
				assert_memory_equal(in, out, n);
			}
}

static void
test_other_spellings_are_refused(void **state)
{
	static const char *const bad[] = { "Z", "Zg", "Zg=", "Zm8",
		"Zh==", "Zm9=", "Zg==Zg==", "Zg=a",
		"=Zg=", "====", "Z===", "Zm9v=", "Zm9v ", "Zm9v\n", "Zm 9v",
		"Zm9v\nZm9", "Zm9-", "Zm9_", "Zm9\xc3\xa9", "\x80\x80\x80\x80",
		"Zm9,", "Zm9v====" };
	uint8_t bytes[16];
	size_t i, len = 99;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (base64_decode(bad[i], strlen(bad[i]), bytes, sizeof(bytes),
			&len) != -1)
			fail_msg("accepted: %s", bad[i]);
	assert_int_equal(len, 99);
	assert_int_equal(base64_decode("Zm\0v", 4, bytes, 16, &len), -1);
}

/* Of the 2^16 two-character beginnings of "xx==", 256 spell a byte. */
static void
test_one_byte_has_one_text(void **state)
{
	char text[] = "xx==";
	unsigned int first, second, accepted = 0;
	uint8_t byte;
	size_t len;

	(void)state;
	for (first = 0; first < 256; first++)
		for (second = 0; second < 256; second++) {
			text[0] = (char)first;
			text[1] = (char)second;
			accepted += base64_decode(text, 4, &byte, 1, &len) == 0;
		}
	assert_int_equal(accepted, 256);
}

static void
test_what_does_not_fit_is_refused(void **state)
{
	uint8_t bytes[6];
	size_t len;

	(void)state;
	assert_int_equal(base64_decode("Zm9vYmFy", 8, bytes, 6, &len), 0);
	assert_int_equal(base64_decode("Zm9vYmFy", 8, bytes, 5, &len), -1);
	assert_int_equal(base64_decode("Zm9vYmE=", 8, bytes, 5, &len), 0);
	assert_int_equal(base64_decode("Zm9vYmE=", 8, bytes, 4, &len), -1);
	assert_int_equal(base64_decode("Zg==", 4, bytes, 0, &len), -1);
	assert_int_equal(base64_decode("", 0, bytes, 0, &len), 0);
	assert_int_equal(len, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc4648),
		cmocka_unit_test(test_every_byte_in_every_place),
		cmocka_unit_test(test_other_spellings_are_refused),
		cmocka_unit_test(test_one_byte_has_one_text),
		cmocka_unit_test(test_what_does_not_fit_is_refused),
	};

	return cmocka_run_group_tests_name("base64", tests, NULL, NULL);
}
