#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/agent_file.h"
#include "common/buf.h"
#include "common/json.h"
#include "common/teller.h"

#define KEY "sk-0123456789abcdef"

static char said[4096];

static void
hear(void *arg, bool problem, const char *text)
{
	struct buf all = BUF_IN(said);

	(void)arg;
	all.len = strlen(said);
	buf_format(&all, "%s%s: %s", all.len > 0 ? "\n" : "",
	    problem ? "problem" : "warning", text);
	assert_false(buf_failed(&all));
}

static const char *
variable(const void *arg, const char *name, const char **why)
{
	assert_null(arg);
	if (strcmp(name, "KEY") == 0)
		return KEY;
	if (strcmp(name, "LATIN1") == 0)
		return "caf\xe9";
	if (strcmp(name, "QUOTES") == 0)
		return "\"a\\b\"\n\xc3\xa9 ${KEY}";
	*why =
	    strncmp(name, "HTTP_", 5) == 0 ? "is the client's" : "is not set";
	return NULL;
}

/* The tree of ${text}, or NULL; what was told is in said. */
static struct json *
read_text(const char *text, size_t len)
{
	struct agent_variables variables = { variable, NULL };
	struct teller teller = { .tell = hear };
	char *copy = malloc(len + 1); /* no byte more to lean on */
	struct json *file;

	assert_non_null(copy);
	memcpy(copy, text, len);
	copy[len] = '\0';
	said[0] = '\0';
	file = agent_file_parse(copy, len, &variables, &teller);
	free(copy);
	assert_int_equal(file == NULL, teller.problems > 0);
	return file;
}

/* ${text} is read as ${expected}, and ${words} are told of it. */
static void
expect(const char *text, const char *expected, const char *words)
{
	struct json *file = read_text(text, strlen(text));
	struct buf out = BUF(AGENT_FILE_MAX);

	assert_string_equal(said, words);
	assert_non_null(file);
	json_print(file, &out);
	assert_string_equal(buf_str(&out), expected);
	buf_free(&out);
	json_free(file);
}

/* ${text} is refused for ${why}, which shows no value of a variable. */
static void
refuse(const char *text, const char *why)
{
	assert_null(read_text(text, strlen(text)));
	assert_string_equal(said, why);
	assert_null(strstr(said, KEY));
}

static void
a_file_may_have_anything_below_properties(void **state)
{
	(void)state;
	expect("{}", "{}", "");
	expect("{\"name\":\"shop_1-a\",\"preset\":null,\"pipeline_id\":\"p\","
	       "\"properties\":{\"new\":[1,{\"x\":null}],\"asr\":null}}",
	    "{\"name\":\"shop_1-a\",\"preset\":null,\"pipeline_id\":\"p\","
	    "\"properties\":{\"new\":[1,{\"x\":null}],\"asr\":null}}",
	    "");
}

static void
variables_are_filled_in(void **state)
{
	(void)state;
	expect("{\"properties\":{\"a\":\"${KEY}\",\"b\":[\"x${KEY}y${KEY}\"],"
	       "\"c\":{\"d\":\"$${KEY} $ {KEY} $KEY\"}}}",
	    "{\"properties\":{\"a\":\"" KEY "\",\"b\":[\"x" KEY "y" KEY
	    "\"],\"c\":{\"d\":\"${KEY} $ {KEY} $KEY\"}}}",
	    "");
}

/* What stands for a variable is text, whatever it looks like. */
static void
values_are_not_read_again(void **state)
{
	(void)state;
	expect("{\"properties\":{\"a\":\"${QUOTES}\"}}",
	    "{\"properties\":{\"a\":\"\\\"a\\\\b\\\"\\n\xc3\xa9 ${KEY}\"}}",
	    "");
}

static void
names_of_members_are_not_filled(void **state)
{
	(void)state;
	expect("{\"properties\":{\"${KEY}\":1}}",
	    "{\"properties\":{\"${KEY}\":1}}", "");
}

static void
a_variable_must_be_set(void **state)
{
	(void)state;
	refuse("{\"properties\":{\"llm\":{\"mcp_servers\":[{},"
	       "{\"endpoint\":\"${KEY}/${NOPE}\"}]}}}",
	    "problem: properties.llm.mcp_servers[1].endpoint needs the "
	    "variable NOPE, which is not set; set it where the settings are");
	refuse("{\"properties\":{\"a\":\"${HTTP_X}\"}}",
	    "problem: properties.a needs the variable HTTP_X, which is the "
	    "client's; set it where the settings are");
}

