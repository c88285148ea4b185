/*
 * Tokens that somebody made up, cut, bent, blew up or borrowed.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>

#include "common/base64.h"
#include "common/fail.h"
#include "common/hmac.h"
#include "common/token.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

#define APP_ID "970CA35de60c44645bbae8a215061b33"
#define CERTIFICATE "5CFd2fd1755d40ecb72977518be15d3b"
#define CHANNEL "channel_1770199765"
#define ACCOUNT "1234567"
#define ISSUED 1770199765
#define EXPIRE 3600

#define SIGNATURE_AT 2 /* in a payload */
#define SIGNED_AT 34

/* --- good tokens --- */

static void
good_token(uint32_t salt, char token[static TOKEN_SIZE])
{
	const struct token_claims claims = {
		.app_id = APP_ID,
		.channel = CHANNEL,
		.account = ACCOUNT,
		.issue_ts = ISSUED,
		.expire = EXPIRE,
		.salt = salt,
	};

	assert_int_equal(token_build(&claims, CERTIFICATE, token, NULL), 0);
}

static bool
verifies(const char *token)
{
	return token_verify(token, APP_ID, CERTIFICATE, CHANNEL, ACCOUNT,
	    ISSUED + 1);
}

/* --- making tokens by hand --- */

struct bytes {
	uint8_t data[8192];
	size_t len;
};

static void
add(struct bytes *bytes, const void *data, size_t len)
{
	assert_true(len <= sizeof(bytes->data) - bytes->len);
	memcpy(bytes->data + bytes->len, data, len);
	bytes->len += len;
}

static void
add_number(struct bytes *bytes, uint32_t value, size_t size)
{
	uint8_t byte;

	for (; size > 0; size--, value >>= 8) {
		byte = (uint8_t)value;
		add(bytes, &byte, 1);
	}
}

static void
add_string(struct bytes *bytes, const char *text, size_t len)
{
	add_number(bytes, (uint32_t)len, 2);
	add(bytes, text, len);
}

/* Everything up to the services; sign() fills in the signature. */
static struct bytes
payload_head(uint32_t services)
{
	struct bytes payload = { .len = 0 };
	const uint8_t signature[HMAC_SIZE] = { 0 };

	add_number(&payload, HMAC_SIZE, 2);
	add(&payload, signature, HMAC_SIZE);
	add_string(&payload, APP_ID, 32);
	add_number(&payload, ISSUED, 4);
	add_number(&payload, EXPIRE, 4);
	add_number(&payload, 7, 4);
	add_number(&payload, services, 2);
	return payload;
}

static void
add_rtc(struct bytes *payload, const char *channel, size_t channel_len)
{
	add_number(payload, TOKEN_RTC, 2);
	add_number(payload, 1, 2);
	add_number(payload, TOKEN_RTC_JOIN, 2);
	add_number(payload, EXPIRE, 4);
	add_string(payload, channel, channel_len);
	add_string(payload, ACCOUNT, strlen(ACCOUNT));
}

static void
sign(struct bytes *payload)
{
	struct bytes number = { .len = 0 };
	uint8_t key[HMAC_SIZE];

	add_number(&number, ISSUED, 4);
	assert_int_equal(hmac_sha256(number.data, 4, CERTIFICATE, 32, key), 0);
	number.len = 0;
	add_number(&number, 7, 4);
	assert_int_equal(hmac_sha256(number.data, 4, key, 32, key), 0);
	assert_int_equal(hmac_sha256(key, 32, payload->data + SIGNED_AT,
			     payload->len - SIGNED_AT,
			     payload->data + SIGNATURE_AT),
	    0);
}

static void
text_of(const uint8_t *stream, size_t len, char *token)
{
	memcpy(token, "007", 3);
	base64_encode(stream, len, token + 3);
}

/* "007" base64(zlib(payload)); ${token} holds 16,384 bytes. */
static void
wrap(const struct bytes *payload, char *token)
{
	uint8_t stream[9000];
	uLongf len = sizeof(stream);

	assert_int_equal(compress2(stream, &len, payload->data, payload->len,
			     9),
	    Z_OK);
	text_of(stream, len, token);
}

/* The zlib stream inside ${token}. */
static size_t
stream_of(const char *token, uint8_t stream[static TOKEN_SIZE])
{
	size_t len;

	assert_int_equal(base64_decode(token + 3, strlen(token) - 3, stream,
			     TOKEN_SIZE, &len),
	    0);
	return len;
}

