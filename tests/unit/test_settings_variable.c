/*
 * What ${NAME} in an agent file stands for, and that keys in the environment
 * do not stay there.
 */
#define _GNU_SOURCE /* memmem(3) */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/settings.h"

#define APP_ID "970CA35de60c44645bbae8a215061b33"
#define CERTIFICATE "5CFd2fd1755d40ecb72977518be15d3b"

extern char **environ;

static char folder[] = "/tmp/test_variable.XXXXXX";
static struct settings_source *source;
static struct settings *settings;

static void
write_file(const char *name, const char *text)
{
	char path[200];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
	assert_int_equal(chmod(path, 0600), 0);
}

static int
setup(void **state)
{
	(void)state;
	strcpy(folder + strlen(folder) - 6, "XXXXXX");
	assert_non_null(mkdtemp(folder));
	assert_int_equal(chdir(folder), 0);
	write_file(".env.local", "MINE=near\nEMPTY=\nLLM_API_KEY=sk-near\n");
	write_file(".env",
	    "APP_ID=" APP_ID "\nAPP_CERTIFICATE=" CERTIFICATE "\n"
	    "MINE=far\nFAR=away\nEMPTY=full\nLLM_API_KEY=sk-far\n"
	    "DEEPGRAM_API_KEY=dg\nAGENT_GREETING=Ahoy\nTOKEN_TTL=600\n"
	    "API_KEYS=0123456789abcdef\nOTHER_API_KEY=file\n");
	return 0;
}

static int
teardown(void **state)
{
	char command[300];

	(void)state;
	settings_free(settings);
	settings = NULL;
	settings_source_free(source);
	assert_int_equal(chdir("/"), 0);
	snprintf(command, sizeof(command), "rm -r %s", folder);
	return system(command);
}

static void
load(void)
{
	source = settings_source_new(NULL);
	assert_non_null(source);
	settings = settings_load(source);
	assert_non_null(settings);
}

static void
expect(const char *name, const char *expected)
{
	const char *why;
	const char *value = settings_variable(settings, source, name, &why);

	if (value == NULL)
		fail_msg("%s %s", name, why);
	assert_string_equal(value, expected);
}

static void
expect_none(const char *name, const char *expected)
{
	const char *why = "";

	assert_null(settings_variable(settings, source, name, &why));
	assert_string_equal(why, expected);
}

static void
variables_are_found_as_settings_are(void **state)
{
	(void)state;
	setenv("FAR", "", 1);
	setenv("MINE_TOO", "environment", 1);
	load();
	expect("MINE", "near");
	expect("FAR", "away");
	expect("EMPTY", "full");
	expect("MINE_TOO", "environment");
	expect_none("NOBODYS", "is not set");
	unsetenv("FAR");
	unsetenv("MINE_TOO");
}

static void
the_environment_goes_first(void **state)
{
	(void)state;
	setenv("MINE", "environment", 1);
	setenv("OTHER_API_KEY", "environment's", 1);
	load();
	expect("MINE", "environment");
	expect("OTHER_API_KEY", "environment's");
	unsetenv("MINE");
}

static void
settings_are_variables_by_both_names(void **state)
{
	(void)state;
	load();
	expect("LLM_API_KEY", "sk-near");
	expect("OPENAI_API_KEY", "sk-near");
	expect("ASR_DEEPGRAM_API_KEY", "dg");
	expect("AGENT_GREETING", "Ahoy");
	expect("TTS_ELEVENLABS_MODEL_ID", "eleven_flash_v2_5");
	expect("AGORA_APP_ID", APP_ID);
	expect_none("TTS_ELEVENLABS_API_KEY", "is not set");
}

/* An agent file has no business with these. */
static void
the_certificate_is_no_variable(void **state)
{
	static const char useless[] = "is a setting that is of no use there";

	(void)state;
	load();
	expect_none("APP_CERTIFICATE", useless);
	expect_none("AGORA_APP_CERTIFICATE", useless);
	expect_none("API_KEYS", useless);
	expect_none("TOKEN_TTL", useless);
}

static void
what_a_client_sends_is_no_variable(void **state)
{
	(void)state;
	setenv("HTTP_API_KEY", "hers", 1);
	load();
	expect_none("HTTP_API_KEY",
	    "is a name that the client of a CGI program can set");
	assert_string_equal(getenv("HTTP_API_KEY"), "hers");
	unsetenv("HTTP_API_KEY");
	expect_none("QUERY_STRING",
	    "is a name that the client of a CGI program can set");
	expect_none("REDIRECT_HTTP_X",
	    "is a name that the client of a CGI program can set");
}

/* Whether the bytes that were a variable still have ${word}. */
static bool
is_there(const char *bytes, size_t len, const char *word)
{
	return memmem(bytes, len, word, strlen(word)) != NULL;
}

static void
keys_do_not_stay_in_the_environment(void **state)
{
	static char key[] = "CARTESIA_API_KEY=ck-secret";
	static char json[] = "GOOGLE_CREDENTIALS_STRING={\"a\":\"gc-secret\"}";
	static char plain[] = "KEYBOARD=qwerty";
	static char id[] = "AWS_ACCESS_KEY_ID=id-secret";
	static char *ours[] = { key, json, plain, id, NULL };
	char **old = environ;

	(void)state;
	environ = ours;
	load();
	assert_int_equal(environ == ours, 1);
	assert_string_equal(ours[0], plain);
	assert_null(ours[1]);
	assert_false(is_there(key, sizeof(key), "ck-secret"));
	assert_false(is_there(json, sizeof(json), "gc-secret"));
	assert_false(is_there(id, sizeof(id), "id-secret"));
	environ = old;
	expect("CARTESIA_API_KEY", "ck-secret");
	expect("GOOGLE_CREDENTIALS_STRING", "{\"a\":\"gc-secret\"}");
}

static void
paths_start_at_their_settings_file(void **state)
{
	char expected[300];

	(void)state;
	assert_int_equal(mkdir("sub", 0700), 0);
	write_file("sub/env",
	    "APP_ID=" APP_ID "\nAPP_CERTIFICATE=" CERTIFICATE "\n"
	    "AGENT_FILE=agents/a.json\nAGENT_DIR=/full/path/\n");
	setenv("AGORA_ENV_FILE", "sub/env", 1);
	load();
	unsetenv("AGORA_ENV_FILE");
	snprintf(expected, sizeof(expected), "%s/sub/agents/a.json", folder);
	assert_string_equal(settings->agent_file, expected);
	assert_string_equal(settings->agent_dir, "/full/path");
}

static void
paths_of_the_environment_start_where_we_are(void **state)
{
	char expected[300];

	(void)state;
	setenv("AGENT_DIR", "profiles", 1);
	load();
	unsetenv("AGENT_DIR");
	snprintf(expected, sizeof(expected), "%s/profiles", folder);
	assert_string_equal(settings->agent_dir, expected);
	assert_string_equal(settings->agent_file, "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(variables_are_found_as_settings_are),
		TEST(the_environment_goes_first),
		TEST(settings_are_variables_by_both_names),
		TEST(the_certificate_is_no_variable),
		TEST(what_a_client_sends_is_no_variable),
		TEST(keys_do_not_stay_in_the_environment),
		TEST(paths_start_at_their_settings_file),
		TEST(paths_of_the_environment_start_where_we_are),
	};

	return cmocka_run_group_tests_name("settings_variable", tests, NULL,
	    NULL);
}
