/*
 * Agent files as they come, change, break and go.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/agent.h"
#include "common/agents.h"
#include "common/buf.h"
#include "common/fail.h"
#include "common/settings.h"

#define KEY "sk-0123456789abcdef"
#define MINUTE 60

static char folder[] = "/tmp/test_agents.XXXXXX";
static struct settings_source *source;
static struct settings *settings;
static struct agents *agents;

/* The ${name}d file of the folder; the last two names stay. */
static const char *
path_of(const char *name)
{
	static char path[2][200];
	static unsigned turn;

	turn = !turn;
	snprintf(path[turn], sizeof(path[turn]), "%s/%s", folder, name);
	return path[turn];
}

static void
write_file(const char *name, const char *text)
{
	FILE *file = fopen(path_of(name), "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

/* Has ${name} look as if nobody had touched it for ${seconds}. */
static void
age(const char *name, time_t seconds)
{
	struct timespec then[2] = { { .tv_sec = time(NULL) - seconds },
		{ .tv_sec = time(NULL) - seconds } };

	assert_int_equal(utimensat(AT_FDCWD, path_of(name), then, 0), 0);
}

/* A file that says hello with ${word}, written a minute ago. */
static void
write_agent(const char *name, const char *word)
{
	char text[300];

	snprintf(text, sizeof(text),
	    "{\"properties\":{\"labels\":{\"word\":\"%s\"}}}", word);
	write_file(name, text);
	age(name, MINUTE);
}

static void
write_broken(const char *name, const char *text)
{
	write_file(name, text);
	age(name, MINUTE);
}

static void
read_settings(void)
{
	settings_free(settings);
	settings = settings_load(source);
	assert_non_null(settings);
	assert_true(settings->usable);
}

static int
setup(void **state)
{
	(void)state;
	strcpy(folder + strlen(folder) - 6, "XXXXXX");
	assert_non_null(mkdtemp(folder));
	assert_int_equal(mkdir(path_of("profiles"), 0700), 0);
	write_file("env",
	    "APP_ID=970CA35de60c44645bbae8a215061b33\n"
	    "APP_CERTIFICATE=5CFd2fd1755d40ecb72977518be15d3b\n"
	    "AGENT_FILE=agent.json\nAGENT_DIR=profiles\nMY_KEY=" KEY "\n");
	assert_int_equal(chmod(path_of("env"), 0600), 0);
	setenv("AGORA_ENV_FILE", path_of("env"), 1);
	source = settings_source_new(NULL);
	assert_non_null(source);
	read_settings();
	agents = agents_new();
	assert_non_null(agents);
	return 0;
}

static int
teardown(void **state)
{
	char command[300];

	(void)state;
	agents_free(agents);
	settings_free(settings);
	settings = NULL;
	settings_source_free(source);
	snprintf(command, sizeof(command), "rm -r %s", folder);
	assert_int_equal(system(command), 0);
	return 0;
}

/* What load() logged; stderr is the log's. */
static char logged[8192];

static void
load(void)
{
	int old = dup(STDERR_FILENO);
	FILE *file = tmpfile();
	size_t len;

	assert_non_null(file);
	assert_int_not_equal(dup2(fileno(file), STDERR_FILENO), -1);
	agents_load(agents, settings, source);
	assert_int_not_equal(dup2(old, STDERR_FILENO), -1);
	close(old);
	rewind(file);
	len = fread(logged, 1, sizeof(logged) - 1, file);
	logged[len] = '\0';
	fclose(file);
	assert_null(strstr(logged, KEY));
}

/* Checks that the agent of ${profile} bears ${word}. */
static void
expect_word(const char *profile, const char *word)
{
	struct agent_tokens tokens = { .app_id = "a", .agent = "t" };
	struct agent_start start = { .channel = "c",
		.agent_uid = "1",
		.user_uid = "2" };
	struct buf body = BUF(100000);
	struct fail fail = { 0 };
	char wanted[200];

	start.agent = agents_find(agents, profile, &fail);
	if (start.agent == NULL)
		fail_msg("%s", fail.text);
	assert_int_equal(agent_join_body(&start, "n", &tokens, &body, &fail),
	    0);
	snprintf(wanted, sizeof(wanted), "\"labels\":{\"word\":\"%s\"}", word);
	if (strstr(buf_str(&body), wanted) == NULL)
		fail_msg("%s is not in %s", wanted, buf_str(&body));
	buf_free(&body);
}

static void
expect_none(const char *profile, enum fail_kind kind, const char *text)
{
	struct fail fail = { 0 };

	assert_null(agents_find(agents, profile, &fail));
	assert_int_equal(fail.kind, kind);
	assert_string_equal(fail.text, text);
}

static void
the_file_and_the_profiles_are_found(void **state)
{
	(void)state;
	write_agent("agent.json", "usual");
	write_agent("profiles/a.json", "first");
	write_agent("profiles/b_2-c.json", "${MY_KEY}");
	load();
	assert_string_equal(logged, "");
	expect_word(NULL, "usual");
	expect_word("a", "first");
	expect_word("b_2-c", KEY);
	assert_false(agents_changed(agents));
}

static void
a_profile_must_be_there(void **state)
{
	static const char name[] = "profile must be 1 to 32 of a-z, 0-9, _ "
				   "and -";

	(void)state;
	write_agent("agent.json", "usual");
	write_agent("profiles/a.json", "first");
	write_agent("profiles/Upper.json", "no");
	write_agent("profiles/.json", "no");
	write_agent("profiles/x.json.bak", "no");
	load();
	expect_none("b", FAIL_NOT_FOUND, "there is no such profile");
	expect_none("x", FAIL_NOT_FOUND, "there is no such profile");
	expect_none("Upper", FAIL_BAD_INPUT, name);
	expect_none("", FAIL_BAD_INPUT, name);
	expect_none("../agent", FAIL_BAD_INPUT, name);
	expect_none("a.json", FAIL_BAD_INPUT, name);
	expect_none("a2345678901234567890123456789012", FAIL_NOT_FOUND,
	    "there is no such profile");
	expect_none("a23456789012345678901234567890123", FAIL_BAD_INPUT, name);
}

static void
a_change_is_noticed(void **state)
{
	(void)state;
	write_agent("agent.json", "usual");
	write_agent("profiles/a.json", "first");
	load();
	assert_false(agents_changed(agents));
	write_agent("profiles/a.json", "later");
	assert_true(agents_changed(agents));
	load();
	expect_word("a", "later");
	write_agent("agent.json", "new");
	assert_true(agents_changed(agents));
	load();
	expect_word(NULL, "new");
	write_agent("profiles/b.json", "second");
	assert_true(agents_changed(agents));
	load();
	expect_word("b", "second");
	assert_false(agents_changed(agents));
}

/* Two changes within a tick of the file system's clock look like one. */
static void
a_young_file_is_read_again(void **state)
{
	(void)state;
	write_agent("agent.json", "usual");
	age("agent.json", 0);
	load();
	assert_true(agents_changed(agents));
	age("agent.json", MINUTE);
	load();
	assert_false(agents_changed(agents));
	age("agent.json", -MINUTE); /* somebody's clock was wrong */
	load();
	assert_false(agents_changed(agents));
}

static void
a_broken_file_keeps_the_last_good_one(void **state)
{
	char expected[300];

	(void)state;
	write_agent("agent.json", "usual");
	write_agent("profiles/a.json", "${MY_KEY}");
	load();
	write_broken("profiles/a.json", "{\"properties\":{\"a\":\"${NOPE}\"}}");
	write_broken("agent.json", "{\n \"properties\": {");
	load();
	snprintf(expected, sizeof(expected),
	    "<3>agora-agent: agent: %s/agent.json: problem: line 2, column "
	    "17: unexpected end; close every quote and bracket\n",
	    folder);
	assert_non_null(strstr(logged, expected));
	assert_non_null(strstr(logged, "properties.a needs the variable NOPE"));
	expect_word(NULL, "usual");
	expect_word("a", KEY);
	/* Once is enough. */
	load();
	assert_string_equal(logged, "");
	expect_word(NULL, "usual");
	write_agent("agent.json", "mended");
	load();
	assert_non_null(strstr(logged, "agent.json: is in order again"));
	expect_word(NULL, "mended");
}

/* What was good is read with the settings of today. */
static void
the_last_good_one_gets_new_keys(void **state)
{
	(void)state;
	write_agent("agent.json", "${MY_KEY}");
	load();
	write_broken("agent.json", "{");
	write_file("env",
	    "APP_ID=970CA35de60c44645bbae8a215061b33\n"
	    "APP_CERTIFICATE=5CFd2fd1755d40ecb72977518be15d3b\n"
	    "AGENT_FILE=agent.json\nMY_KEY=another\n");
	read_settings();
	load();
	expect_word(NULL, "another");
}

static void
a_file_that_never_was_good_starts_nothing(void **state)
{
	(void)state;
	write_broken("agent.json", "{\"properties\":{\"a\":\"${NOPE}\"}}");
	write_broken("profiles/a.json", "[]");
	load();
	expect_none(NULL, FAIL_CONFIG,
	    "the agent is not configured properly: agent.json: properties.a "
	    "needs the variable NOPE, which is not set; set it where the "
	    "settings are");
	expect_none("a", FAIL_CONFIG,
	    "the agent is not configured properly: a.json: it must be an "
	    "object: {\"properties\": {…}}");
}

static void
a_file_that_is_missing_is_said_to_be(void **state)
{
	(void)state;
	load(); /* it waits in vain */
	assert_non_null(strstr(logged,
	    "agent.json: problem: cannot be opened: No such file or "
	    "directory"));
	expect_none(NULL, FAIL_CONFIG,
	    "the agent is not configured properly: agent.json: cannot be "
	    "opened: No such file or directory");
}

/* Editors remove a file and put another in its place. */
static void
a_profile_goes_when_it_is_gone_for_good(void **state)
{
	(void)state;
	write_agent("agent.json", "usual");
	write_agent("profiles/a.json", "first");
	load();
	assert_int_equal(unlink(path_of("profiles/a.json")), 0);
	assert_true(agents_changed(agents));
	load();
	expect_word("a", "first");
	assert_true(agents_changed(agents));
	load();
	expect_none("a", FAIL_NOT_FOUND, "there is no such profile");
	assert_false(agents_changed(agents));
	write_agent("profiles/a.json", "back");
	load();
	expect_word("a", "back");
}

static void
a_folder_that_is_away_takes_nothing_along(void **state)
{
	(void)state;
	write_agent("agent.json", "usual");
	write_agent("profiles/a.json", "first");
	load();
	assert_int_equal(rename(path_of("profiles"), path_of("away")), 0);
	load();
	assert_non_null(strstr(logged, "AGENT_DIR"));
	assert_non_null(strstr(logged, "No such file or directory"));
	expect_word("a", "first");
	load();
	assert_null(strstr(logged, "AGENT_DIR"));
	assert_int_equal(rename(path_of("away"), path_of("profiles")), 0);
	load();
	expect_word("a", "first");
}

static void
more_than_64_profiles_are_left_out(void **state)
{
	char name[40];
	int i;

	(void)state;
	write_agent("agent.json", "usual");
	for (i = 0; i < 65; i++) {
		snprintf(name, sizeof(name), "profiles/p%02d.json", i);
		write_agent(name, "x");
	}
	load();
	assert_non_null(strstr(logged,
	    "of more than 64 profiles one is left out: p64.json"));
	expect_word("p63", "x");
	expect_none("p64", FAIL_NOT_FOUND, "there is no such profile");
}

/* Who can write the file can have our keys sent to another place. */
static void
what_others_can_write_is_refused(void **state)
{
	(void)state;
	write_agent("agent.json", "usual");
	assert_int_equal(chmod(path_of("agent.json"), 0646), 0);
	load();
	assert_non_null(strstr(logged,
	    "problem: everybody on this machine can write to it"));
	expect_none(NULL, FAIL_CONFIG,
	    "the agent is not configured properly: agent.json: everybody on "
	    "this machine can write to it; chmod 600");
	assert_int_equal(chmod(path_of("agent.json"), 0644), 0);
	load();
	assert_null(strstr(logged, "problem"));
	expect_word(NULL, "usual");
}

static void
what_is_no_file_is_refused(void **state)
{
	(void)state;
	assert_int_equal(mkdir(path_of("agent.json"), 0700), 0);
	age("agent.json", MINUTE);
	load();
	assert_non_null(strstr(logged, "it is not a regular file"));
}

static void
what_is_too_large_is_refused(void **state)
{
	FILE *file = fopen(path_of("agent.json"), "w");
	int i;

	(void)state;
	assert_non_null(file);
	for (i = 0; i < 65537; i++)
		fputc(' ', file);
	fclose(file);
	age("agent.json", MINUTE);
	load();
	assert_non_null(strstr(logged, "it is larger than 65536 bytes"));
}

static void
check_prints_all(void **state)
{
	static char printed[4096];
	FILE *out = fmemopen(printed, sizeof(printed), "w");
	char expected[1000];

	(void)state;
	assert_non_null(out);
	write_agent("agent.json", "usual");
	write_agent("profiles/b.json", "good");
	write_broken("profiles/a.json", "{\"asr\":{}}");
	assert_int_equal(agents_check(settings, source, out), 1);
	fclose(out);
	snprintf(expected, sizeof(expected),
	    "agents:\n"
	    "  %s/agent.json: used\n"
	    "  %s/profiles/a.json (profile a): of no use\n"
	    "    problem: asr is not known here: asr, llm, tts and all else "
	    "belong into properties; beside it are name, preset and "
	    "pipeline_id\n"
	    "  %s/profiles/b.json (profile b): used\n",
	    folder, folder, folder);
	assert_string_equal(printed, expected);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_file_and_the_profiles_are_found),
		TEST(a_profile_must_be_there),
		TEST(a_change_is_noticed),
		TEST(a_young_file_is_read_again),
		TEST(a_broken_file_keeps_the_last_good_one),
		TEST(the_last_good_one_gets_new_keys),
		TEST(a_file_that_never_was_good_starts_nothing),
		TEST(a_file_that_is_missing_is_said_to_be),
		TEST(a_profile_goes_when_it_is_gone_for_good),
		TEST(a_folder_that_is_away_takes_nothing_along),
		TEST(more_than_64_profiles_are_left_out),
		TEST(what_others_can_write_is_refused),
		TEST(what_is_no_file_is_refused),
		TEST(what_is_too_large_is_refused),
		TEST(check_prints_all),
	};

	return cmocka_run_group_tests_name("agents", tests, NULL, NULL);
}
