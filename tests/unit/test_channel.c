/*
 * Channel names that certify themselves, and the identifier rules.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/channel.h"
#include "common/fail.h"

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

#define CERTIFICATE "5CFd2fd1755d40ecb72977518be15d3b"
#define USER "1234567"
#define NOW 1770199765
#define NAME "channel_1770199765_aaaqeayeuvqryglaqas26tjprudn"
#define DAY 86400

#define SIXTEEN "uuuuuuuuuuuuuuuu"
#define SIXTY_THREE SIXTEEN SIXTEEN SIXTEEN "uuuuuuuuuuuuuuu"
#define SIXTY_FOUR SIXTEEN SIXTEEN SIXTEEN SIXTEEN

/*
 * Made with Python, apart from the code here:
 *
 *   mac = lambda key, text: hmac.new(key, text, "sha256").digest()
 *   b32 = lambda data: base64.b32encode(data).decode().lower()
 *   key = mac(certificate, b"agora-agent channel v1")
 *   code = mac(key, b"name\0" + struct.pack("<Q", now) + nonce + uid)
 *   name = f"channel_{now}_{b32(nonce)}{b32(code)[:20]}"
 *   agent = mac(key, b"agent\0" + name.encode() + b"\0" + uid)[:8]
 *   10000000 + int.from_bytes(agent, "little") % 90000000
 */
static const struct pinned {
	int64_t now;
	uint8_t nonce[CHANNEL_NONCE_SIZE];
	const char *uid;
	const char *name;
	uint32_t agent_uid;
} pinned[] = {
	{ NOW, { 0, 1, 2, 3, 4 }, USER, NAME, 58994528 },
	{ NOW, { 0xff, 0xff, 0xff, 0xff, 0xff }, "alice@example",
	    "channel_1770199765_77777777v2i3r6ejhocxkseim6ex", 85729644 },
	{ 0, { 0x12, 0x34, 0x56, 0x78, 0x9a }, SIXTY_FOUR,
	    "channel_0_ci2fm6e2mbs64vqj6hm3h5ycw5bm", 64557056 },
	{ INT64_MAX, { 0xde, 0xad, 0xbe, 0xef, 0x01 }, "1",
	    "channel_9223372036854775807_32w353yb53allqgusb446o3cydms",
	    25336998 },
};

/* --- issuing --- */

static void
test_names_and_agent_uids_are_pinned(void **state)
{
	const struct pinned *p;
	char name[CHANNEL_SIZE];
	uint32_t agent_uid;
	int64_t issued;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(pinned); i++) {
		p = &pinned[i];
		assert_int_equal(channel_issue(CERTIFICATE, p->now, p->nonce,
				     p->uid, name),
		    0);
		assert_string_equal(name, p->name);
		assert_int_equal(channel_name_check(name, "channelName", NULL),
		    0);
		issued = -1;
		assert_true(channel_issued(CERTIFICATE, name, p->uid, &issued));
		assert_int_equal(issued, p->now);
		assert_int_equal(channel_agent_uid(CERTIFICATE, name, p->uid,
				     &agent_uid),
		    0);
		assert_int_equal(agent_uid, p->agent_uid);
	}
	assert_int_equal(strlen(NAME), 47);
}

static void
test_issue_refuses_what_does_not_fit(void **state)
{
	const uint8_t nonce[CHANNEL_NONCE_SIZE] = { 0 };
	char name[CHANNEL_SIZE] = "untouched";
	uint32_t agent_uid = 7;

	(void)state;
	assert_int_equal(channel_issue(CERTIFICATE, -1, nonce, USER, name), -1);
	assert_string_equal(name, "");
	assert_int_equal(channel_issue(CERTIFICATE, NOW, nonce, SIXTY_FOUR "u",
			     name),
	    -1);
	assert_string_equal(name, "");
	assert_int_equal(channel_agent_uid(CERTIFICATE, NAME, SIXTY_FOUR "u",
			     &agent_uid),
	    -1);
	assert_int_equal(channel_agent_uid(CERTIFICATE, SIXTY_FOUR, USER,
			     &agent_uid),
	    -1);
	assert_int_equal(agent_uid, 7);
}

static int
compare_names(const void *a, const void *b)
{
	return memcmp(a, b, CHANNEL_SIZE);
}

/* One second, one user: only the nonce tells them apart. */
static void
test_100000_names_are_distinct(void **state)
{
	const size_t count = 100000;
	char(*names)[CHANNEL_SIZE] = calloc(count, CHANNEL_SIZE);
	uint8_t nonce[CHANNEL_NONCE_SIZE] = { 0 };
	size_t i;

	(void)state;
	assert_non_null(names);
	for (i = 0; i < count; i++) {
		nonce[4] = (uint8_t)i;
		nonce[2] = (uint8_t)(i >> 8);
		nonce[0] = (uint8_t)(i >> 16);
		assert_int_equal(channel_issue(CERTIFICATE, NOW, nonce, USER,
				     names[i]),
		    0);
	}
	qsort(names, count, CHANNEL_SIZE, compare_names);
	for (i = 1; i < count; i++)
		if (strcmp(names[i - 1], names[i]) == 0)
			fail_msg("twice: %s", names[i]);
	free(names);
}

