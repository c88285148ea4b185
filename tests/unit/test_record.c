/*
 * record.c: when is a request whole, and which ones does libfcgi never see?
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "fcgi/record.h"

#define BEGIN 1
#define ABORT 2
#define PARAMS 4
#define STDIN 5
#define GET_VALUES 9

static uint8_t bytes[2 * RECORD_REQUEST_MAX];
static size_t len;

static void
add_record(uint8_t type, uint16_t id, const void *content, size_t content_len,
    uint8_t padding)
{
	const uint8_t header[8] = { 1, type, (uint8_t)(id >> 8), (uint8_t)id,
		(uint8_t)(content_len >> 8), (uint8_t)content_len, padding, 0 };

	assert_true(len + 8 + content_len + padding <= sizeof(bytes));
	memcpy(bytes + len, header, 8);
	if (content_len > 0)
		memcpy(bytes + len + 8, content, content_len);
	memset(bytes + len + 8 + content_len, 0, padding);
	len += 8 + content_len + padding;
}

static void
add_begin(uint16_t id, uint8_t role)
{
	const uint8_t body[8] = { 0, role, 1, 0, 0, 0, 0, 0 };

	add_record(BEGIN, id, body, sizeof(body), 0);
}

static const char pair[] = "\x0e\x03REQUEST_METHODGET";

/* A complete GET, as nginx would send it. */
static void
add_get(uint16_t id)
{
	add_begin(id, 1);
	add_record(PARAMS, id, pair, sizeof(pair) - 1, 7);
	add_record(PARAMS, id, NULL, 0, 0);
	add_record(STDIN, id, NULL, 0, 0);
}

static enum record_verdict
check(struct record_request *request)
{
	return record_check(bytes, len, request);
}

static int
reset(void **state)
{
	(void)state;
	len = 0;
	return 0;
}

static void
record_whole_only_with_the_last_byte(void **state)
{
	struct record_request request;
	size_t all, cut;

	(void)state;
	add_get(0x1234);
	all = len;
	for (cut = 0; cut < all; cut++) {
		len = cut;
		assert_int_equal(check(&request), RECORD_MORE);
	}
	len = all;
	assert_int_equal(check(&request), RECORD_WHOLE);
	assert_int_equal(request.id, 0x1234);
	assert_int_equal(request.len, all);
}

static void
record_does_not_count_what_follows(void **state)
{
	struct record_request request;
	size_t one;

	(void)state;
	add_get(1);
	one = len;
	add_get(1);
	assert_int_equal(check(&request), RECORD_WHOLE);
	assert_int_equal(request.len, one);
}

static void
record_pairs_may_be_cut_anywhere(void **state)
{
	static const char long_pair[] = "\x80\x00\x00\x02\x80\x00\x00\x03"
					"AB=cd";
	struct record_request request;
	size_t i, n = sizeof(long_pair) - 1;

	(void)state;
	for (i = 1; i < n; i++) {
		len = 0;
		add_begin(1, 1);
		add_record(PARAMS, 1, long_pair, i, 0);
		add_record(PARAMS, 1, long_pair + i, n - i, 1);
		add_record(PARAMS, 1, NULL, 0, 0);
		add_record(STDIN, 1, NULL, 0, 0);
		assert_int_equal(check(&request), RECORD_WHOLE);
	}
}

static void
record_refuses_pairs_past_the_end(void **state)
{
	struct record_request request;

	(void)state;
	add_begin(1, 1);
	add_record(PARAMS, 1,
	    "\x02\x03"
	    "ABcd",
	    6, 0);
	add_record(PARAMS, 1, NULL, 0, 0);
	assert_int_equal(check(&request), RECORD_BAD);
}

static void
record_refuses_giant_declared_lengths(void **state)
{
	static const char *const lengths[] = {
		"\xff\xff\xff\xfe\x01",             /* name */
		"\x01\xff\xff\xff\xfe",             /* value */
		"\xbf\xff\xff\xff\xbf\xff\xff\xff", /* both, a sum past 2^31 */
	};
	static const size_t sizes[] = { 5, 5, 8 };
	struct record_request request;
	size_t i;

	(void)state;
	for (i = 0; i < 3; i++) {
		len = 0;
		add_begin(9, 1);
		add_record(PARAMS, 9, lengths[i], sizes[i], 0);
		assert_int_equal(check(&request), RECORD_HEAD_LARGE);
		assert_int_equal(request.id, 9);
	}
}

static void
record_refuses_what_no_web_server_sends(void **state)
{
	struct record_request request;
	uint8_t version;

	(void)state;
	for (version = 0; version < 4; version++) {
		len = 0;
		add_get(1);
		bytes[0] = version;
		assert_int_equal(check(&request),
		    version == 1 ? RECORD_WHOLE : RECORD_BAD);
	}
	len = 0;
	add_record(GET_VALUES, 0,
	    "\x0f\x00"
	    "FCGI_MPXS_CONNS",
	    17, 0);
	assert_int_equal(check(&request), RECORD_BAD);
	len = 0;
	add_begin(1, 2); /* authorizer */
	assert_int_equal(check(&request), RECORD_BAD);
	len = 0;
	add_begin(1, 1);
	add_record(77, 1, "x", 1, 0);
	assert_int_equal(check(&request), RECORD_BAD);
	len = 0;
	add_begin(1, 1);
	add_record(ABORT, 1, NULL, 0, 0);
	assert_int_equal(check(&request), RECORD_BAD);
	len = 0;
	add_record(PARAMS, 1, NULL, 0, 0);
	assert_int_equal(check(&request), RECORD_BAD);
	len = 0;
	add_begin(1, 1);
	add_record(STDIN, 1, NULL, 0, 0);
	assert_int_equal(check(&request), RECORD_BAD);
}

