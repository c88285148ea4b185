/*
 * HMAC-SHA256 against the test cases of RFC 4231.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/hmac.h"
#include "common/num.h"

static const struct rfc4231 {
	uint8_t key_byte; /* repeated key_len times, unless key_text is set */
	size_t key_len;
	const char *key_text;
	uint8_t msg_byte;
	size_t msg_len;
	const char *msg_text;
	size_t compared; /* bytes; the RFC truncates one result */
	const char *mac;
} rfc4231[] = {
	{ 0x0b, 20, NULL, 0, 0, "Hi There", 32,
	    "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff"
	    "7" },
	{ 0, 0, "Jefe", 0, 0, "what do ya want for nothing?", 32,
	    "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec384"
	    "3" },
	{ 0xaa, 20, NULL, 0xdd, 50, NULL, 32,
	    "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565f"
	    "e" },
	{ 0, 0,
	    "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10"
	    "\x11\x12\x13\x14\x15\x16\x17\x18\x19",
	    0xcd, 50, NULL, 32,
	    "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665"
	    "b" },
	{ 0x0c, 20, NULL, 0, 0, "Test With Truncation", 16,
	    "a3b6167473100ee06e0c796c2955552b" },
	{ 0xaa, 131, NULL, 0, 0,
	    "Test Using Larger Than Block-Size Key - Hash Key First", 32,
	    "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f5"
	    "4" },
	{ 0xaa, 131, NULL, 0, 0,
	    "This is a test using a larger than block-size key and a larger "
	    "than "
	    "block-size data. The key needs to be hashed before being used by "
	    "the "
	    "HMAC algorithm.",
	    32,
	    "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e"
	    "2" },
};

/* Fills ${out} with the text or the repeated byte; returns the length. */
static size_t
expand(uint8_t out[static 200], uint8_t byte, size_t len, const char *text)
{
	if (text == NULL) {
		memset(out, byte, len);
		return len;
	}
	len = strlen(text);
	assert_true(len <= 200);
	memcpy(out, text, len);
	return len;
}

static void
check_mac(const uint8_t *mac, size_t len, const char *expected)
{
	char hex[2 * HMAC_SIZE + 1];

	num_hex(mac, len, hex);
	assert_string_equal(hex, expected);
}

static void
test_rfc4231(void **state)
{
	uint8_t key[200], msg[200], mac[HMAC_SIZE];
	const struct rfc4231 *v;
	size_t i, key_len, msg_len;

	(void)state;
	for (i = 0; i < sizeof(rfc4231) / sizeof(*rfc4231); i++) {
		v = &rfc4231[i];
		key_len = expand(key, v->key_byte, v->key_len, v->key_text);
		msg_len = expand(msg, v->msg_byte, v->msg_len, v->msg_text);
		assert_int_equal(hmac_sha256(key, key_len, msg, msg_len, mac),
		    0);
		check_mac(mac, v->compared, v->mac);
	}
}

/* Python: hmac.new(b"", b"", "sha256").hexdigest() */
#define MAC_OF_NOTHING                                                         \
	"b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad"

/* The context is reused: an empty key must not mean "the last key". */
static void
test_empty_key_is_not_the_last_key(void **state)
{
	uint8_t mac[HMAC_SIZE];

	(void)state;
	assert_int_equal(hmac_sha256("secret", 6, "text", 4, mac), 0);
	assert_int_equal(hmac_sha256("", 0, "", 0, mac), 0);
	check_mac(mac, sizeof(mac), MAC_OF_NOTHING);
	assert_int_equal(hmac_sha256("secret", 6, "text", 4, mac), 0);
	assert_int_equal(hmac_sha256(NULL, 0, NULL, 0, mac), 0);
	check_mac(mac, sizeof(mac), MAC_OF_NOTHING);
}

static void
test_result_may_overwrite_key_or_message(void **state)
{
	uint8_t plain[HMAC_SIZE], over_key[HMAC_SIZE], over_msg[HMAC_SIZE];

	(void)state;
	memset(over_key, 'k', sizeof(over_key));
	memset(over_msg, 'm', sizeof(over_msg));
	assert_int_equal(hmac_sha256(over_key, sizeof(over_key), over_msg,
			     sizeof(over_msg), plain),
	    0);
	assert_int_equal(hmac_sha256(over_key, sizeof(over_key), over_msg,
			     sizeof(over_msg), over_msg),
	    0);
	assert_memory_equal(over_msg, plain, HMAC_SIZE);

	memset(over_msg, 'm', sizeof(over_msg));
	assert_int_equal(hmac_sha256(over_key, sizeof(over_key), over_msg,
			     sizeof(over_msg), over_key),
	    0);
	assert_memory_equal(over_key, plain, HMAC_SIZE);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc4231),
		cmocka_unit_test(test_empty_key_is_not_the_last_key),
		cmocka_unit_test(test_result_may_overwrite_key_or_message),
	};

	return cmocka_run_group_tests_name("hmac", tests, NULL, NULL);
}