static void
check_refused(const char *token)
{
	struct token_parsed parsed;
	struct fail fail = { 0 };

	if (token_parse(token, &parsed, &fail) != -1)
		fail_msg("accepted: %s", token);
	assert_int_equal(fail.kind, FAIL_BAD_INPUT);
	assert_string_not_equal(fail.text, "");
	assert_false(verifies(token));
}

static void
check_payload_refused(const struct bytes *payload)
{
	char token[16384];

	wrap(payload, token);
	check_refused(token);
}

/* --- the text --- */

static void
test_hand_made_token_is_good(void **state)
{
	struct bytes payload = payload_head(1);
	char token[16384];

	(void)state;
	add_rtc(&payload, CHANNEL, strlen(CHANNEL));
	sign(&payload);
	wrap(&payload, token);
	assert_true(verifies(token));
}

static void
test_every_truncation_is_refused(void **state)
{
	char token[TOKEN_SIZE];
	size_t len;

	(void)state;
	good_token(1, token);
	assert_true(verifies(token));
	for (len = strlen(token); len-- > 0;) {
		token[len] = '\0';
		check_refused(token);
	}
}

/* The same with whole base64, so that inflate sees every cut. */
static void
test_every_truncation_of_the_stream_is_refused(void **state)
{
	uint8_t stream[TOKEN_SIZE];
	char token[TOKEN_SIZE];
	size_t len;

	(void)state;
	good_token(1, token);
	for (len = stream_of(token, stream); len-- > 0;) {
		text_of(stream, len, token);
		check_refused(token);
	}
}

static size_t
flips_that_verify(char *token)
{
	size_t i, verified = 0;
	int bit;

	for (i = 0; token[i] != '\0'; i++)
		for (bit = 0; bit < 8; bit++) {
			token[i] = (char)(token[i] ^ (1 << bit));
			verified += verifies(token);
			token[i] = (char)(token[i] ^ (1 << bit));
		}
	return verified;
}

/* Twenty salts, so that the stream ends at every place in its last byte. */
static void
test_no_flipped_bit_of_the_text_verifies(void **state)
{
	char token[TOKEN_SIZE];
	uint32_t salt;

	(void)state;
	for (salt = 1; salt <= 20; salt++) {
		good_token(salt, token);
		assert_int_equal(flips_that_verify(token), 0);
		assert_true(verifies(token));
	}
}

/* Compressed anew, so that nothing but the signature is in the way. */
static void
test_no_flipped_bit_of_the_payload_verifies(void **state)
{
	struct bytes payload = payload_head(1);
	char token[16384];
	size_t i;
	int bit;

	(void)state;
	add_rtc(&payload, CHANNEL, strlen(CHANNEL));
	sign(&payload);
	for (i = 0; i < payload.len; i++)
		for (bit = 0; bit < 8; bit++) {
			payload.data[i] ^= (uint8_t)(1 << bit);
			wrap(&payload, token);
			assert_false(verifies(token));
			payload.data[i] ^= (uint8_t)(1 << bit);
		}
	wrap(&payload, token);
	assert_true(verifies(token));
}

static void
test_other_texts_are_refused(void **state)
{
	static const char *const bad[] = { "", "0", "00", "007",
		"007=", "007====", "007eJw=", "006eJxTYBBbsMMnKq7p9Hf", "008",
		" 007", "007 " };
	char token[TOKEN_SIZE], bent[TOKEN_SIZE + 8];
	size_t i, len;

	(void)state;
	for (i = 0; i < COUNT(bad); i++)
		check_refused(bad[i]);

	good_token(1, token);
	len = strlen(token);
	memcpy(bent, token, len + 1);
	bent[2] = '6';
	check_refused(bent);
	memcpy(bent, token, len);
	memcpy(bent + len, "\n", 2);
	check_refused(bent);
	memcpy(bent + len, "AAAA", 5); /* good base64, bytes after the end */
	check_refused(bent);
	bent[0] = ' ';
	memcpy(bent + 1, token, len + 1);
	check_refused(bent);
}

static void
test_long_texts_are_refused(void **state)
{
	char token[2001];
	struct fail fail = { 0 };
	struct token_parsed parsed;

	(void)state;
	memset(token, 'A', sizeof(token) - 1);
	memcpy(token, "007", 3);
	token[sizeof(token) - 1] = '\0';
	check_refused(token);
	assert_int_equal(token_parse(token, &parsed, &fail), -1);
	assert_string_equal(fail.text, "the token is too long");

	token[TOKEN_SIZE - 1] = '\0'; /* as long as allowed: other reasons */
	fail = (struct fail){ 0 };
	assert_int_equal(token_parse(token, &parsed, &fail), -1);
	assert_string_not_equal(fail.text, "the token is too long");
}

