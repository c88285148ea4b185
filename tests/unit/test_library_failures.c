/*
 * Tokens and channel names when OpenSSL or zlib fail: an error, and nothing
 * half made. The linker sends the calls to them here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <zlib.h>

#include "common/channel.h"
#include "common/fail.h"
#include "common/hmac.h"
#include "common/token.h"

#define APP_ID "970CA35de60c44645bbae8a215061b33"
#define CERTIFICATE "5CFd2fd1755d40ecb72977518be15d3b"
#define NOW 1770199765

/* Which call from now on fails; 0: none. */
static int failing_hmac, failing_init, failing_deflate, failing_inflate;
static int failing_calloc;
static bool greedy; /* zlib wants more pieces of memory than it ever did */

int __real_hmac_sha256(const void *key, size_t key_len, const void *msg,
    size_t len, uint8_t mac[static HMAC_SIZE]);
void *__real_calloc(size_t count, size_t size);
int __real_deflateInit2_(z_streamp stream, int level, int method, int bits,
    int memory, int strategy, const char *version, int size);
int __real_deflate(z_streamp stream, int flush);
int __real_inflateInit_(z_streamp stream, const char *version, int size);

static bool
fails(int *countdown)
{
	return *countdown > 0 && --*countdown == 0;
}

int
__wrap_hmac_sha256(const void *key, size_t key_len, const void *msg, size_t len,
    uint8_t mac[static HMAC_SIZE])
{
	if (!fails(&failing_hmac))
		return __real_hmac_sha256(key, key_len, msg, len, mac);
	memset(mac, 0, HMAC_SIZE);
	return -1;
}

void *
__wrap_calloc(size_t count, size_t size)
{
	return fails(&failing_calloc) ? NULL : __real_calloc(count, size);
}

/* Takes all that it is given. */
static int
init_greedily(z_streamp stream)
{
	void *piece[64];
	size_t count = 0;

	do {
		assert_in_range(count, 0, 63);
		piece[count] = stream->zalloc(stream->opaque, 1, 1);
	} while (piece[count++] != NULL);
	while (count-- > 0)
		stream->zfree(stream->opaque, piece[count]);
	return Z_MEM_ERROR;
}

int
__wrap_deflateInit2_(z_streamp stream, int level, int method, int bits,
    int memory, int strategy, const char *version, int size)
{
	if (greedy)
		return init_greedily(stream);
	return fails(&failing_init) ?
	    Z_MEM_ERROR :
	    __real_deflateInit2_(stream, level, method, bits, memory, strategy,
		version, size);
}

int
__wrap_deflate(z_streamp stream, int flush)
{
	return fails(&failing_deflate) ? Z_BUF_ERROR :
					 __real_deflate(stream, flush);
}

int
__wrap_inflateInit_(z_streamp stream, const char *version, int size)
{
	return fails(&failing_inflate) ?
	    Z_MEM_ERROR :
	    __real_inflateInit_(stream, version, size);
}

static int
build(char token[static TOKEN_SIZE], struct fail *fail)
{
	const struct token_claims claims = { .app_id = APP_ID,
		.channel = "demo",
		.account = "1",
		.issue_ts = NOW,
		.expire = 3600,
		.salt = 1 };

	*fail = (struct fail){ 0 };
	memset(token, 'x', TOKEN_SIZE);
	return token_build(&claims, CERTIFICATE, token, fail);
}

static void
expect_no_token(void)
{
	char token[TOKEN_SIZE];
	struct fail fail;

	assert_int_equal(build(token, &fail), -1);
	assert_int_equal(fail.kind, FAIL_INTERNAL);
	assert_string_equal(token, "");
}

static void
good_token(char token[static TOKEN_SIZE])
{
	struct fail fail;

	assert_int_equal(build(token, &fail), 0);
}

static void
no_token_without_zlib(void **state)
{
	char token[TOKEN_SIZE];

	(void)state;
	failing_init = 1; /* first of all, while there is no state yet */
	expect_no_token();
	failing_calloc = 1;
	expect_no_token();
	greedy = true;
	expect_no_token();
	greedy = false;
	good_token(token);
	failing_deflate = 1; /* the state is made anew after it */
	expect_no_token();
	failing_init = 1;
	expect_no_token();
	good_token(token);
}