static void
record_leaves_a_second_request_to_libfcgi(void **state)
{
	struct record_request request;

	(void)state;
	add_begin(1, 1);
	add_begin(2, 1);
	add_record(PARAMS, 1, pair, sizeof(pair) - 1, 0);
	add_record(PARAMS, 1, NULL, 0, 0);
	add_record(STDIN, 1, NULL, 0, 0);
	assert_int_equal(check(&request), RECORD_WHOLE);
	assert_int_equal(request.id, 1);
}

static void
record_refuses_padding_that_libfcgi_misreads(void **state)
{
	static const uint8_t begin[8] = { 0, 1 };
	struct record_request request;
	int where;

	(void)state;
	for (where = -1; where < 3; where++) {
		len = 0;
		add_record(BEGIN, 1, begin, 8, where == 0 ? 8 : 0);
		add_record(PARAMS, 1, pair, sizeof(pair) - 1, 8);
		add_record(PARAMS, 1, NULL, 0, where == 1 ? 8 : 0);
		add_record(STDIN, 1, NULL, 0, where == 2 ? 8 : 0);
		assert_int_equal(check(&request),
		    where == -1 ? RECORD_WHOLE : RECORD_BAD);
	}
}

static void
record_refuses_other_ids_that_libfcgi_misreads(void **state)
{
	struct record_request request;

	(void)state;
	add_begin(1, 1);
	add_record(STDIN, 2, NULL, 0, 0);
	assert_int_equal(check(&request), RECORD_BAD);
	len = 0;
	add_begin(1, 1);
	add_record(PARAMS, 2, pair, sizeof(pair) - 1, 0);
	assert_int_equal(check(&request), RECORD_BAD);
}

static void
record_limits_the_head(void **state)
{
	static uint8_t big[60000]; /* pairs of two empty strings */
	struct record_request request;

	(void)state;
	add_begin(1, 1);
	add_record(PARAMS, 1, big, sizeof(big), 0);
	assert_int_equal(check(&request), RECORD_MORE);
	add_record(PARAMS, 1, big, RECORD_HEAD_MAX - sizeof(big), 0);
	assert_int_equal(check(&request), RECORD_MORE);
	add_record(PARAMS, 1, big, 2, 0);
	assert_int_equal(check(&request), RECORD_HEAD_LARGE);
}

static void
record_limits_the_body_before_it_arrives(void **state)
{
	static uint8_t big[RECORD_BODY_MAX + 1];
	struct record_request request;
	size_t head;

	(void)state;
	add_begin(1, 1);
	add_record(PARAMS, 1, NULL, 0, 0);
	head = len;
	add_record(STDIN, 1, big, RECORD_BODY_MAX, 0);
	assert_int_equal(check(&request), RECORD_MORE);
	add_record(STDIN, 1, NULL, 0, 0);
	assert_int_equal(check(&request), RECORD_WHOLE);
	len = head;
	add_record(STDIN, 1, big, RECORD_BODY_MAX + 1, 0);
	len = head + 8;
	assert_int_equal(check(&request), RECORD_BODY_LARGE);
}

static void
record_many_small_records_find_an_end(void **state)
{
	struct record_request request;
	int i;

	(void)state;
	add_begin(1, 1);
	add_record(PARAMS, 1, NULL, 0, 0);
	for (i = 0; len < RECORD_REQUEST_MAX; i++)
		add_record(STDIN, 1, "x", 1, 255);
	len = RECORD_REQUEST_MAX;
	assert_true(i < RECORD_BODY_MAX);
	assert_int_equal(check(&request), RECORD_BODY_LARGE);
}

static void
record_an_answer_is_stdout_its_end_and_the_end(void **state)
{
	/* clang-format off */
	static const uint8_t expected_before[RECORD_BEFORE_SIZE] = {
		1, 6, 1, 2, 3, 4, 0, 0,
	}, expected_after[RECORD_AFTER_SIZE] = {
		1, 6, 1, 2, 0, 0, 0, 0,
		1, 3, 1, 2, 0, 8, 0, 0,
		0, 0, 0, 0, 0, 0, 0, 0,
	};
	/* clang-format on */
	uint8_t before[RECORD_BEFORE_SIZE], after[RECORD_AFTER_SIZE];

	(void)state;
	record_enclose(0x102, 0x304, before, after);
	assert_memory_equal(before, expected_before, sizeof(before));
	assert_memory_equal(after, expected_after, sizeof(after));
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, reset)
	const struct CMUnitTest tests[] = {
		TEST(record_whole_only_with_the_last_byte),
		TEST(record_does_not_count_what_follows),
		TEST(record_pairs_may_be_cut_anywhere),
		TEST(record_refuses_pairs_past_the_end),
		TEST(record_refuses_giant_declared_lengths),
		TEST(record_refuses_what_no_web_server_sends),
		TEST(record_leaves_a_second_request_to_libfcgi),
		TEST(record_refuses_padding_that_libfcgi_misreads),
		TEST(record_refuses_other_ids_that_libfcgi_misreads),
		TEST(record_limits_the_head),
		TEST(record_limits_the_body_before_it_arrives),
		TEST(record_many_small_records_find_an_end),
		TEST(record_an_answer_is_stdout_its_end_and_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