/* --- checking --- */

static bool
issued_to(const char *certificate, const char *name, const char *uid)
{
	int64_t issued = -7;
	bool yes = channel_issued(certificate, name, uid, &issued);

	if (!yes)
		assert_int_equal(issued, -7);
	return yes;
}

static void
test_every_other_byte_in_every_place_is_foreign(void **state)
{
	char name[] = NAME;
	size_t place;
	int byte;

	(void)state;
	for (place = 0; place < 47; place++) {
		for (byte = 0; byte < 256; byte++) {
			if ((char)byte == NAME[place])
				continue;
			name[place] = (char)byte;
			if (issued_to(CERTIFICATE, name, USER))
				fail_msg("issued: %s", name);
		}
		name[place] = NAME[place];
	}
	assert_true(issued_to(CERTIFICATE, name, USER));
}

static void
test_other_spellings_are_foreign(void **state)
{
	static const char *const foreign[] = {
		"",
		"channel_",
		"channel_1770199765",
		"channel_1770199765_",
		"channel__aaaqeayeuvqryglaqas26tjprudn",
		"channel_1770199765_aaaqeayeuvqryglaqas26tjprud",
		"channel_1770199765_aaaqeayeuvqryglaqas26tjprudna",
		"channel_01770199765_aaaqeayeuvqryglaqas26tjprudn",
		"channel_+1770199765_aaaqeayeuvqryglaqas26tjprudn",
		"channel_-1770199765_aaaqeayeuvqryglaqas26tjprudn",
		"channel_ 1770199765_aaaqeayeuvqryglaqas26tjprudn",
		"channel_1770199765 _aaaqeayeuvqryglaqas26tjprudn",
		"channel_9223372036854775808_aaaqeayeuvqryglaqas26tjprudn",
		"channel_99999999999999999999_aaaqeayeuvqryglaqas26tjprudn",
		"channel_1770199765_AAAQEAYEUVQRYGLAQAS26TJPRUDN",
		"channel_1770199765_aaaqeayeuvqryglaqas26tjprudn ",
		" channel_1770199765_aaaqeayeuvqryglaqas26tjprudn",
		"Channel_1770199765_aaaqeayeuvqryglaqas26tjprudn",
		(NAME NAME),
	};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(foreign); i++)
		if (issued_to(CERTIFICATE, foreign[i], USER))
			fail_msg("issued: %s", foreign[i]);
}

/*
 * A time of more digits than any number has, in a name of legal length: the
 * digits are copied to a buffer of 20 bytes.
 */
static void
test_a_time_of_25_digits_is_foreign(void **state)
{
	static const char name[] =
	    "channel_1234567890123456789012345_aaqaeayeuvqryglaqas26tjprudn";
	int64_t issued = 7;

	(void)state;
	assert_true(strlen(name) < CHANNEL_SIZE);
	assert_false(channel_issued(CERTIFICATE, name, USER, &issued));
	assert_int_equal(issued, 7);
}

static void
test_other_user_or_certificate_is_foreign(void **state)
{
	(void)state;
	assert_true(issued_to(CERTIFICATE, NAME, USER));
	assert_false(issued_to(CERTIFICATE, NAME, "1234568"));
	assert_false(issued_to(CERTIFICATE, NAME, "123456"));
	assert_false(issued_to(CERTIFICATE, NAME, "12345677"));
	assert_false(issued_to(CERTIFICATE, NAME, ""));
	assert_false(issued_to(CERTIFICATE, NAME, SIXTY_FOUR "u"));
	assert_false(issued_to("5cfd2fd1755d40ecb72977518be15d3b", NAME, USER));
	assert_false(issued_to("", NAME, USER));
}

/* D02: a name lives as long as its token; clocks differ by a minute. */
/* Whoever issued it, and to whom: the form alone. */
static void
test_the_form_of_names(void **state)
{
	static const char *const others[] = { "", "demo", "channel_1770199765",
		SIXTY_FOUR, "channel_1770199765_aaaqeayeuvqryglaqas26tjprud",
		"channel_1770199765_aaaqeayeuvqryglaqas26tjprudnn",
		"channel_1770199765_aaaqeayeuvqryglaqas26tjprud1",
		"channel_1770199765_Aaaqeayeuvqryglaqas26tjprudn",
		"channel_01770199765_aaaqeayeuvqryglaqas26tjprudn",
		"channel_x_aaaqeayeuvqryglaqas26tjprudn" };
	int64_t issued = 0;

	(void)state;
	assert_true(channel_has_form(NAME, &issued));
	assert_int_equal(issued, NOW);
	assert_true(channel_has_form("channel_7_22222222222222222222zzzzzzzz",
	    &issued));
	assert_int_equal(issued, 7);
	for (size_t i = 0; i < COUNT(others); i++)
		assert_false(channel_has_form(others[i], &issued));
}