static void
a_variable_is_utf8(void **state)
{
	(void)state;
	refuse("{\"properties\":{\"a\":\"${LATIN1}\"}}",
	    "problem: properties.a needs the variable LATIN1, which is not "
	    "UTF-8; set it anew");
}

static void
a_variable_has_a_name(void **state)
{
	static const char *const bad[] = { "${", "${}", "${1A}", "${A-B}",
		"${KEY", "${ KEY}", "${KEY }", "x${KEY}${", NULL };
	char text[100];

	(void)state;
	for (const char *const *one = bad; *one != NULL; one++) {
		snprintf(text, sizeof(text), "{\"properties\":{\"a\":\"%s\"}}",
		    *one);
		refuse(text,
		    "problem: properties.a has ${ without a name and } behind "
		    "it; write $${ for a plain ${");
	}
}

static void
a_value_that_is_too_long_is_refused(void **state)
{
	static char text[AGENT_FILE_MAX];
	size_t len;

	(void)state;
	strcpy(text, "{\"properties\":{\"a\":\"");
	while ((len = strlen(text)) < sizeof(text) - 20)
		strcpy(text + len, "${KEY}");
	strcat(text, "\"}}");
	refuse(text, "problem: properties.a is too long");
}

static void
keys_in_the_file_are_warned_of(void **state)
{
	static const char text[] =
	    "{\"properties\":{\"tts\":{\"params\":{\"key\":\"" KEY "\"}}}}";

	(void)state;
	expect(text, text,
	    "warning: properties.tts.params.key stands in the file; move it "
	    "to the settings and write ${NAME}");
	assert_null(strstr(said, KEY));
	expect("{\"properties\":{\"llm\":{\"headers\":{\"X-Api-Key\":\"x\","
	       "\"Authorization\":\"${KEY}\"}}}}",
	    "{\"properties\":{\"llm\":{\"headers\":{\"X-Api-Key\":\"x\","
	    "\"Authorization\":\"" KEY "\"}}}}",
	    "warning: properties.llm.headers.X-Api-Key stands in the file; "
	    "move it to the settings and write ${NAME}");
}

static void
what_comes_with_a_start_is_refused(void **state)
{
	(void)state;
	refuse("{\"properties\":{\"channel\":\"x\"}}",
	    "problem: properties.channel comes with each start; remove it");
	refuse("{\"properties\":{\"token\":null}}",
	    "problem: properties.token comes with each start; remove it");
	refuse("{\"properties\":{\"agent_rtc_uid\":\"1\"}}",
	    "problem: properties.agent_rtc_uid comes with each start; remove "
	    "it");
	refuse("{\"properties\":{\"remote_rtc_uids\":[\"*\"]}}",
	    "problem: properties.remote_rtc_uids comes with each start; "
	    "remove it");
}

static void
the_shape_is_checked(void **state)
{
	static const char name[] =
	    "problem: name, with which the names of its agents begin, must be "
	    "1 to 32 letters, digits, _ or -";

	(void)state;
	refuse("[]", "problem: it must be an object: {\"properties\": {…}}");
	refuse("\"x\"", "problem: it must be an object: {\"properties\": {…}}");
	refuse("{\"tts\":{}}",
	    "problem: tts is not known here: asr, llm, tts and all else "
	    "belong into properties; beside it are name, preset and "
	    "pipeline_id");
	refuse("{\"properties\":[]}", "problem: properties must be an object");
	refuse("{\"properties\":null}",
	    "problem: properties must be an object");
	refuse("{\"preset\":[\"a\"]}", "problem: preset must be a text");
	refuse("{\"pipeline_id\":7}", "problem: pipeline_id must be a text");
	refuse("{\"name\":7}", name);
	refuse("{\"name\":\"\"}", name);
	refuse("{\"name\":\"a b\"}", name);
	refuse("{\"name\":\"a23456789012345678901234567890123\"}", name);
}

static void
all_that_is_wrong_is_told(void **state)
{
	(void)state;
	refuse("{\"properties\":{\"channel\":\"${A}\",\"b\":\"${B}\"}}",
	    "problem: properties.channel comes with each start; remove it\n"
	    "problem: properties.channel needs the variable A, which is not "
	    "set; set it where the settings are\n"
	    "problem: properties.b needs the variable B, which is not set; "
	    "set it where the settings are");
}

