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

/* What stands in for the library's clock and strdup(3). */
static int64_t ahead;    /* seconds */
static int no_memory_in; /* calls until one fails, 0: none does */

int64_t __wrap_sys_now(void);
char *__real_strdup(const char *text);
char *__wrap_strdup(const char *text);

int64_t
__wrap_sys_now(void)
{
	return time(NULL) + ahead;
}

char *
__wrap_strdup(const char *text)
{
	if (no_memory_in > 0 && --no_memory_in == 0)
		return NULL;
	return __real_strdup(text);
}

/* A file that says hello with ${word}, which is old by the clock. */
static void
write_agent(const char *name, const char *word)
{
	char text[300];

	snprintf(text, sizeof(text),
	    "{\"properties\":{\"labels\":{\"word\":\"%s\"}}}", word);
	write_file(name, text);
}

static void
write_broken(const char *name, const char *text)
{
	write_file(name, text);
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
	ahead = MINUTE;
	no_memory_in = 0;
	agents = agents_new(false);
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
static char logged[65536];

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
prefixes_are_those_of_all_files(void **state)
{
	(void)state;
	write_agent("agent.json", "usual");
	write_file("profiles/a.json", "{\"name\":\"shop\"}");
	write_broken("profiles/b.json", "{\"name\":\"broken\"");
	load();
	assert_string_equal(agents_prefix(agents, 0), "agent");
	assert_string_equal(agents_prefix(agents, 1), "shop");
	assert_string_equal(agents_prefix(agents, 2), "");
	assert_null(agents_prefix(agents, 3));
	assert_null(agents_prefix(agents, SIZE_MAX));
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
	ahead = 0;
	load();
	assert_true(agents_changed(agents));
	ahead = MINUTE;
	assert_false(agents_changed(agents));
	ahead = -MINUTE; /* somebody's clock was wrong */
	assert_false(agents_changed(agents));
}

/* cp -p and tar give it the time of its original. */
static void
a_file_with_an_old_date_is_young_too(void **state)
{
	struct timespec then[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };

	(void)state;
	write_agent("agent.json", "usual");
	assert_int_equal(utimensat(AT_FDCWD, path_of("agent.json"), then, 0),
	    0);
	ahead = 0;
	load();
	assert_true(agents_changed(agents));
	ahead = MINUTE;
	assert_false(agents_changed(agents));
}

/* Short of memory, the default agent must not stand in for one's own. */
static void
without_memory_nobody_elses_agent_starts(void **state)
{
	struct fail fail = { 0 };

	(void)state;
	write_agent("agent.json", "usual");
	no_memory_in = 1;
	load();
	assert_null(agents_find(agents, NULL, &fail));
	assert_int_equal(fail.kind, FAIL_CONFIG);
	assert_true(agents_changed(agents));
	agents_refresh(agents);
	expect_word(NULL, "usual");
}

static void
only_what_changed_is_read_again(void **state)
{
	struct fail fail = { 0 };
	struct agent *a, *b;

	(void)state;
	write_agent("agent.json", "usual");
	write_agent("profiles/a.json", "first");
	write_agent("profiles/b.json", "second");
	load();
	a = agents_find(agents, "a", &fail);
	b = agents_find(agents, "b", &fail);
	agent_share(b); /* so that its place is not used again */
	write_agent("profiles/b.json", "new");
	agents_refresh(agents);
	assert_ptr_equal(agents_find(agents, "a", &fail), a);
	assert_ptr_not_equal(agents_find(agents, "b", &fail), b);
	agent_free(b);
}

/* A CGI program reads the file that it needs, and tells of no other. */
static void
lazy_ones_read_what_is_asked_for(void **state)
{
	(void)state;
	agents_free(agents);
	agents = agents_new(true);
	write_agent("agent.json", "usual");
	write_agent("profiles/a.json", "first");
	write_broken("profiles/bad.json", "{");
	load();
	assert_string_equal(logged, "");
	expect_word("a", "first");
	expect_word(NULL, "usual");
	expect_none("c", FAIL_NOT_FOUND, "there is no such profile");
	expect_none("../agent", FAIL_BAD_INPUT,
	    "profile must be 1 to 32 of a-z, 0-9, _ and -");
	assert_false(agents_changed(agents));
}

/* What is found of a bad file is bounded, and never lost. */
static void
hundreds_of_findings_are_cut(void **state)
{
	static char text[65536];
	struct buf all = BUF_IN(text);
	struct fail fail = { 0 };
	int i;

	(void)state;
	buf_text(&all, "{\"properties\":{");
	for (i = 0; i < 500; i++)
		buf_format(&all, "\"m%d\":\"${NOPE}\",", i);
	buf_text(&all, "\"x\\n\\u001by\":\"${NOPE}\"}}");
	write_broken("agent.json", text);
	load();
	assert_null(agents_find(agents, NULL, &fail));
	assert_non_null(strstr(fail.text, "properties.m0 needs"));
	assert_non_null(strstr(logged, "warning: there is more\n"));
	assert_null(strstr(logged, "in order again"));
	write_broken("agent.json",
	    "{\"properties\":{\"x\\nproblem: y\":\"${NOPE}\"}}");
	load();
	assert_non_null(strstr(logged, "properties.x?problem: y needs"));
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
	load();
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
	assert_non_null(strstr(logged, "only 64 profiles are read"));
	expect_word("p63", "x");
	expect_none("p64", FAIL_NOT_FOUND, "there is no such profile");
	load();
	assert_string_equal(logged, "");
	/* Where one goes there is room for another. */
	assert_int_equal(unlink(path_of("profiles/p00.json")), 0);
	agents_refresh(agents);
	assert_true(agents_changed(agents));
	agents_refresh(agents);
	assert_true(agents_changed(agents));
	agents_refresh(agents);
	expect_word("p64", "x");
	assert_false(agents_changed(agents));
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
		TEST(prefixes_are_those_of_all_files),
		TEST(a_change_is_noticed),
		TEST(a_young_file_is_read_again),
		TEST(a_file_with_an_old_date_is_young_too),
		TEST(without_memory_nobody_elses_agent_starts),
		TEST(only_what_changed_is_read_again),
		TEST(lazy_ones_read_what_is_asked_for),
		TEST(hundreds_of_findings_are_cut),
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