static void
test_a_name_ages(void **state)
{
	static const struct {
		int64_t age;
		bool good;
	} ages[] = { { 0, true }, { DAY - 1, true }, { DAY, true },
		{ DAY + 1, false }, { -60, true }, { -61, false },
		{ -120, false }, { 1000 * DAY, false } };
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(ages); i++)
		assert_int_equal(channel_current(CERTIFICATE, NAME, USER, DAY,
				     NOW + ages[i].age),
		    ages[i].good);
	assert_false(channel_current(CERTIFICATE, NAME, "1", DAY, NOW));
	assert_false(channel_current(CERTIFICATE, "room", USER, DAY, NOW));
}

/* --- the agent's uid --- */

static uint32_t
agent_of(const char *certificate, const char *name, const char *uid)
{
	uint32_t agent_uid = 0;

	assert_int_equal(channel_agent_uid(certificate, name, uid, &agent_uid),
	    0);
	assert_in_range(agent_uid, CHANNEL_AGENT_UID_MIN,
	    CHANNEL_AGENT_UID_MAX);
	return agent_uid;
}

static void
test_renewal_gives_the_same_agent_uid(void **state)
{
	const uint32_t first = agent_of(CERTIFICATE, NAME, USER);

	(void)state;
	assert_int_not_equal(agent_of(CERTIFICATE, "another room", "8"), first);
	assert_int_equal(agent_of(CERTIFICATE, NAME, USER), first);
	assert_int_not_equal(agent_of(CERTIFICATE, NAME, "1234568"), first);
	assert_int_not_equal(agent_of("5cfd2fd1755d40ecb72977518be15d3b", NAME,
				 USER),
	    first);
}

/* Where the name ends and the uid begins is part of what is signed. */
static void
test_name_and_uid_do_not_run_together(void **state)
{
	(void)state;
	assert_int_not_equal(agent_of(CERTIFICATE, "room1", "23"),
	    agent_of(CERTIFICATE, "room12", "3"));
}

/* 10,000 rooms: in range (checked by agent_of) and spread over all of it. */
static void
test_agent_uids_fill_their_range(void **state)
{
	const uint32_t width =
	    (CHANNEL_AGENT_UID_MAX - CHANNEL_AGENT_UID_MIN + 1) / 10;
	size_t i, seen[10] = { 0 };
	char name[CHANNEL_SIZE];
	uint32_t agent_uid;

	(void)state;
	for (i = 0; i < 10000; i++) {
		(void)snprintf(name, sizeof(name), "room %zu", i);
		agent_uid = agent_of(CERTIFICATE, name, USER);
		seen[(agent_uid - CHANNEL_AGENT_UID_MIN) / width]++;
	}
	for (i = 0; i < COUNT(seen); i++)
		assert_in_range(seen[i], 850, 1150); /* 1,000 ± 5 sigma */
}

/* --- the alphabet --- */

/* A10: Agora's 89 characters, spelled out, and none of the other bytes. */
static void
test_alphabet(void **state)
{
	static const char legal[] =
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	    " !#$%&()+-:;<=.>?@[]^_{}|~,";
	char name[] = "x?x";
	struct fail fail;
	int byte;
	bool good;

	(void)state;
	assert_int_equal(strlen(legal), 89);
	for (byte = 0; byte < 256; byte++) {
		good = byte != 0 && strchr(legal, byte) != NULL;
		assert_int_equal(channel_char_ok((char)byte), good);
		if (byte == 0)
			continue; /* it would end the text */
		fail = (struct fail){ 0 };
		name[1] = (char)byte;
		assert_int_equal(channel_name_check(name, "channel", &fail),
		    good ? 0 : -1);
		assert_int_equal(fail.kind, good ? FAIL_NONE : FAIL_BAD_INPUT);
		assert_int_equal(channel_uid_check(name, "uid", NULL),
		    good ? 0 : -1);
	}
}

static void
check_name(const char *name, bool good, const char *message)
{
	struct fail fail = { 0 };

	assert_int_equal(channel_name_check(name, "channelName", &fail),
	    good ? 0 : -1);
	assert_int_equal(fail.kind, good ? FAIL_NONE : FAIL_BAD_INPUT);
	assert_string_equal(fail.text, message);
}

