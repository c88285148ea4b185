/*
 * The .env reader against python-dotenv's recorded results, and its limits.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <json.h>

#include "common/dotenv.h"
#include "common/fail.h"
#include "common/utf8.h"

#define VECTORS "tests/vectors/dotenv.json"
#define CASES_RECORDED 696

static struct json_object *
member(struct json_object *object, const char *key)
{
	struct json_object *value = NULL;

	assert_true(json_object_object_get_ex(object, key, &value));
	return value;
}

/* Looks ${name} up in a JSON object: the recorded outer environment. */
static const char *
outer_from_json(void *arg, const char *name)
{
	struct json_object *value = NULL;

	if (!json_object_object_get_ex(arg, name, &value))
		return NULL;
	return json_object_get_string(value);
}

static bool
same_value(const struct dotenv_entry *entry, struct json_object *pair)
{
	struct json_object *name = json_object_array_get_idx(pair, 0);
	struct json_object *value = json_object_array_get_idx(pair, 1);

	if (strcmp(entry->name, json_object_get_string(name)) != 0)
		return false;
	if (value == NULL || entry->value == NULL)
		return value == NULL && entry->value == NULL;
	return strcmp(entry->value, json_object_get_string(value)) == 0;
}

static bool
same_result(const struct dotenv *env, struct json_object *recorded)
{
	struct json_object *values = member(recorded, "values");

	if (env->len != json_object_array_length(values))
		return false;
	for (size_t i = 0; i < env->len; i++)
		if (!same_value(&env->entry[i],
			json_object_array_get_idx(values, i)))
			return false;
	return (int64_t)env->bad_line ==
	    json_object_get_int64(member(recorded, "bad_line"));
}

static void
check_case(struct json_object *recorded)
{
	struct json_object *text = member(recorded, "text");
	struct fail fail = { 0 };
	struct dotenv env;

	if (dotenv_parse(&env, json_object_get_string(text),
		(size_t)json_object_get_string_len(text), outer_from_json,
		member(recorded, "outer"), &fail) == -1)
		fail_msg("%s: %s", fail.text,
		    json_object_to_json_string(recorded));
	if (!same_result(&env, recorded))
		fail_msg("differs: %s", json_object_to_json_string(recorded));
	dotenv_free(&env);
}

static void
agrees_with_python_dotenv(void **state)
{
	struct json_object *all = json_object_from_file(VECTORS);
	struct json_object *cases;
	size_t len;

	(void)state;
	assert_non_null(all);
	cases = member(all, "cases");
	len = json_object_array_length(cases);
	assert_int_equal(len, CASES_RECORDED);
	assert_int_equal(json_object_get_int64(member(all, "count")), len);
	for (size_t i = 0; i < len; i++)
		check_case(json_object_array_get_idx(cases, i));
	json_object_put(all);
}

/* Parses ${text} with no outer environment. */
static int
parse(struct dotenv *env, const char *text, struct fail *fail)
{
	*fail = (struct fail){ 0 };
	return dotenv_parse(env, text, strlen(text), NULL, NULL, fail);
}

static void
get_finds_values(void **state)
{
	struct dotenv env;
	struct fail fail;

	(void)state;
	assert_int_equal(parse(&env, "A=1\nB\nC=${A}${B}2", &fail), 0);
	assert_string_equal(dotenv_get(&env, "A"), "1");
	assert_null(dotenv_get(&env, "B"));
	assert_string_equal(dotenv_get(&env, "C"), "12");
	assert_null(dotenv_get(&env, "D"));
	dotenv_free(&env);
	assert_int_equal(env.len, 0);
	assert_null(dotenv_get(&env, "A"));
	dotenv_free(NULL);
}

/* Expects ${len} bytes of ${text} to be refused with ${why}. */
static void
refused(const char *text, size_t len, const char *why)
{
	struct fail fail = { 0 };
	struct dotenv env;

	assert_int_equal(dotenv_parse(&env, text, len, NULL, NULL, &fail), -1);
	assert_int_equal(fail.kind, FAIL_CONFIG);
	assert_string_equal(fail.text, why);
	assert_int_equal(env.len, 0);
	assert_null(env.entry);
}

static void
refuses_what_is_not_text(void **state)
{
	static const char *const bad[] = { "A=\x80", "A=\xc3", "A=\xc0\x80",
		"A=\xe0\x80\x80", "A=\xed\xa0\x80", "A=\xf4\x90\x80\x80",
		"A=\xf5\x80\x80\x80", "A=\xff", "# \xfe", "A=\xe2\x82",
		"A=\xf0\x8f\xbf\xbf", "A=\xc3(" };
	static const char *const good[] = { "", "\xc2\x80", "\xed\x9f\xbf",
		"\xee\x80\x80", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf" };

	(void)state;
	refused("A=b\0c", 5, "there is a NUL byte in it");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		refused(bad[i], strlen(bad[i]), "it is not UTF-8");
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(utf8_valid(good[i], strlen(good[i])));
}

static void
refuses_a_file_too_large(void **state)
{
	char *text = malloc(DOTENV_FILE_MAX + 1);
	struct fail fail = { 0 };
	struct dotenv env;

	(void)state;
	assert_non_null(text);
	memset(text, 'A', DOTENV_FILE_MAX + 1);
	refused(text, DOTENV_FILE_MAX + 1, "it is larger than 65536 bytes");
	assert_int_equal(dotenv_parse(&env, text, DOTENV_FILE_MAX, NULL, NULL,
			     &fail),
	    0);
	assert_int_equal(env.len, 1);
	assert_int_equal(strlen(env.entry[0].name), DOTENV_FILE_MAX);
	dotenv_free(&env);
	free(text);
}

/* Writes ${count} lines "A<i>=" to ${text}. Returns their length. */
static size_t
many_names(char *text, size_t size, int count)
{
	size_t len = 0;

	for (int i = 0; i < count; i++)
		len += (size_t)snprintf(text + len, size - len, "A%d=\n", i);
	return len;
}

static void
refuses_too_many_names(void **state)
{
	char text[16 * 1024];
	struct fail fail = { 0 };
	struct dotenv env;
	size_t len;

	(void)state;
	len = many_names(text, sizeof(text), DOTENV_NAMES_MAX + 1);
	refused(text, len, "more than 1024 names");
	len = many_names(text, sizeof(text), DOTENV_NAMES_MAX);
	assert_int_equal(dotenv_parse(&env, text, len, NULL, NULL, &fail), 0);
	assert_int_equal(env.len, DOTENV_NAMES_MAX);
	dotenv_free(&env);
}

/* Each line doubles the one above: 2^40 bytes if nobody stopped it. */
static void
refuses_values_that_explode(void **state)
{
	char text[4096] = "A=xxxxxxxx\n";
	size_t len = strlen(text);

	(void)state;
	for (int i = 0; i < 40; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len,
		    "A=${A}${A}\n");
	refused(text, len, "the values are longer than 1048576 bytes");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agrees_with_python_dotenv),
		cmocka_unit_test(get_finds_values),
		cmocka_unit_test(refuses_what_is_not_text),
		cmocka_unit_test(refuses_a_file_too_large),
		cmocka_unit_test(refuses_too_many_names),
		cmocka_unit_test(refuses_values_that_explode),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("dotenv", tests, NULL, NULL);
}