/* --- the stream --- */

/* A good payload, then zeros: 8 KB from 200 characters, 1 MB from 1,400. */
static void
test_bombs_are_refused(void **state)
{
	const size_t size = 1000000;
	uint8_t *zeros = calloc(1, size), stream[2000];
	struct bytes payload = payload_head(1);
	uLongf len = sizeof(stream);
	char token[16384];

	(void)state;
	add_rtc(&payload, CHANNEL, strlen(CHANNEL));
	payload.len = sizeof(payload.data);
	sign(&payload);
	wrap(&payload, token);
	assert_true(strlen(token) < 400);
	check_refused(token);

	assert_non_null(zeros);
	assert_int_equal(compress2(stream, &len, zeros, size, 9), Z_OK);
	free(zeros);
	text_of(stream, len, token);
	assert_true(strlen(token) < TOKEN_SIZE);
	check_refused(token);
}

/* An unknown service ends the reading, so that any length can be tried. */
static void
test_payload_ends_at_its_limit(void **state)
{
	struct bytes payload = payload_head(2);
	struct token_parsed parsed;
	char token[16384];

	(void)state;
	add_rtc(&payload, CHANNEL, strlen(CHANNEL));
	add_number(&payload, 99, 2);
	payload.len = TOKEN_RAW_MAX;
	sign(&payload);
	wrap(&payload, token);
	assert_int_equal(token_parse(token, &parsed, NULL), 0);
	assert_int_equal(parsed.payload_len, TOKEN_RAW_MAX);
	assert_true(verifies(token));

	payload.len = TOKEN_RAW_MAX + 1;
	sign(&payload);
	check_payload_refused(&payload);
}

/* Compresses with window bits as inflateInit2() has them: raw, gzip, … */
static void
compress_as(const struct bytes *payload, int window_bits,
    const char *dictionary, char *token)
{
	z_stream z = { 0 };
	uint8_t stream[4096];

	assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, window_bits, 8,
			     Z_DEFAULT_STRATEGY),
	    Z_OK);
	if (dictionary != NULL)
		assert_int_equal(deflateSetDictionary(&z,
				     (const Bytef *)dictionary,
				     (uInt)strlen(dictionary)),
		    Z_OK);
	z.next_in = (Bytef *)(uintptr_t)payload->data;
	z.avail_in = (uInt)payload->len;
	z.next_out = stream;
	z.avail_out = sizeof(stream);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	assert_int_equal(deflateEnd(&z), Z_OK);
	text_of(stream, sizeof(stream) - z.avail_out, token);
}

static void
test_other_stream_formats_are_refused(void **state)
{
	struct bytes payload = payload_head(1);
	char token[8192];

	(void)state;
	add_rtc(&payload, CHANNEL, strlen(CHANNEL));
	sign(&payload);
	compress_as(&payload, 15, NULL, token);
	assert_true(verifies(token));
	compress_as(&payload, 15 + 16, NULL, token);
	check_refused(token); /* gzip */
	compress_as(&payload, -15, NULL, token);
	check_refused(token); /* raw */
	compress_as(&payload, 15, APP_ID CHANNEL, token);
	check_refused(token); /* wants a dictionary */
}

/* Hundreds of empty blocks: work, but no output. */
static void
test_empty_blocks_end(void **state)
{
	uint8_t stream[1100] = { 0x78, 0x9c };
	char token[TOKEN_SIZE];
	size_t at;

	(void)state;
	for (at = 2; at + 5 <= sizeof(stream); at += 5)
		memcpy(stream + at, "\x00\x00\x00\xff\xff", 5);
	text_of(stream, at, token);
	check_refused(token);
}

/* --- the payload --- */

static void
test_every_truncation_of_the_payload_is_refused(void **state)
{
	struct bytes payload = payload_head(1);

	(void)state;
	add_rtc(&payload, CHANNEL, strlen(CHANNEL));
	while (payload.len-- > 0)
		check_payload_refused(&payload);
}

static void
test_bytes_after_the_services_are_refused(void **state)
{
	struct bytes payload = payload_head(1);

	(void)state;
	add_rtc(&payload, CHANNEL, strlen(CHANNEL));
	add(&payload, "", 1);
	sign(&payload);
	check_payload_refused(&payload);
}