static void
test_channel_names(void **state)
{
	static const char empty[] =
	    "channelName is required and cannot be empty";
	static const char foreign[] =
	    "channelName has a character that Agora does not allow";
	static const char too_long[] = "channelName is longer than 63 bytes";
	/* 64 characters, 128 bytes */
	char wide[2 * 64 + 1];
	size_t i;

	(void)state;
	check_name("x", true, "");
	check_name("0", true, "");
	check_name(" x ", true, "");
	check_name("null", true, "");
	check_name(SIXTY_THREE, true, "");
	check_name(SIXTY_FOUR, false, too_long);
	check_name(SIXTY_FOUR "u", false, too_long);
	check_name("", false, empty);
	check_name(" ", false, empty);
	check_name("   ", false, empty);
	check_name("\t", false, foreign);
	check_name("a\r\nb", false, foreign);
	check_name("a\x7f", false, foreign);
	check_name("a/b", false, foreign);
	check_name("\xf0\x9f\x98\x80", false, foreign);
	for (i = 0; i < 64; i++)
		memcpy(wide + 2 * i, "\xc3\xa9", 3);
	check_name(wide, false, too_long);
}

/* A11 */
static void
test_uids(void **state)
{
	static const char *const good[] = { "1", "7", "1234567", "4294967295",
		"alice", "alice@example", "a b", "1e9", "0x10", "1.5", "+1",
		"1 ", " 1", "-", "--1", "1-", "-1a", "NULL", "null ", "nullx",
		SIXTY_FOUR, SIXTY_THREE };
	static const char *const bad[] = { "", " ", "    ", "0", "00", "-0",
		"-1", "-4294967295", "01", "007", "4294967296",
		"9223372036854775807", "9223372036854775808",
		"18446744073709551617",
		"99999999999999999999999999999999999999999999999999999999999999"
		"999",
		"null", "a/b", "a\nb", "\x7f", "\xc3\xa9", "\xff",
		SIXTY_FOUR "u" };
	struct fail fail;
	char digits[257];
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(good); i++) {
		fail = (struct fail){ 0 };
		if (channel_uid_check(good[i], "rtcUid", &fail) == -1)
			fail_msg("refused: '%s': %s", good[i], fail.text);
		assert_int_equal(fail.kind, FAIL_NONE);
	}
	for (i = 0; i < COUNT(bad); i++) {
		fail = (struct fail){ 0 };
		if (channel_uid_check(bad[i], "rtcUid", &fail) != -1)
			fail_msg("accepted: '%s'", bad[i]);
		assert_int_equal(fail.kind, FAIL_BAD_INPUT);
		assert_int_equal(strncmp(fail.text, "rtcUid ", 7), 0);
	}
	memset(digits, '9', sizeof(digits) - 1);
	digits[sizeof(digits) - 1] = '\0';
	assert_int_equal(channel_uid_check(digits, "rtcUid", NULL), -1);
}

static void
test_uid_messages(void **state)
{
	static const struct {
		const char *uid;
		const char *message;
	} cases[] = {
		{ "", "userUid is required and cannot be empty" },
		{ "  ", "userUid is required and cannot be empty" },
		{ "0",
		    "userUid is a number outside 1..4294967295 or has leading "
		    "zeros" },
		{ "null", "userUid cannot be the word null" },
		{ SIXTY_FOUR "u", "userUid is longer than 64 bytes" },
		{ "a*b", "userUid has a character that Agora does not allow" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(cases); i++) {
		struct fail fail = { 0 };

		assert_int_equal(channel_uid_check(cases[i].uid, "userUid",
				     &fail),
		    -1);
		assert_string_equal(fail.text, cases[i].message);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_and_agent_uids_are_pinned),
		cmocka_unit_test(test_issue_refuses_what_does_not_fit),
		cmocka_unit_test(test_100000_names_are_distinct),
		cmocka_unit_test(
		    test_every_other_byte_in_every_place_is_foreign),
		cmocka_unit_test(test_other_spellings_are_foreign),
		cmocka_unit_test(test_a_time_of_25_digits_is_foreign),
		cmocka_unit_test(test_other_user_or_certificate_is_foreign),
		cmocka_unit_test(test_the_form_of_names),
		cmocka_unit_test(test_a_name_ages),
		cmocka_unit_test(test_renewal_gives_the_same_agent_uid),
		cmocka_unit_test(test_name_and_uid_do_not_run_together),
		cmocka_unit_test(test_agent_uids_fill_their_range),
		cmocka_unit_test(test_alphabet),
		cmocka_unit_test(test_channel_names),
		cmocka_unit_test(test_uids),
		cmocka_unit_test(test_uid_messages),
	};

	return cmocka_run_group_tests_name("channel", tests, NULL, NULL);
}
