#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/ascii.h"
#include "common/channel.h"
#include "common/fail.h"
#include "common/hmac.h"
#include "common/num.h"
#include "common/secret.h"

#define PREFIX "channel_"
#define PREFIX_LEN (sizeof(PREFIX) - 1)
#define NONCE_CHARS 8  /* base32 of 5 bytes */
#define MAC_CHARS 20   /* base32 of 100 bits */
#define TIME_DIGITS 19 /* of INT64_MAX */
#define UID_NUMBER_MAX 4294967295
#define CLOCK_SKEW 60 /* seconds between two machines of ours */

static const char base32[] = "abcdefghijklmnopqrstuvwxyz234567";

bool
channel_char_ok(char c)
{
	static const char others[] = " !#$%&()+-:;<=.>?@[]^_{}|~,";

	return ascii_is_alnum(c) ||
	    memchr(others, c, sizeof(others) - 1) != NULL;
}

/* The rules that names and accounts share; ${size} is the limit, with NUL. */
static int
text_check(const char *text, size_t size, const char *what, struct fail *fail)
{
	const char *p;

	if (text[strspn(text, " ")] == '\0')
		return fail_set(fail, FAIL_BAD_INPUT,
		    "%s is required and cannot be empty", what);
	if (strnlen(text, size) == size)
		return fail_set(fail, FAIL_BAD_INPUT,
		    "%s is longer than %zu bytes", what, size - 1);
	for (p = text; *p != '\0'; p++)
		if (!channel_char_ok(*p))
			return fail_set(fail, FAIL_BAD_INPUT,
			    "%s has a character that Agora does not allow",
			    what);
	return 0;
}

int
channel_name_check(const char *name, const char *what, struct fail *fail)
{
	return text_check(name, CHANNEL_SIZE, what, fail);
}

/* One digit or more, perhaps behind a minus sign. */
static bool
looks_numeric(const char *text)
{
	const char *digits = *text == '-' ? text + 1 : text;

	return *digits != '\0' && digits[strspn(digits, "0123456789")] == '\0';
}

int
channel_uid_check(const char *uid, const char *what, struct fail *fail)
{
	int64_t number;

	if (looks_numeric(uid)) {
		if (num_parse(uid, 1, UID_NUMBER_MAX, &number) == -1)
			return fail_set(fail, FAIL_BAD_INPUT,
			    "%s is a number outside 1..4294967295 or has "
			    "leading zeros",
			    what);
		return 0;
	}
	if (strcmp(uid, "null") == 0)
		return fail_set(fail, FAIL_BAD_INPUT,
		    "%s cannot be the word null", what);
	return text_check(uid, CHANNEL_UID_SIZE, what, fail);
}

/* Writes ${count} characters, five bits each, from ${bytes} to ${text}. */
static void
base32_encode(const uint8_t *bytes, size_t count, char *text)
{
	unsigned int window;
	size_t i, bit;

	for (i = 0; i < count; i++) {
		bit = i * 5;
		window = (unsigned int)bytes[bit / 8] << 8;
		if (bit % 8 > 3)
			window |= bytes[bit / 8 + 1];
		text[i] = base32[(window >> (11 - bit % 8)) & 31];
	}
}

/* Reads the nonce from its characters. Returns 0, or -1 on a foreign one. */
static int
nonce_decode(const char text[static NONCE_CHARS],
    uint8_t nonce[static CHANNEL_NONCE_SIZE])
{
	const char *found;
	uint64_t bits = 0;
	size_t i;

	for (i = 0; i < NONCE_CHARS; i++) {
		found = memchr(base32, text[i], sizeof(base32) - 1);
		if (found == NULL)
			return -1;
		bits = bits << 5 | (uint64_t)(found - base32);
	}
	for (i = CHANNEL_NONCE_SIZE; i-- > 0; bits >>= 8)
		nonce[i] = (uint8_t)bits;
	return 0;
}

/* MAC of ${msg} under the key that channel names have of their own. */
static int
channel_mac(const char *certificate, const void *msg, size_t len,
    uint8_t mac[static HMAC_SIZE])
{
	static const char label[] = "agora-agent channel v1";
	uint8_t key[HMAC_SIZE];
	int rc;

	rc = hmac_sha256(certificate, strlen(certificate), label,
	    sizeof(label) - 1, key);
	if (rc == 0)
		rc = hmac_sha256(key, sizeof(key), msg, len, mac);
	secret_wipe(key, sizeof(key));
	return rc;
}

