#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/agent_name.h"
#include "common/channel.h"

#define CERTIFICATE "fedcba9876543210fedcba9876543210"
#define NOW 1770199799
#define WINDOW "1770199770"
#define OWN "channel_1770199765_abcdefgh234567abcdefghijklmn"

#define LONGEST                                                                \
	"a23456789012345678901234567890123456789012345678901234567890123"

static struct agent_name seen;

/* Made, repeated ${n} times, and read again. */
static void
expect_round_trip(const char *prefix, const char *channel, const char *uid,
    bool own_channel, bool certain, int n)
{
	char first[AGENT_NAME_SIZE], name[AGENT_NAME_SIZE];

	agent_name_make(prefix, channel, uid, own_channel, NOW, first);
	agent_name_after(first, n, name);
	if (agent_name_read(name, prefix, &seen) == -1)
		fail_msg("%s cannot be read", name);
	assert_string_equal(seen.channel, channel);
	assert_string_equal(seen.agent_uid, uid);
	assert_int_equal(seen.certain, certain);
	assert_true(agent_name_fits(&seen, NOW));
}

static void
a_name_in_an_issued_channel_comes_back(void **state)
{
	static const uint8_t nonce[CHANNEL_NONCE_SIZE] = { 1, 2, 3, 4, 255 };
	char channel[CHANNEL_SIZE];

	(void)state;
	assert_int_equal(channel_issue(CERTIFICATE, NOW - 10, nonce, "1234567",
			     channel),
	    0);
	for (int n = 0; n <= 9; n++) {
		expect_round_trip("agent", channel, "58888506", true, true, n);
		expect_round_trip("my_shop-1", channel, "58888506", true, true,
		    n);
		expect_round_trip("agent", channel, "robot_one", true, false,
		    n);
	}
	assert_int_equal(seen.since, NOW - 10);
}

/* Every thirtieth could be a window. */
static void
no_uid_of_get_config_is_taken_for_a_time(void **state)
{
	char uid[16];

	(void)state;
	for (unsigned i = 0; i < 1000; i++) {
		snprintf(uid, sizeof(uid), "%u", CHANNEL_AGENT_UID_MIN + i);
		expect_round_trip("agent", OWN, uid, true, true, 0);
		expect_round_trip("agent", OWN, uid, false, false, 0);
		expect_round_trip("agent", "demo", uid, false, false, 9);
	}
}

static void
a_name_in_a_channel_of_a_client_comes_back(void **state)
{
	static const char *const channels[] = { "demo", "a", "my_room_7", "_",
		"__", "a b!#$%&()+-:;<=.>?@[]^_{}|~,", "room_1770199770",
		"agent_agent", "room_r3", OWN, LONGEST };

	(void)state;
	for (size_t i = 0; i < sizeof(channels) / sizeof(channels[0]); i++)
		for (int n = 0; n <= 9; n++) {
			expect_round_trip("agent", channels[i], "58888506",
			    false, false, n);
			expect_round_trip("agent_2", channels[i], "1", false,
			    false, n);
			expect_round_trip("-", channels[i], "r2", false, false,
			    n);
		}
	assert_int_equal(seen.since, 1770199770);
}

static void
an_underscore_in_a_uid_goes_to_the_channel(void **state)
{
	(void)state;
	assert_int_equal(agent_name_read("agent_room_bot_7_" WINDOW, "agent",
			     &seen),
	    0);
	assert_string_equal(seen.channel, "room_bot");
	assert_string_equal(seen.agent_uid, "7");
	/* 07 is no uid; bot_07 is. */
	assert_int_equal(agent_name_read("agent_room_bot_07_" WINDOW, "agent",
			     &seen),
	    0);
	assert_string_equal(seen.channel, "room");
	assert_string_equal(seen.agent_uid, "bot_07");
	/* In a channel of our own nothing is in doubt. */
	assert_int_equal(agent_name_read("agent_" OWN "_a_b_c", "agent", &seen),
	    0);
	assert_string_equal(seen.channel, OWN);
	assert_string_equal(seen.agent_uid, "a_b_c");
}

/* What looks like a suffix may be a uid. */
static void
a_suffix_alone_is_a_uid(void **state)
{
	(void)state;
	assert_int_equal(agent_name_read("agent_" OWN "_r2", "agent", &seen),
	    0);
	assert_string_equal(seen.agent_uid, "r2");
	assert_int_equal(agent_name_read("agent_" OWN "_7_r2", "agent", &seen),
	    0);
	assert_string_equal(seen.agent_uid, "7");
}

/* Then it is not certain that the name is ours; reap depends on it. */
static void
a_window_takes_an_issued_channel_its_certainty(void **state)
{
	(void)state;
	assert_int_equal(agent_name_read("agent_" OWN "_58888506_" WINDOW,
			     "agent", &seen),
	    0);
	assert_false(seen.certain);
	assert_string_equal(seen.channel, OWN);
	assert_string_equal(seen.agent_uid, "58888506");
}