static void
no_token_without_any_of_three_macs(void **state)
{
	char token[TOKEN_SIZE];
	int call;

	(void)state;
	for (call = 1; call <= 3; call++) {
		failing_hmac = call;
		expect_no_token();
	}
	good_token(token);
}

static void
nothing_is_prepared(void **state)
{
	struct fail fail = { 0 };

	(void)state;
	failing_hmac = 1;
	assert_int_equal(token_prepare(&fail), -1);
	assert_int_equal(fail.kind, FAIL_INTERNAL);
	fail = (struct fail){ 0 };
	failing_deflate = 1;
	assert_int_equal(token_prepare(&fail), -1);
	assert_int_equal(fail.kind, FAIL_INTERNAL);
	assert_int_equal(token_prepare(NULL), 0);
}

static void
nothing_verifies(void **state)
{
	struct token_parsed parsed;
	struct fail fail = { 0 };
	char token[TOKEN_SIZE];
	int call;

	(void)state;
	good_token(token);
	failing_inflate = 1;
	assert_int_equal(token_parse(token, &parsed, &fail), -1);
	assert_int_equal(fail.kind, FAIL_INTERNAL);
	for (call = 1; call <= 3; call++) {
		failing_hmac = call;
		assert_false(
		    token_verify(token, APP_ID, CERTIFICATE, "demo", "1", NOW));
	}
	assert_true(token_verify(token, APP_ID, CERTIFICATE, "demo", "1", NOW));
}

/* What token_parse() has not filled in was signed by nobody. */
static void
nothing_read_is_not_signed(void **state)
{
	struct token_parsed parsed = { 0 };
	char token[TOKEN_SIZE];

	(void)state;
	assert_false(token_signed_by(&parsed, CERTIFICATE));
	good_token(token);
	assert_int_equal(token_parse(token, &parsed, NULL), 0);
	assert_true(token_signed_by(&parsed, CERTIFICATE));
	parsed.payload_len = 33;
	assert_false(token_signed_by(&parsed, CERTIFICATE));
}

static void
too_many_services(void **state)
{
	static const struct token_claims claims = { .app_id = APP_ID };
	struct token_service_fields services[TOKEN_SERVICES_MAX + 1] = { 0 };
	struct fail fail = { 0 };
	char token[TOKEN_SIZE];

	(void)state;
	assert_int_equal(token_pack(&claims, services, TOKEN_SERVICES_MAX,
			     CERTIFICATE, token, NULL),
	    0);
	assert_int_equal(token_pack(&claims, services, TOKEN_SERVICES_MAX + 1,
			     CERTIFICATE, token, &fail),
	    -1);
	assert_int_equal(fail.kind, FAIL_INTERNAL);
	assert_string_equal(token, "");
}

static void
no_channel_without_either_of_two_macs(void **state)
{
	static const uint8_t nonce[CHANNEL_NONCE_SIZE] = { 1 };
	char name[CHANNEL_SIZE] = "x";
	uint32_t agent_uid = 5;
	int64_t issued = 5;
	int call;

	(void)state;
	for (call = 1; call <= 2; call++) {
		failing_hmac = call;
		assert_int_equal(channel_issue(CERTIFICATE, NOW, nonce, "1",
				     name),
		    -1);
		assert_string_equal(name, "");
		failing_hmac = call;
		assert_int_equal(channel_agent_uid(CERTIFICATE, "c", "1",
				     &agent_uid),
		    -1);
		assert_int_equal(agent_uid, 5);
	}
	assert_int_equal(channel_issue(CERTIFICATE, NOW, nonce, "1", name), 0);
	for (call = 1; call <= 2; call++) {
		failing_hmac = call;
		assert_false(channel_issued(CERTIFICATE, name, "1", &issued));
		assert_int_equal(issued, 5);
	}
	assert_true(channel_issued(CERTIFICATE, name, "1", &issued));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_token_without_zlib),
		cmocka_unit_test(no_token_without_any_of_three_macs),
		cmocka_unit_test(nothing_is_prepared),
		cmocka_unit_test(nothing_verifies),
		cmocka_unit_test(nothing_read_is_not_signed),
		cmocka_unit_test(too_many_services),
		cmocka_unit_test(no_channel_without_either_of_two_macs),
	};

	return cmocka_run_group_tests_name("library failures", tests, NULL,
	    NULL);
}