/* Text that is no JSON: where, what, and the cure. */
static void
slips_are_placed_and_cured(void **state)
{
	(void)state;
	refuse("",
	    "problem: line 1, column 1: unexpected end; close every "
	    "quote and bracket");
	refuse("{\n  \"properties\": {\n  }\n",
	    "problem: line 4, column 1: unexpected end; close every quote "
	    "and bracket");
	refuse("{\n  \"a\": 1,\n}",
	    "problem: line 3, column 1: unexpected character; remove the "
	    "comma before it");
	refuse("{\"a\": [1, 2, ]}",
	    "problem: line 1, column 14: unexpected character; remove the "
	    "comma before it");
	refuse("{\n  // a voice\n}",
	    "problem: line 2, column 3: unexpected character; JSON has no "
	    "comments; remove it");
	refuse("{ # a voice\n}",
	    "problem: line 1, column 3: unexpected character; JSON has no "
	    "comments; remove it");
	refuse("{'a': 1}",
	    "problem: line 1, column 2: unexpected character; "
	    "texts stand in double quotes");
	refuse("{\"a\": \"\xc3\xa9\xe4\xb8\xad\"\n\"b\": 1}",
	    "problem: line 2, column 1: unexpected character; a comma is "
	    "missing before it");
	refuse("{\"\xc3\xa9\xe4\xb8\xad\": \"x\" \"b\": 1}",
	    "problem: line 1, column 12: unexpected character; a comma is "
	    "missing before it");
	refuse("\xef\xbb\xbf{}",
	    "problem: line 1, column 1: byte order mark; save it as UTF-8 "
	    "without a byte order mark");
	refuse("{\"a\": \"x\ny\"}",
	    "problem: line 1, column 9: control character in a string; close "
	    "the text in its line; a line break in it is \\n");
	refuse("{\"a\": True}",
	    "problem: line 1, column 7: unexpected character; true, false "
	    "and null are in lower case");
	refuse("{\"a\": 1, \"a\": 2}",
	    "problem: line 1, column 13: a member that stands there twice; "
	    "remove one of the two");
	refuse("{\"a\": 007}",
	    "problem: line 1, column 7: number with a leading zero; correct "
	    "it there");
	refuse("{\"a\": \"\\x\"}",
	    "problem: line 1, column 8: unknown escape; correct it there");
	refuse("null",
	    "problem: line 1, column 5: must not be null; close "
	    "every quote and bracket");
}

static void
bytes_that_are_no_text_are_refused(void **state)
{
	(void)state;
	assert_null(read_text("{\"a\":\"\xff\"}", 9));
	assert_non_null(strstr(said, "invalid UTF-8"));
	assert_null(read_text("{\"properties\":{\"a\":\"\\u0000\"}}", 29));
	assert_string_equal(said, "problem: properties.a has a NUL inside");
	assert_null(read_text("{}\0", 3));
	assert_non_null(strstr(said, "line 1, column 3"));
}

static void
deep_members_are_named_as_far_as_there_is_room(void **state)
{
	static const char start[] = "{\"properties\":";
	char text[4096] = "";
	size_t i;

	(void)state;
	strcat(text, start);
	for (i = 0; i < 25; i++)
		strcat(text, "{\"a_rather_long_name_of_a_member\":");
	strcat(text, "\"${NOPE}\"");
	for (i = 0; i < 26; i++)
		strcat(text, "}");
	assert_null(read_text(text, strlen(text)));
	assert_non_null(strstr(said, "problem: properties.a_rather"));
	assert_non_null(strstr(said, "needs the variable NOPE"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_may_have_anything_below_properties),
		cmocka_unit_test(variables_are_filled_in),
		cmocka_unit_test(values_are_not_read_again),
		cmocka_unit_test(names_of_members_are_not_filled),
		cmocka_unit_test(a_variable_must_be_set),
		cmocka_unit_test(a_variable_is_utf8),
		cmocka_unit_test(a_variable_has_a_name),
		cmocka_unit_test(a_value_that_is_too_long_is_refused),
		cmocka_unit_test(keys_in_the_file_are_warned_of),
		cmocka_unit_test(what_comes_with_a_start_is_refused),
		cmocka_unit_test(the_shape_is_checked),
		cmocka_unit_test(all_that_is_wrong_is_told),
		cmocka_unit_test(slips_are_placed_and_cured),
		cmocka_unit_test(bytes_that_are_no_text_are_refused),
		cmocka_unit_test(
		    deep_members_are_named_as_far_as_there_is_room),
	};

	return cmocka_run_group_tests_name("agent_file", tests, NULL, NULL);
}
