#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/fail.h"
#include "common/fields.h"

#define CODEC "parameters.output_audio_codec"

/* What ${list} lets pass of ${text} must be ${expected}; NULL: nothing. */
static void
check_pick(const char *list, const char *text, const char *expected)
{
	struct json *body = json_parse(text, strlen(text), NULL);
	struct json *fields = NULL;
	struct fail fail = { 0 };
	struct buf out = BUF(1000);

	assert_non_null(body);
	assert_int_equal(fields_pick(list, body, &fields, &fail), 0);
	if (expected == NULL) {
		assert_null(fields);
	} else {
		json_print(fields, &out);
		assert_string_equal(buf_str(&out), expected);
	}
	buf_free(&out);
	json_free(fields);
	json_free(body);
}

static void
refuse_pick(const char *list, const char *text, const char *why)
{
	struct json *body = json_parse(text, strlen(text), NULL);
	struct json *fields = NULL;
	struct fail fail = { 0 };

	assert_non_null(body);
	assert_int_equal(fields_pick(list, body, &fields, &fail), -1);
	assert_null(fields);
	assert_int_equal(fail.kind, FAIL_BAD_INPUT);
	assert_string_equal(fail.text, why);
	json_free(body);
}

static void
fields_pick_takes_what_is_listed(void **state)
{
	(void)state;
	check_pick(CODEC, "{\"parameters\":{\"output_audio_codec\":\"G722\"}}",
	    "{\"parameters\":{\"output_audio_codec\":\"G722\"}}");
	check_pick("asr.language, a.b.c ,a.b.d,top",
	    "{\"asr\":{\"language\":\"en-US\",\"x\":1},"
	    "\"a\":{\"b\":{\"c\":1.50,\"d\":true,\"e\":2}},\"top\":-7}",
	    "{\"asr\":{\"language\":\"en-US\"},"
	    "\"a\":{\"b\":{\"c\":1.50,\"d\":true}},\"top\":-7}");
}

static void
fields_pick_leaves_the_rest(void **state)
{
	(void)state;
	check_pick("", "{\"parameters\":{\"output_audio_codec\":\"a\"}}", NULL);
	check_pick(CODEC, "{}", NULL);
	check_pick(CODEC, "{\"parameters\":null}", NULL);
	check_pick(CODEC, "{\"parameters\":{}}", NULL);
	check_pick(CODEC, "{\"parameters\":{\"output_audio_codec\":null}}",
	    NULL);
	check_pick(CODEC,
	    "{\"llm\":{\"url\":\"https://x\"},\"parameters\":{\"y\":1}}", NULL);
}

static void
fields_pick_refuses_what_could_be_anything(void **state)
{
	static const char wrong[] = CODEC
	    " must be a number, true, false or 1 to 64 letters, digits or "
	    "_.:-";
	char text[200];

	(void)state;
	refuse_pick(CODEC, "{\"parameters\":7}",
	    "parameters must be an object");
	refuse_pick("a.b.c", "{\"a\":{\"b\":\"x\"}}", "a.b must be an object");
	for (const char *const *value = (const char *const[]){ "\"\"",
		 "\"a b\"", "\"a/b\"", "\"\\u0000\"", "\"\\u00e9\"", "[]", "{}",
		 "[\"a\"]", NULL };
	     *value != NULL; value++) {
		snprintf(text, sizeof(text),
		    "{\"parameters\":{\"output_audio_codec\":%s}}", *value);
		refuse_pick(CODEC, text, wrong);
	}
	refuse_pick("a",
	    "{\"a\":\"12345678901234567890123456789012345678901234567890123456"
	    "789012345\"}",
	    "a must be a number, true, false or 1 to 64 letters, digits or "
	    "_.:-");
}

static void
fields_fault_knows_names(void **state)
{
	static const char no_name[] = "has an item that is no member's name";

	(void)state;
	assert_null(fields_fault(""));
	assert_null(fields_fault(CODEC));
	assert_null(fields_fault("asr.language, turn_detection.mode"));
	assert_string_equal(fields_fault("a,,b"), no_name);
	assert_string_equal(fields_fault("a..b"), no_name);
	assert_string_equal(fields_fault(".a"), no_name);
	assert_string_equal(fields_fault("a."), no_name);
	assert_string_equal(fields_fault("a b"), no_name);
	assert_string_equal(fields_fault(","), no_name);
}

static void
fields_fault_keeps_clients_from_keys_and_prompts(void **state)
{
	static const char *const never[] = { "llm.url", "llm.api_key",
		"llm.headers", "llm.headers.x", "llm.mcp_servers",
		"llm.system_messages", "LLM.API_KEY", "llm.greeting_message",
		"asr.params.uri", "tts.params.base_url", "channel", "token",
		"agent_rtc_uid", "remote_rtc_uids", "mllm.params.instructions",
		"avatar.params.agora_uid", "a,llm.api_key,b",
		"advanced_features.enable_tools", "rtc.encryption_mode",
		"llm.template_variables.name",
		"parameters.silence_config.content", "tts.vendor", "llm.style",
		"llm.params.model", "llm.authorization", "mllm.enable",
		"pipeline_id", "idle_timeout" };

	(void)state;
	for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++)
		assert_string_equal(fields_fault(never[i]),
		    "has an item that clients must not set");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields_pick_takes_what_is_listed),
		cmocka_unit_test(fields_pick_leaves_the_rest),
		cmocka_unit_test(fields_pick_refuses_what_could_be_anything),
		cmocka_unit_test(fields_fault_knows_names),
		cmocka_unit_test(
		    fields_fault_keeps_clients_from_keys_and_prompts),
	};

	return cmocka_run_group_tests_name("fields", tests, NULL, NULL);
}