/* "room\0x" must not pass for "room". */
static void
test_nul_in_a_text_is_refused(void **state)
{
	struct bytes payload = payload_head(1);

	(void)state;
	add_rtc(&payload, CHANNEL "\0x", strlen(CHANNEL) + 2);
	sign(&payload);
	check_payload_refused(&payload);
}

static void
test_texts_over_the_limit_are_refused(void **state)
{
	char longest[TOKEN_CHANNEL_SIZE];
	struct bytes payload = payload_head(1);
	struct token_parsed parsed;
	char token[16384];

	(void)state;
	memset(longest, 'c', sizeof(longest));
	add_rtc(&payload, longest, sizeof(longest) - 1);
	sign(&payload);
	wrap(&payload, token);
	assert_int_equal(token_parse(token, &parsed, NULL), 0);

	payload = payload_head(1);
	add_rtc(&payload, longest, sizeof(longest));
	sign(&payload);
	check_payload_refused(&payload);
}

static void
test_too_many_services_or_privileges_are_refused(void **state)
{
	struct token_parsed parsed;
	struct bytes payload;
	char token[16384];
	uint32_t n, i;

	(void)state;
	for (n = TOKEN_SERVICES_MAX; n <= TOKEN_SERVICES_MAX + 1; n++) {
		payload = payload_head(n);
		for (i = 0; i < n; i++)
			add_rtc(&payload, "c", 1);
		wrap(&payload, token);
		assert_int_equal(token_parse(token, &parsed, NULL),
		    n > TOKEN_SERVICES_MAX ? -1 : 0);
	}
	for (n = TOKEN_PRIVILEGES_MAX; n <= TOKEN_PRIVILEGES_MAX + 1; n++) {
		payload = payload_head(1);
		add_number(&payload, 4, 2); /* FPA: privileges and no more */
		add_number(&payload, n, 2);
		for (i = 0; i < n; i++)
			add_number(&payload, i, 6);
		wrap(&payload, token);
		assert_int_equal(token_parse(token, &parsed, NULL),
		    n > TOKEN_PRIVILEGES_MAX ? -1 : 0);
	}
}

static void
test_signature_of_another_size_is_refused(void **state)
{
	struct bytes payload = payload_head(1);

	(void)state;
	add_rtc(&payload, CHANNEL, strlen(CHANNEL));
	sign(&payload);
	payload.data[0] = HMAC_SIZE - 1;
	check_payload_refused(&payload);
	payload.data[0] = 0;
	check_payload_refused(&payload);
}

/* --- good tokens in the wrong place --- */

static void
test_wrong_app_channel_account(void **state)
{
	char token[TOKEN_SIZE];
	const int64_t now = ISSUED + 1;

	(void)state;
	good_token(1, token);
	assert_true(
	    token_verify(token, APP_ID, CERTIFICATE, CHANNEL, ACCOUNT, now));
	assert_false(token_verify(token, "970ca35de60c44645bbae8a215061b33",
	    CERTIFICATE, CHANNEL, ACCOUNT, now));
	assert_false(token_verify(token, APP_ID,
	    "5CFd2fd1755d40ecb72977518be15d3c", CHANNEL, ACCOUNT, now));
	assert_false(token_verify(token, APP_ID,
	    "5cfd2fd1755d40ecb72977518be15d3b", CHANNEL, ACCOUNT, now));
	assert_false(token_verify(token, APP_ID, "", CHANNEL, ACCOUNT, now));
	assert_false(token_verify(token, APP_ID, CERTIFICATE, CHANNEL "1",
	    ACCOUNT, now));
	assert_false(
	    token_verify(token, APP_ID, CERTIFICATE, "", ACCOUNT, now));
	assert_false(
	    token_verify(token, APP_ID, CERTIFICATE, CHANNEL, "12345678", now));
	assert_false(
	    token_verify(token, APP_ID, CERTIFICATE, CHANNEL, "", now));
}

static bool
good_at(const char *token, int64_t now)
{
	return token_verify(token, APP_ID, CERTIFICATE, CHANNEL, ACCOUNT, now);
}

