#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/utf8.h"

/* The length of the character in a copy without a byte behind its end. */
static size_t
length_of(const uint8_t *bytes, size_t len)
{
	char *copy = malloc(len > 0 ? len : 1);
	size_t size;

	assert_non_null(copy);
	memcpy(copy, bytes, len);
	size = utf8_character(copy, len);
	free(copy);
	return size;
}

/* Writes ${code}, which may be any number of 21 bits, as if it were legal. */
static size_t
encode(uint32_t code, size_t size, uint8_t bytes[static 4])
{
	static const uint8_t first[] = { 0, 0, 0xc0, 0xe0, 0xf0 };

	if (size == 1) {
		bytes[0] = (uint8_t)code;
		return 1;
	}
	for (size_t i = size; i-- > 1; code >>= 6)
		bytes[i] = (uint8_t)(0x80 | (code & 0x3f));
	bytes[0] = (uint8_t)(first[size] | code);
	return size;
}

static size_t
shortest(uint32_t code)
{
	if (code < 0x80)
		return 1;
	if (code < 0x800)
		return 2;
	return code < 0x10000 ? 3 : 4;
}

/* Every code point in every length: legal are the shortest, no surrogates. */
static void
utf8_knows_every_code_point(void **state)
{
	uint8_t bytes[4];

	(void)state;
	for (uint32_t code = 0; code < 0x200000; code++) {
		bool legal =
		    code <= 0x10ffff && (code < 0xd800 || code > 0xdfff);
		size_t size = shortest(code);

		encode(code, size, bytes);
		if (utf8_character((char *)bytes, size) != (legal ? size : 0))
			fail_msg("U+%04X", code);
		for (size++; size <= 4; size++) {
			encode(code, size, bytes);
			if (utf8_character((char *)bytes, size) != 0)
				fail_msg("U+%04X in %zu bytes", code, size);
		}
	}
}

static void
utf8_refuses_every_cut(void **state)
{
	static const uint32_t codes[] = { 0x80, 0x7ff, 0x800, 0xffff, 0x10000,
		0x10ffff };
	uint8_t bytes[4] = { 0 };

	(void)state;
	assert_int_equal(length_of(bytes, 0), 0);
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
		size_t size = encode(codes[i], shortest(codes[i]), bytes);

		assert_int_equal(length_of(bytes, size), size);
		for (size_t len = 0; len < size; len++)
			assert_int_equal(length_of(bytes, len), 0);
	}
}

/* Each byte of a character replaced by every other one. */
static void
utf8_refuses_broken_continuations(void **state)
{
	static const char euro[] = "\xe2\x82\xac";
	static const char clef[] = "\xf0\x9d\x84\x9e";
	char bytes[4];

	(void)state;
	for (int c = 0; c < 256; c++) {
		bool continues = c >= 0x80 && c <= 0xbf;

		memcpy(bytes, euro, 3);
		bytes[2] = (char)c;
		assert_int_equal(utf8_character(bytes, 3), continues ? 3 : 0);
		for (size_t i = 2; i < 4; i++) {
			memcpy(bytes, clef, 4);
			bytes[i] = (char)c;
			assert_int_equal(utf8_character(bytes, 4),
			    continues ? 4 : 0);
		}
	}
}

/* Bytes that begin no character, whatever follows. */
static void
utf8_refuses_bad_first_bytes(void **state)
{
	char bytes[4] = { 0, (char)0x90, (char)0x90, (char)0x90 };

	(void)state;
	for (int c = 0x80; c < 0x100; c++) {
		bytes[0] = (char)c;
		if (c < 0xc2 || c > 0xf4)
			assert_int_equal(utf8_character(bytes, 4), 0);
		else if (c != 0xe0 && c != 0xf4)
			assert_int_not_equal(utf8_character(bytes, 4), 0);
	}
}

static void
utf8_valid_reads_all(void **state)
{
	static const char text[] = "a\xc3\xa9\0\xe2\x82\xac"
				   "b";
	static const char bad[] = "a\xc3\xa9\xff";

	(void)state;
	assert_true(utf8_valid("", 0));
	assert_true(utf8_valid(text, sizeof(text) - 1));
	assert_false(utf8_valid(text, 2));
	assert_false(utf8_valid(text, sizeof(text) - 3));
	assert_false(utf8_valid(bad, sizeof(bad) - 1));
	assert_true(utf8_valid(bad, sizeof(bad) - 2));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(utf8_knows_every_code_point),
		cmocka_unit_test(utf8_refuses_every_cut),
		cmocka_unit_test(utf8_refuses_broken_continuations),
		cmocka_unit_test(utf8_refuses_bad_first_bytes),
		cmocka_unit_test(utf8_valid_reads_all),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("utf8", tests, NULL, NULL);
}