/* The fixed fields come first, so that no two inputs give one message. */
static int
name_mac(const char *certificate, int64_t now,
    const uint8_t nonce[static CHANNEL_NONCE_SIZE], const char *uid,
    uint8_t mac[static HMAC_SIZE])
{
	static const char label[] = "name";
	uint8_t msg[sizeof(label) + 8 + CHANNEL_NONCE_SIZE + CHANNEL_UID_SIZE];
	size_t i, len = sizeof(label), uid_len = strnlen(uid, CHANNEL_UID_SIZE);

	if (uid_len == CHANNEL_UID_SIZE)
		return -1;
	memcpy(msg, label, sizeof(label));
	for (i = 0; i < 8; i++)
		msg[len++] = (uint8_t)((uint64_t)now >> (8 * i));
	memcpy(msg + len, nonce, CHANNEL_NONCE_SIZE);
	len += CHANNEL_NONCE_SIZE;
	memcpy(msg + len, uid, uid_len);
	return channel_mac(certificate, msg, len + uid_len, mac);
}

int
channel_issue(const char *certificate, int64_t now,
    const uint8_t nonce[static CHANNEL_NONCE_SIZE], const char *uid,
    char name[static CHANNEL_SIZE])
{
	uint8_t mac[HMAC_SIZE];
	char code[NONCE_CHARS + MAC_CHARS + 1];

	name[0] = '\0';
	if (now < 0 || name_mac(certificate, now, nonce, uid, mac) == -1)
		return -1;
	base32_encode(nonce, NONCE_CHARS, code);
	base32_encode(mac, MAC_CHARS, code + NONCE_CHARS);
	code[NONCE_CHARS + MAC_CHARS] = '\0';
	(void)snprintf(name, CHANNEL_SIZE, PREFIX "%" PRId64 "_%s", now, code);
	return 0;
}

/* Reads time and nonce from ${name}. Returns 0, or -1 when it is not ours. */
static int
name_parse(const char *name, int64_t *issued,
    uint8_t nonce[static CHANNEL_NONCE_SIZE])
{
	char number[TIME_DIGITS + 1] = "";
	const char *time = name + PREFIX_LEN;
	size_t digits;

	if (strncmp(name, PREFIX, PREFIX_LEN) != 0)
		return -1;
	digits = strspn(time, "0123456789");
	if (digits > TIME_DIGITS || time[digits] != '_' ||
	    strlen(time + digits + 1) != NONCE_CHARS + MAC_CHARS)
		return -1;
	memcpy(number, time, digits);
	if (num_parse(number, 0, INT64_MAX, issued) == -1)
		return -1;
	return nonce_decode(time + digits + 1, nonce);
}

bool
channel_has_form(const char *name, int64_t *issued)
{
	uint8_t nonce[CHANNEL_NONCE_SIZE];
	size_t len = strnlen(name, CHANNEL_SIZE);

	return len < CHANNEL_SIZE && name_parse(name, issued, nonce) == 0 &&
	    strspn(name + len - MAC_CHARS, base32) == MAC_CHARS;
}

bool
channel_issued(const char *certificate, const char *name, const char *uid,
    int64_t *issued)
{
	uint8_t nonce[CHANNEL_NONCE_SIZE];
	char expected[CHANNEL_SIZE];
	size_t len = strnlen(name, CHANNEL_SIZE);
	int64_t time;

	/* Issued again and compared whole: a name has only one spelling. */
	if (len == CHANNEL_SIZE || name_parse(name, &time, nonce) == -1 ||
	    channel_issue(certificate, time, nonce, uid, expected) == -1 ||
	    !secret_equal(expected, name, len + 1))
		return false;
	*issued = time;
	return true;
}

int
channel_agent_uid(const char *certificate, const char *name, const char *uid,
    uint32_t *agent_uid)
{
	static const char label[] = "agent";
	char msg[sizeof(label) + CHANNEL_SIZE + CHANNEL_UID_SIZE];
	size_t name_size = strnlen(name, CHANNEL_SIZE) + 1;
	size_t uid_len = strnlen(uid, CHANNEL_UID_SIZE);
	uint8_t mac[HMAC_SIZE];

	if (name_size > CHANNEL_SIZE || uid_len == CHANNEL_UID_SIZE)
		return -1;
	memcpy(msg, label, sizeof(label));
	memcpy(msg + sizeof(label), name, name_size);
	memcpy(msg + sizeof(label) + name_size, uid, uid_len);
	if (channel_mac(certificate, msg, sizeof(label) + name_size + uid_len,
		mac) == -1)
		return -1;
	*agent_uid = (uint32_t)num_in_range(mac, CHANNEL_AGENT_UID_MIN,
	    CHANNEL_AGENT_UID_MAX);
	return 0;
}

bool
channel_current(const char *certificate, const char *name, const char *uid,
    int64_t ttl, int64_t now)
{
	int64_t issued;

	return channel_issued(certificate, name, uid, &issued) &&
	    issued <= now + CLOCK_SKEW && issued >= now - ttl;
}