static void
what_others_call_their_agents_is_not_read(void **state)
{
	static const char *const names[] = { "", "_", "agent", "agent_",
		"agent__", "agent___", "agent_" WINDOW, "agent__" WINDOW,
		"agent_room_" WINDOW, "agent_room_58888506",
		/* Agora's own SDKs and quickstarts. */
		"agent-1770199770", "agent_fixed",
		"agent_channel_1770199765_58888506",
		"agent_demo_58888506_1770199771",
		"agent_" OWN "_58888506_1770199771",
		"conversation-1770199770000-abc123",
		/* Other prefixes. */
		"Agent_demo_58888506_" WINDOW, "agents_demo_58888506_" WINDOW,
		"my_agent_demo_58888506_" WINDOW, " agent_demo_1_" WINDOW,
		/* No window. */
		"agent_demo_58888506_0" WINDOW, "agent_demo_58888506_-30",
		"agent_demo_58888506_+" WINDOW,
		"agent_demo_58888506_" WINDOW " ", "agent_demo_58888506_",
		"agent_demo_58888506_x",
		"agent_demo_58888506_99999999999999999990",
		"agent_demo_58888506_4294967310",
		/* No suffix. */
		"agent_demo_58888506_" WINDOW "_r",
		"agent_demo_58888506_" WINDOW "_r0",
		"agent_demo_58888506_" WINDOW "_r10",
		"agent_demo_58888506_" WINDOW "_R1",
		/* No channel or uid. */
		"agent_ _58888506_" WINDOW, "agent_demo_0_" WINDOW,
		"agent_demo_4294967296_" WINDOW, "agent_demo_ _" WINDOW,
		"agent_r\033[2Jm_58888506_" WINDOW, "agent_demo_1\n2_" WINDOW,
		"agent_r\xc3\xb6m_58888506_" WINDOW, "agent_a/b_1_" WINDOW,
		"agent_a23456789012345678901234567890123456789012345678901234"
		"567890123456_1_" WINDOW,
		/* Not quite an issued channel. */
		"agent_channel_1770199765_abcdefgh234567abcdefghijklm_1",
		"agent_channel_1770199765_abcdefgh234567abcdefghijklmno_1",
		"agent_channel_1770199765_abcdefgh234567abcdefghijklm1_1",
		"agent_channel_1770199765_Abcdefgh234567abcdefghijklmn_1",
		"agent_channel_01770199765_abcdefgh234567abcdefghijklmn_1",
		"agent_channel_x_abcdefgh234567abcdefghijklmn_1",
		"agent_Channel_1770199765_abcdefgh234567abcdefghijklmn_1",
		"agent_channel__abcdefgh234567abcdefghijklmn_1", "agent_" OWN,
		"agent_" OWN "_", "agent_" OWN "_0", "agent_" OWN "_01",
		"agent_" OWN "_a\x7f", "agent_x" OWN "_58888506",
		"x_agent_" OWN "_58888506", "agent_" OWN "_" OWN OWN "_x" };
	char huge[2000];

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (agent_name_read(names[i], "agent", &seen) == 0)
			fail_msg("\"%s\" passes for ours", names[i]);
	memset(huge, '_', sizeof(huge));
	memcpy(huge, "agent", 5);
	huge[sizeof(huge) - 1] = '\0';
	assert_int_equal(agent_name_read(huge, "agent", &seen), -1);
	huge[AGENT_NAME_SIZE - 1] = '\0';
	assert_int_equal(agent_name_read(huge, "agent", &seen), -1);
}

/* Whatever is cut off a name of ours. */
static void
half_a_name_is_none(void **state)
{
	static const char whole[] = "agent_" OWN "_58888506";
	char part[sizeof(whole)];

	(void)state;
	for (size_t len = 0; len < sizeof("agent_" OWN "_") - 1; len++) {
		memcpy(part, whole, len);
		part[len] = '\0';
		if (agent_name_read(part, "agent", &seen) == 0)
			fail_msg("\"%s\" passes for ours", part);
	}
}

static void
the_time_of_the_start_must_fit(void **state)
{
	(void)state;
	assert_int_equal(agent_name_read("agent_demo_1_" WINDOW, "agent",
			     &seen),
	    0);
	assert_true(agent_name_fits(&seen, 1770199770));
	assert_true(agent_name_fits(&seen, 1770199770 + 30 + 20));
	assert_true(agent_name_fits(&seen, 1770199770 - 300)); /* clocks */
	assert_false(agent_name_fits(&seen, 1770199770 - 3600));
	assert_false(agent_name_fits(&seen, 1770199770 + 3600));
	assert_false(agent_name_fits(&seen, 0));
	assert_false(agent_name_fits(&seen, -1));
	assert_false(agent_name_fits(&seen, INT64_MAX));
	assert_false(agent_name_fits(&seen, INT64_MIN));
	assert_int_equal(agent_name_read("agent_" OWN "_1", "agent", &seen), 0);
	assert_true(agent_name_fits(&seen, 1770199765));
	assert_true(agent_name_fits(&seen, 1770199765 + 86400));
	assert_false(agent_name_fits(&seen, 1770199765 - 3600));
	assert_true(agent_name_fits(&seen, 0));
	assert_false(agent_name_fits(&seen, INT64_MAX));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_in_an_issued_channel_comes_back),
		cmocka_unit_test(no_uid_of_get_config_is_taken_for_a_time),
		cmocka_unit_test(a_name_in_a_channel_of_a_client_comes_back),
		cmocka_unit_test(an_underscore_in_a_uid_goes_to_the_channel),
		cmocka_unit_test(a_suffix_alone_is_a_uid),
		cmocka_unit_test(
		    a_window_takes_an_issued_channel_its_certainty),
		cmocka_unit_test(what_others_call_their_agents_is_not_read),
		cmocka_unit_test(half_a_name_is_none),
		cmocka_unit_test(the_time_of_the_start_must_fit),
	};

	return cmocka_run_group_tests_name("agent_name", tests, NULL, NULL);
}