static void
test_lifetime(void **state)
{
	struct token_claims claims = { APP_ID, CHANNEL, ACCOUNT, ISSUED,
		.expire = EXPIRE, .privilege_expire = 600, .salt = 1 };
	char token[TOKEN_SIZE];

	(void)state;
	good_token(1, token);
	assert_true(good_at(token, ISSUED));
	assert_true(good_at(token, ISSUED + EXPIRE - 1));
	assert_true(good_at(token, ISSUED + EXPIRE));
	assert_false(good_at(token, ISSUED + EXPIRE + 1));
	assert_false(good_at(token, INT64_MAX));

	/* The join privilege may end before the token … */
	assert_int_equal(token_build(&claims, CERTIFICATE, token, NULL), 0);
	assert_true(good_at(token, ISSUED + 600));
	assert_false(good_at(token, ISSUED + 601));

	/* … and does not outlive it. */
	claims.privilege_expire = 2 * EXPIRE;
	assert_int_equal(token_build(&claims, CERTIFICATE, token, NULL), 0);
	assert_true(good_at(token, ISSUED + EXPIRE));
	assert_false(good_at(token, ISSUED + EXPIRE + 1));
}

/* The largest numbers that the layout holds: 2106 and 136 years more. */
static void
test_lifetime_past_32_bits(void **state)
{
	const struct token_claims claims = { APP_ID, CHANNEL, ACCOUNT,
		UINT32_MAX, .expire = UINT32_MAX, .salt = UINT32_MAX };
	const int64_t end = 2 * (int64_t)UINT32_MAX;
	char token[TOKEN_SIZE];

	(void)state;
	assert_int_equal(token_build(&claims, CERTIFICATE, token, NULL), 0);
	assert_true(good_at(token, end));
	assert_false(good_at(token, end + 1));
}

/* Signed with our certificate, but not for joining this channel. */
static void
test_tokens_without_the_right_to_join(void **state)
{
	static const struct token_service_fields services[] = {
		{ .type = TOKEN_RTM, /* RTM alone */
		    .privileges = 1,
		    .privilege = { { TOKEN_RTM_LOGIN, EXPIRE } },
		    .account = ACCOUNT },
		{ .type = TOKEN_RTC, /* may publish, may not join */
		    .privileges = 1,
		    .privilege = { { TOKEN_RTC_PUBLISH_AUDIO, EXPIRE } },
		    .channel = CHANNEL,
		    .account = ACCOUNT },
		{ .type = TOKEN_RTC, .channel = CHANNEL, .account = ACCOUNT },
		{ .type = 3, /* streaming has the same layout as RTC */
		    .privileges = 1,
		    .privilege = { { TOKEN_RTC_JOIN, EXPIRE } },
		    .channel = CHANNEL,
		    .account = ACCOUNT },
		{ .type = TOKEN_RTC, /* wildcard: not one that we issue */
		    .privileges = 1,
		    .privilege = { { TOKEN_RTC_JOIN, EXPIRE } },
		    .channel = CHANNEL,
		    .account = "" },
	};
	const struct token_claims claims = { .app_id = APP_ID,
		.issue_ts = ISSUED,
		.expire = EXPIRE,
		.salt = 1 };
	struct token_parsed parsed;
	char token[TOKEN_SIZE];
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(services); i++) {
		assert_int_equal(token_pack(&claims, &services[i], 1,
				     CERTIFICATE, token, NULL),
		    0);
		assert_int_equal(token_parse(token, &parsed, NULL), 0);
		assert_true(token_signed_by(&parsed, CERTIFICATE));
		assert_false(verifies(token));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hand_made_token_is_good),
		cmocka_unit_test(test_every_truncation_is_refused),
		cmocka_unit_test(
		    test_every_truncation_of_the_stream_is_refused),
		cmocka_unit_test(test_no_flipped_bit_of_the_text_verifies),
		cmocka_unit_test(test_no_flipped_bit_of_the_payload_verifies),
		cmocka_unit_test(test_other_texts_are_refused),
		cmocka_unit_test(test_long_texts_are_refused),
		cmocka_unit_test(test_bombs_are_refused),
		cmocka_unit_test(test_payload_ends_at_its_limit),
		cmocka_unit_test(test_other_stream_formats_are_refused),
		cmocka_unit_test(test_empty_blocks_end),
		cmocka_unit_test(
		    test_every_truncation_of_the_payload_is_refused),
		cmocka_unit_test(test_bytes_after_the_services_are_refused),
		cmocka_unit_test(test_nul_in_a_text_is_refused),
		cmocka_unit_test(test_texts_over_the_limit_are_refused),
		cmocka_unit_test(
		    test_too_many_services_or_privileges_are_refused),
		cmocka_unit_test(test_signature_of_another_size_is_refused),
		cmocka_unit_test(test_wrong_app_channel_account),
		cmocka_unit_test(test_lifetime),
		cmocka_unit_test(test_lifetime_past_32_bits),
		cmocka_unit_test(test_tokens_without_the_right_to_join),
	};

	return cmocka_run_group_tests_name("token, hostile", tests, NULL, NULL);
}
