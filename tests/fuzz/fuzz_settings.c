/*
 * The settings file. Input: its content. Values are never logged, hence
 * WORLD_CANARY in the dictionary.
 */
#include <string.h>

#include "common/dotenv.h"
#include "common/fail.h"
#include "common/settings.h"
#include "common/settings_internal.h"
#include "common/utf8.h"
#include "world.h"

#define REPORT_MAX (512 * 1024) /* bytes that --check prints */

static struct settings_source *source;
static int file = -1;

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	char path[32];

	(void)argc;
	(void)argv;
	file = world_file(-1);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	source = settings_source_under(NULL, NULL, path);
	CHECK(source != NULL);
	return 0;
}

static void
check_dotenv(const char *text, size_t len)
{
	struct dotenv env = { 0 };
	struct fail fail = { 0 };
	size_t i, total = 0;

	if (dotenv_parse(&env, text, len, NULL, NULL, &fail) == -1) {
		CHECK(fail.kind != FAIL_NONE && fail.text[0] != '\0');
		CHECK(env.len == 0 && env.entry == NULL);
		return;
	}
	CHECK(utf8_valid(text, len));
	CHECK(env.len <= DOTENV_NAMES_MAX);
	for (i = 0; i < env.len; i++) {
		const char *name = env.entry[i].name;
		const char *value = env.entry[i].value;

		CHECK(utf8_valid(name, strlen(name)));
		CHECK(dotenv_get(&env, name) == value); /* one of a name */
		if (value == NULL)
			continue;
		CHECK(utf8_valid(value, strlen(value)));
		total += strlen(value);
	}
	CHECK(total <= DOTENV_VALUES_MAX);
	dotenv_free(&env);
}

static void
check_settings(const struct settings *settings)
{
	CHECK(strlen(settings->app_id) < SETTINGS_ID_SIZE);
	CHECK(!settings->usable || strlen(settings->app_id) == 32);
	CHECK(!settings->usable || settings->certificate.len == 32);
	CHECK(strlen(settings->api_base_url) <= SETTINGS_URL_MAX);
	CHECK(strlen(settings->api_path) <= SETTINGS_PATH_MAX);
	CHECK(strlen(settings->greeting) <= SETTINGS_TEXT_MAX);
	CHECK(strlen(settings->instructions) <= SETTINGS_TEXT_MAX);
	CHECK(utf8_valid(settings->greeting, strlen(settings->greeting)));
	CHECK(settings->token_ttl >= 1 && settings->token_ttl <= 86400);
}

/* --check says the same as a load, and shows no secret. */
static void
check_report(const struct settings *settings)
{
	static char report[REPORT_MAX];
	FILE *out = fmemopen(report, sizeof(report), "w");
	int status;

	CHECK(out != NULL);
	status = settings_check(source, out);
	CHECK(fclose(out) == 0);
	CHECK((status == 0) == settings->usable);
	CHECK(!world_has(report, strlen(report), WORLD_CANARY));
	CHECK(settings->certificate.len == 0 ||
	    strstr(report, settings->certificate.text) == NULL ||
	    strcmp(settings->certificate.text, settings->app_id) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct settings *settings;
	char *text = malloc(size + (size == 0));

	world_reset();
	CHECK(text != NULL);
	if (size > 0)
		memcpy(text, data, size);
	check_dotenv(text, size);
	free(text);
	world_write(file, data, size);
	settings = settings_load(source);
	CHECK(settings != NULL);
	check_settings(settings);
	check_report(settings);
	settings_free(settings);
	return 0;
}
