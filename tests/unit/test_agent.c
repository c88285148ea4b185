/*
 * The join body: word for word, and against what the SDK of the original
 * backend sent (tests/vectors/join-cases.json).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "common/agent.h"
#include "common/buf.h"
#include "common/fail.h"
#include "common/json.h"
#include "common/region.h"
#include "common/agent_file.h"
#include "common/settings.h"
#include "common/teller.h"

#define VECTORS "tests/vectors/join-cases.json"
#define BODY_MAX (256 * 1024)

static char greeting[] = "Hi";
static char instructions[] = "Be \"brief\"\n";
static char failure[] = "Oops";
static char model[] = "eleven_flash_v2_5";
static char voice[] = "pNInz6obpgDQGcFmaJgB";
static char api_path[] = "/api/conversational-ai-agent";
static char none[] = "";

static const struct agent_start start = { .channel = "channel_1770199765",
	.agent_uid = "58888506",
	.user_uid = "1234567" };
static const struct agent_tokens tokens = { .app_id =
						"0123456789abcdef0123456789abcd"
						"ef",
	.agent = "007x" };

static struct settings
defaults(void)
{
	struct settings settings = { .idle_timeout = 30,
		.greeting = greeting,
		.instructions = instructions,
		.failure_message = failure,
		.tts_model_id = model,
		.tts_voice_id = voice,
		.api_path = api_path,
		.api_base_url = none };

	return settings;
}

/* What agent_new() had to say. */
static struct {
	char problems[4096], warnings[4096];
} said;

static void
hear(void *arg, bool problem, const char *text)
{
	char *all = problem ? said.problems : said.warnings;
	size_t len = strlen(all);

	(void)arg;
	snprintf(all + len, sizeof(said.problems) - len, "%s\n", text);
}

static struct json *
parse(const char *text)
{
	struct fail fail = { 0 };
	struct json *json = json_parse(text, strlen(text), &fail);

	if (json == NULL)
		fail_msg("%s: %s", text, fail.text);
	return json;
}

/* KEY is "the key", EMPTY and all others are not set. */
static const char *
variable(const void *arg, const char *name, const char **why)
{
	assert_null(arg);
	*why = "is not set";
	return strcmp(name, "KEY") == 0 ? "the key" : NULL;
}

static struct agent *
try_to_make(const struct settings *settings, const char *file)
{
	struct agent_variables variables = { variable, NULL };
	struct teller teller = { .tell = hear };

	memset(&said, 0, sizeof(said));
	return agent_new(file, file != NULL ? strlen(file) : 0, settings,
	    &variables, &teller);
}

/* An agent of the file ${file}, NULL for none; it must be good. */
static struct agent *
make(const struct settings *settings, const char *file)
{
	struct agent *agent = try_to_make(settings, file);

	if (agent == NULL)
		fail_msg("%s", said.problems);
	return agent;
}

/* The join body of ${agent}, for the caller to free. */
static struct json *
body_of(struct agent *agent)
{
	struct agent_start from = start;
	struct buf text = BUF(BODY_MAX);
	struct fail fail = { 0 };
	struct json *body;

	from.agent = agent;
	assert_int_equal(agent_join_body(&from, "the name", &tokens, &text,
			     &fail),
	    0);
	body = parse(buf_str(&text));
	buf_free(&text);
	return body;
}

static struct json *
join(const struct settings *settings, const char *file)
{
	struct agent *agent = make(settings, file);
	struct json *body = body_of(agent);

	agent_free(agent);
	return body;
}

static void
expect_equal(const struct json *json, const char *expected)
{
	struct json *other = parse(expected);
	struct buf text = BUF(BODY_MAX);

	json_print(json, &text);
	if (!json_object_equal((struct json_object *)(uintptr_t)json,
		(struct json_object *)other))
		fail_msg("%s\n    is not %s", buf_str(&text), expected);
	buf_free(&text);
	json_free(other);
}

static void
expect_body(const struct settings *settings, const char *expected)
{
	struct json *body = join(settings, NULL);

	expect_equal(body, expected);
	json_free(body);
}

#define SESSION                                                                \
	"\"properties\":{\"channel\":\"channel_1770199765\","                  \
	"\"token\":\"007x\",\"agent_rtc_uid\":\"58888506\","                   \
	"\"remote_rtc_uids\":[\"1234567\"],\"enable_string_uid\":true,"        \
	"\"idle_timeout\":30,\"advanced_features\":{\"enable_rtm\":true},"     \
	"\"parameters\":{\"data_channel\":\"rtm\","                            \
	"\"enable_error_message\":true"
#define LLM                                                                    \
	"\"llm\":{\"style\":\"openai\",\"input_modalities\":[\"text\"],"       \
	"\"greeting_message\":\"Hi\",\"failure_message\":\"Oops\","            \
	"\"max_history\":15,\"system_messages\":[{\"role\":\"system\","        \
	"\"content\":\"Be \\\"brief\\\"\\n\"}],\"params\":{"                   \
	"\"max_tokens\":1024,\"temperature\":0.7,\"top_p\":0.95"
#define MANAGED_ASR                                                            \
	"\"asr\":{\"vendor\":\"deepgram\",\"language\":\"en\","                \
	"\"params\":{\"language\":\"en\"}},"
#define MANAGED_TTS                                                            \
	"\"tts\":{\"vendor\":\"minimax\",\"params\":{\"voice_setting\":{"      \
	"\"voice_id\":\"English_captivating_female1\"}}}}}"

static void
test_default_agent(void **state)
{
	struct settings settings = defaults();

	(void)state;
	expect_body(&settings,
	    "{\"name\":\"the name\",\"preset\":"
	    "\"deepgram_nova_3,openai_gpt_4o_mini,minimax_speech_2_6_"
	    "turbo\"," SESSION "}," MANAGED_ASR LLM "}}," MANAGED_TTS);
}

static void
test_with_what_a_client_sets(void **state)
{
	struct settings settings = defaults();
	struct agent *agent = make(&settings, NULL);
	struct json *fields =
	    parse("{\"parameters\":{\"output_audio_codec\":\"OPUS\"}}");
	struct fail fail = { 0 };
	struct agent *with = agent_with(agent, fields, &fail);
	struct json *body;

	(void)state;
	assert_non_null(with);
	body = body_of(with);
	expect_equal(body,
	    "{\"name\":\"the name\",\"preset\":"
	    "\"deepgram_nova_3,openai_gpt_4o_mini,minimax_speech_2_6_"
	    "turbo\"," SESSION
	    ",\"output_audio_codec\":\"OPUS\"}," MANAGED_ASR LLM
	    "}}," MANAGED_TTS);
	json_free(body);
	json_free(fields);
	agent_free(with);
	agent_free(agent);
}

static void
test_own_keys(void **state)
{
	struct settings settings = defaults();

	(void)state;
	assert_int_equal(secret_set(&settings.asr_key, "dg"), 0);
	assert_int_equal(secret_set(&settings.llm_key, "sk"), 0);
	assert_int_equal(secret_set(&settings.tts_key, "el"), 0);
	expect_body(&settings,
	    "{\"name\":\"the name\"," SESSION "},"
	    "\"asr\":{\"vendor\":\"deepgram\",\"language\":\"en\",\"params\":{"
	    "\"key\":\"dg\",\"model\":\"nova-3\",\"language\":\"en\"}}," LLM
	    ",\"model\":\"gpt-4o-mini\"},"
	    "\"url\":\"https://api.openai.com/v1/chat/completions\","
	    "\"api_key\":\"sk\"},"
	    "\"tts\":{\"vendor\":\"elevenlabs\",\"params\":{"
	    "\"base_url\":\"wss://api.elevenlabs.io/v1\",\"key\":\"el\","
	    "\"model_id\":\"eleven_flash_v2_5\","
	    "\"voice_id\":\"pNInz6obpgDQGcFmaJgB\"}}}}");
}

/* Which of the three are managed by Agora; every combination. */
static void
test_preset_lists_what_is_managed(void **state)
{
	static const char *const presets[] = {
		"deepgram_nova_3,openai_gpt_4o_mini,minimax_speech_2_6_turbo",
		"openai_gpt_4o_mini,minimax_speech_2_6_turbo",
		"deepgram_nova_3,minimax_speech_2_6_turbo",
		"minimax_speech_2_6_turbo",
		"deepgram_nova_3,openai_gpt_4o_mini", "openai_gpt_4o_mini",
		"deepgram_nova_3", NULL
	};
	unsigned int own;

	(void)state;
	for (own = 0; own < 8; own++) {
		struct settings settings = defaults();
		struct json *body;

		if (own & 1)
			assert_int_equal(secret_set(&settings.asr_key, "k"), 0);
		if (own & 2)
			assert_int_equal(secret_set(&settings.llm_key, "k"), 0);
		if (own & 4)
			assert_int_equal(secret_set(&settings.tts_key, "k"), 0);
		body = join(&settings, NULL);
		if (presets[own] == NULL)
			assert_false(json_has(body, "preset"));
		else
			assert_string_equal(json_text(body, "preset"),
			    presets[own]);
		json_free(body);
	}
}

/* ---- what a file changes ------------------------------------------------ */

/* With ${file}, the member at ${path} is ${expected}; NULL: not there. */
static void
expect_at(const struct settings *settings, const char *file, const char *path,
    const char *expected)
{
	struct json *body = join(settings, file);
	struct json *found = json_at(body, path);

	if (expected == NULL)
		assert_null(found);
	else if (found == NULL)
		fail_msg("no %s with %s", path, file);
	else
		expect_equal(found, expected);
	json_free(body);
}

#define PROPERTIES(text) "{\"properties\":{" text "}}"
#define LLM_FILE(text) PROPERTIES("\"llm\":{" text "}")
#define ALL_PRESETS                                                            \
	"\"deepgram_nova_3,openai_gpt_4o_mini,minimax_speech_2_6_turbo\""

static void
test_an_empty_file_changes_nothing(void **state)
{
	struct settings settings = defaults();
	struct json *with = join(&settings, "{}");
	struct json *without = join(&settings, NULL);

	(void)state;
	assert_true(json_object_equal((struct json_object *)with,
	    (struct json_object *)without));
	json_free(with);
	json_free(without);
}

static void
test_a_file_is_merged(void **state)
{
	static const char file[] = PROPERTIES(
	    "\"parameters\":{\"enable_error_message\":null,\"new\":1},"
	    "\"idle_timeout\":60,\"llm\":{\"max_history\":3,"
	    "\"params\":{\"top_p\":null}},\"labels\":{\"a\":\"${KEY}\"}");
	struct settings settings = defaults();

	(void)state;
	expect_at(&settings, file, "properties.parameters",
	    "{\"data_channel\":\"rtm\",\"new\":1}");
	expect_at(&settings, file, "properties.idle_timeout", "60");
	expect_at(&settings, file, "properties.llm",
	    "{\"style\":\"openai\",\"input_modalities\":[\"text\"],"
	    "\"greeting_message\":\"Hi\",\"failure_message\":\"Oops\","
	    "\"max_history\":3,\"system_messages\":[{\"role\":\"system\","
	    "\"content\":\"Be \\\"brief\\\"\\n\"}],"
	    "\"params\":{\"max_tokens\":1024,\"temperature\":0.7}}");
	expect_at(&settings, file, "properties.labels", "{\"a\":\"the key\"}");
	expect_at(&settings, file, "preset", ALL_PRESETS);
}

static void
test_a_model_without_a_key_is_a_preset(void **state)
{
	struct settings settings = defaults();

	(void)state;
	expect_at(&settings, LLM_FILE("\"params\":{\"model\":\"gpt-5-nano\"}"),
	    "preset",
	    "\"deepgram_nova_3,openai_gpt_5_nano,minimax_speech_2_6_turbo\"");
	expect_at(&settings,
	    LLM_FILE("\"url\":\"https://api.openai.com/v1/chat/completions\","
		     "\"vendor\":\"openai\","
		     "\"params\":{\"model\":\" GPT-4.1-mini \"}"),
	    "preset",
	    "\"deepgram_nova_3,openai_gpt_4_1_mini,minimax_speech_2_6_turbo\"");
	expect_at(&settings,
	    PROPERTIES("\"asr\":{\"params\":{\"model\":\"nova-2\"}},"
		       "\"tts\":{\"params\":{\"model\":\"speech_2_8_turbo\","
		       "\"group_id\":\"g\",\"url\":\"wss://x\"}}"),
	    "preset",
	    "\"deepgram_nova_2,openai_gpt_4o_mini,minimax_speech_2_8_turbo\"");
	expect_at(&settings,
	    PROPERTIES("\"tts\":{\"params\":{\"model\":\"speech_2_8_turbo\","
		       "\"group_id\":\"g\",\"url\":\"wss://x\"}}"),
	    "properties.tts.params",
	    "{\"voice_setting\":{\"voice_id\":\"English_captivating_female1\"}"
	    "}");
	expect_at(&settings,
	    PROPERTIES("\"tts\":{\"vendor\":\"openai\","
		       "\"params\":{\"voice\":\"alloy\"}}"),
	    "preset", "\"deepgram_nova_3,openai_gpt_4o_mini,openai_tts_1\"");
}

static void
test_a_model_with_a_key_is_ones_own(void **state)
{
	static const char file[] =
	    PROPERTIES("\"tts\":{\"params\":{\"key\":\"${KEY}\","
		       "\"group_id\":\"g\",\"url\":\"wss://x\"}}");
	struct settings settings = defaults();

	(void)state;
	expect_at(&settings, file, "preset",
	    "\"deepgram_nova_3,openai_gpt_4o_mini\"");
	expect_at(&settings, file, "properties.tts.params",
	    "{\"model\":\"speech-2.6-turbo\",\"voice_setting\":{"
	    "\"voice_id\":\"English_captivating_female1\"},"
	    "\"key\":\"the key\",\"group_id\":\"g\",\"url\":\"wss://x\"}");
	assert_int_equal(secret_set(&settings.llm_key, "sk"), 0);
	expect_at(&settings, LLM_FILE("\"params\":{\"model\":\"gpt-6\"}"),
	    "properties.llm.api_key", "\"sk\"");
}

/* What is there is not taken for absent because it is wrong. */
static void
test_a_wrong_key_is_no_reason_for_a_preset(void **state)
{
	struct settings settings = defaults();

	(void)state;
	assert_null(try_to_make(&settings, LLM_FILE("\"api_key\":5")));
	assert_null(try_to_make(&settings,
	    PROPERTIES("\"asr\":{\"params\":{\"url\":\"wss://my.host\"}}")));
	assert_non_null(strstr(said.problems, "properties.asr.params.key"));
	assert_null(try_to_make(&settings,
	    PROPERTIES("\"tts\":{\"vendor\":\"openai\",\"params\":{"
		       "\"voice\":\"alloy\",\"base_url\":\"https://x\"}}")));
	/* Only MiniMax's models have a second spelling. */
	assert_null(try_to_make(&settings,
	    LLM_FILE("\"params\":{\"model\":\"gpt_5_mini\"}")));
}

static void
test_explicit_presets_come_first(void **state)
{
	struct settings settings = defaults();
	static const char five[] = "{\"preset\":\"openai_gpt_5_mini\"}";

	(void)state;
	expect_at(&settings, five, "preset",
	    "\"openai_gpt_5_mini,deepgram_nova_3,minimax_speech_2_6_turbo\"");
	expect_at(&settings, five, "properties.llm.params",
	    "{\"max_tokens\":1024,\"temperature\":0.7,\"top_p\":0.95}");
	expect_at(&settings,
	    "{\"preset\":\" mine , ,deepgram_nova_2,deepgram_nova_2\"}",
	    "preset",
	    "\"mine,deepgram_nova_2,deepgram_nova_2,openai_gpt_4o_mini,"
	    "minimax_speech_2_6_turbo\"");
	/* A preset of another vendor than the default's. */
	expect_at(&settings, "{\"preset\":\"openai_tts_1\"}", "properties.tts",
	    NULL);
	expect_at(&settings, "{\"preset\":\"openai_tts_1\"}", "preset",
	    "\"openai_tts_1,deepgram_nova_3,openai_gpt_4o_mini\"");
	/* The default's keys and models do not stay beside one. */
	assert_int_equal(secret_set(&settings.llm_key, "sk"), 0);
	expect_at(&settings, five, "properties.llm.api_key", NULL);
	expect_at(&settings, five, "properties.llm.url", NULL);
	expect_at(&settings, five, "properties.llm.params.model", NULL);
}

static void
test_another_vendor_drops_the_defaults(void **state)
{
	struct settings settings = defaults();

	(void)state;
	expect_at(&settings,
	    PROPERTIES("\"tts\":{\"vendor\":\"cartesia\",\"params\":{"
		       "\"api_key\":\"${KEY}\",\"model_id\":\"sonic-2\","
		       "\"voice\":{\"mode\":\"id\",\"id\":\"x\"}}}"),
	    "properties.tts",
	    "{\"vendor\":\"cartesia\",\"params\":{\"api_key\":\"the key\","
	    "\"model_id\":\"sonic-2\",\"voice\":{\"mode\":\"id\","
	    "\"id\":\"x\"}}}");
	expect_at(&settings, PROPERTIES("\"asr\":{\"vendor\":\"ares\"}"),
	    "properties.asr", "{\"vendor\":\"ares\"}");
	expect_at(&settings, PROPERTIES("\"asr\":{\"vendor\":\"deepgram\"}"),
	    "properties.asr",
	    "{\"vendor\":\"deepgram\",\"language\":\"en\","
	    "\"params\":{\"language\":\"en\"}}");
	assert_int_equal(secret_set(&settings.llm_key, "sk"), 0);
	expect_at(&settings,
	    LLM_FILE("\"url\":\"https://llm.example/v1\","
		     "\"params\":{\"model\":\"m\"}"),
	    "properties.llm",
	    "{\"style\":\"openai\",\"input_modalities\":[\"text\"],"
	    "\"greeting_message\":\"Hi\",\"failure_message\":\"Oops\","
	    "\"max_history\":15,\"system_messages\":[{\"role\":\"system\","
	    "\"content\":\"Be \\\"brief\\\"\\n\"}],"
	    "\"url\":\"https://llm.example/v1\",\"params\":{\"model\":\"m\"}}");
}

static void
test_a_pipeline_replaces_the_cascade(void **state)
{
	static const char file[] = "{\"pipeline_id\":\"p1\"}";
	static const char with_llm[] =
	    "{\"pipeline_id\":\"p1\",\"properties\":{\"llm\":{"
	    "\"greeting_message\":\"Ahoy\"}}}";
	struct settings settings = defaults();

	(void)state;
	expect_at(&settings, file, "pipeline_id", "\"p1\"");
	expect_at(&settings, file, "preset", NULL);
	expect_at(&settings, file, "properties",
	    "{\"enable_string_uid\":true,\"idle_timeout\":30,"
	    "\"advanced_features\":{\"enable_rtm\":true},\"parameters\":{"
	    "\"data_channel\":\"rtm\",\"enable_error_message\":true},"
	    "\"channel\":\"channel_1770199765\",\"token\":\"007x\","
	    "\"agent_rtc_uid\":\"58888506\",\"remote_rtc_uids\":[\"1234567\"]"
	    "}");
	expect_at(&settings, with_llm, "properties.llm",
	    "{\"greeting_message\":\"Ahoy\"}");
	expect_at(&settings, "{\"pipeline_id\":\"\"}", "preset", ALL_PRESETS);
	expect_at(&settings, "{\"pipeline_id\":\"\"}", "pipeline_id", NULL);
}

static void
test_mllm_replaces_the_cascade(void **state)
{
	static const char file[] =
	    PROPERTIES("\"mllm\":{\"enable\":true,\"vendor\":\"openai\","
		       "\"api_key\":\"${KEY}\",\"greeting_message\":\"x\"}");
	struct settings settings = defaults();

	(void)state;
	expect_at(&settings, file, "preset", NULL);
	expect_at(&settings, file, "properties.asr", NULL);
	expect_at(&settings, file, "properties.llm", NULL);
	expect_at(&settings, file, "properties.tts", NULL);
	expect_at(&settings, file, "properties.mllm.api_key", "\"the key\"");
	expect_at(&settings,
	    PROPERTIES("\"advanced_features\":{\"enable_mllm\":true},"
		       "\"mllm\":{\"vendor\":\"openai\","
		       "\"api_key\":\"${KEY}\"}"),
	    "properties.tts", NULL);
	expect_at(&settings, PROPERTIES("\"mllm\":{\"enable\":false}"),
	    "preset", ALL_PRESETS);
}

/* The documentation's form, managed-mode. */
static void
test_credential_mode(void **state)
{
	struct settings settings = defaults();
	struct json *body;

	(void)state;
	settings.managed_blocks = true;
	body = join(&settings, NULL);
	assert_false(json_has(body, "preset"));
	expect_equal(json_at(body, "properties.asr"),
	    "{\"vendor\":\"deepgram\",\"language\":\"en\",\"params\":{"
	    "\"model\":\"nova-3\",\"language\":\"en\","
	    "\"url\":\"wss://api.deepgram.com/v1/listen\"},"
	    "\"credential_mode\":\"managed\"}");
	assert_string_equal(json_text(json_at(body, "properties.llm"), "url"),
	    "https://api.openai.com/v1/chat/completions");
	assert_string_equal(json_text(json_at(body, "properties.llm"),
				"vendor"),
	    "openai");
	assert_string_equal(json_text(json_at(body, "properties.llm"),
				"credential_mode"),
	    "managed");
	assert_string_equal(json_text(json_at(body, "properties.llm.params"),
				"model"),
	    "gpt-4o-mini");
	expect_equal(json_at(body, "properties.tts"),
	    "{\"vendor\":\"minimax\",\"params\":{"
	    "\"model\":\"speech-2.6-turbo\",\"voice_setting\":{"
	    "\"voice_id\":\"English_captivating_female1\"},"
	    "\"url\":\"wss://api.minimax.io/ws/v1/t2a_v2\"},"
	    "\"credential_mode\":\"managed\"}");
	json_free(body);
	/* With a key, or with a preset, the category is left alone. */
	assert_int_equal(secret_set(&settings.asr_key, "dg"), 0);
	expect_at(&settings, NULL, "properties.asr.credential_mode", NULL);
	expect_at(&settings, "{\"preset\":\"openai_gpt_5_mini\"}",
	    "properties.llm.credential_mode", NULL);
	/* A file may say it for itself. */
	settings.managed_blocks = false;
	expect_at(&settings,
	    PROPERTIES("\"tts\":{\"credential_mode\":\"managed\"}"), "preset",
	    "\"openai_gpt_4o_mini\"");
}

static void
test_idle_timeout_0_costs_money(void **state)
{
	static const char file[] = PROPERTIES("\"idle_timeout\":0");
	struct settings settings = defaults();

	(void)state;
	assert_null(try_to_make(&settings, file));
	assert_string_equal(said.problems,
	    "properties.idle_timeout is 0: the agent would never end by "
	    "itself; write 5 to 259200 seconds, or set "
	    "AGENT_IDLE_TIMEOUT=unlimited\n");
	settings.idle_timeout = 0; /* unlimited */
	expect_at(&settings, file, "properties.idle_timeout", "0");
	expect_at(&settings, NULL, "properties.idle_timeout", "0");
}

/* ---- avatars ------------------------------------------------------------ */

#define AVATAR(vendor, params)                                                 \
	PROPERTIES("\"tts\":{\"vendor\":\"elevenlabs\",\"params\":{"           \
		   "\"base_url\":\"wss://x\",\"key\":\"${KEY}\","              \
		   "\"model_id\":\"m\",\"voice_id\":\"v\","                    \
		   "\"sample_rate\":24000}},\"avatar\":{\"enable\":true,"      \
		   "\"vendor\":\"" vendor "\",\"params\":{" params "}}")
#define GENERIC                                                                \
	AVATAR("generic",                                                      \
	    "\"api_key\":\"${KEY}\",\"api_base_url\":\"https://x\","           \
	    "\"avatar_id\":\"a\",\"agora_uid\":\"77\"")

static void
expect_generic_avatar(struct agent *agent)
{
	struct agent_start from = start;
	struct agent_tokens both = tokens;
	struct buf text = BUF(BODY_MAX);
	struct json *body;

	from.agent = agent;
	both.avatar = "007avatar";
	assert_string_equal(agent_avatar_uid(agent), "77");
	assert_int_equal(agent_join_body(&from, "n", &both, &text, NULL), 0);
	body = parse(buf_str(&text));
	expect_equal(json_at(body, "properties.avatar.params"),
	    "{\"api_key\":\"the key\",\"api_base_url\":\"https://x\","
	    "\"avatar_id\":\"a\",\"agora_uid\":\"77\","
	    "\"agora_token\":\"007avatar\","
	    "\"agora_appid\":\"0123456789abcdef0123456789abcdef\","
	    "\"agora_channel\":\"channel_1770199765\"}");
	json_free(body);
	buf_free(&text);
}

/* Also of an agent with what its client sets. */
static void
test_an_avatar_gets_a_token(void **state)
{
	struct settings settings = defaults();
	struct agent *agent = make(&settings, GENERIC);
	struct json *fields = parse("{\"idle_timeout\":60}");
	struct agent *with = agent_with(agent, fields, NULL);

	(void)state;
	expect_generic_avatar(agent);
	expect_generic_avatar(with);
	json_free(fields);
	agent_free(with);
	agent_free(agent);
}

static void
expect_no_avatar_token(const char *file)
{
	struct settings settings = defaults();
	struct agent *agent = make(&settings, file);

	assert_null(agent_avatar_uid(agent));
	agent_free(agent);
}

static void
test_not_every_avatar_needs_a_token(void **state)
{
	(void)state;
	expect_no_avatar_token(NULL);
	expect_no_avatar_token(
	    PROPERTIES("\"avatar\":{\"enable\":false,\"vendor\":\"generic\","
		       "\"params\":{\"agora_uid\":\"77\"}}"));
	expect_no_avatar_token(AVATAR("liveavatar",
	    "\"api_key\":\"${KEY}\",\"quality\":\"high\","
	    "\"agora_uid\":\"77\",\"agora_token\":\"${KEY}\""));
	expect_no_avatar_token(
	    AVATAR("anam", "\"api_key\":\"${KEY}\",\"avatar_id\":\"a\""));
}

static void
test_an_avatar_has_a_uid_of_its_own(void **state)
{
	struct settings settings = defaults();
	struct agent_start from = start;
	struct fail fail = { 0 };

	(void)state;
	from.agent = make(&settings, GENERIC);
	assert_int_equal(agent_check_uids(&from, &fail), 0);
	from.user_uid = "77";
	assert_int_equal(agent_check_uids(&from, &fail), -1);
	assert_int_equal(fail.kind, FAIL_BAD_INPUT);
	from.user_uid = start.user_uid;
	from.agent_uid = "77";
	assert_int_equal(agent_check_uids(&from, &fail), -1);
	agent_free(from.agent);
}

static void
test_shares(void **state)
{
	struct settings settings = defaults();
	struct agent *agent = make(&settings, NULL);
	struct json *body;

	(void)state;
	agent_share(agent);
	agent_free(agent);
	body = body_of(agent);
	json_free(body);
	agent_free(agent);
	agent_free(NULL);
}

static void
test_body_too_large(void **state)
{
	struct settings settings = defaults();
	struct agent_start from = start;
	struct buf body = BUF(100);
	struct fail fail = { 0 };

	(void)state;
	from.agent = make(&settings, NULL);
	assert_int_equal(agent_join_body(&from, "n", &tokens, &body, &fail),
	    -1);
	assert_int_equal(fail.kind, FAIL_INTERNAL);
	buf_free(&body);
	agent_free(from.agent);
}

static void
expect_name(const char *file, bool own_channel, int64_t now,
    const char *expected)
{
	struct settings settings = defaults();
	struct agent_start from = start;
	char name[AGENT_NAME_SIZE];

	from.agent = make(&settings, file);
	from.own_channel = own_channel;
	agent_name(&from, now, name);
	assert_string_equal(name, expected);
	agent_free(from.agent);
}

static void
test_name_of_own_channel(void **state)
{
	(void)state;
	expect_name(NULL, true, 1770199799,
	    "agent_channel_1770199765_58888506");
}

static void
test_name_of_foreign_channel(void **state)
{
	(void)state;
	expect_name(NULL, false, 1770199770,
	    "agent_channel_1770199765_58888506_1770199770");
	expect_name(NULL, false, 1770199799,
	    "agent_channel_1770199765_58888506_1770199770");
	expect_name(NULL, false, 1770199800,
	    "agent_channel_1770199765_58888506_1770199800");
}

static void
test_name_of_a_file(void **state)
{
	(void)state;
	expect_name("{\"name\":\"shop-1\"}", true, 1770199799,
	    "shop-1_channel_1770199765_58888506");
}

static void
test_longest_name_fits(void **state)
{
	struct settings settings = defaults();
	char channel[64], uid[65], name[AGENT_NAME_SIZE];
	struct agent_start longest = { .channel = channel, .agent_uid = uid };

	(void)state;
	longest.agent =
	    make(&settings, "{\"name\":\"a2345678901234567890123456789012\"}");
	memset(channel, 'c', sizeof(channel) - 1);
	channel[63] = '\0';
	memset(uid, 'u', sizeof(uid) - 1);
	uid[64] = '\0';
	agent_name(&longest, 4102444800, name);
	assert_int_equal(strlen(name), 32 + 1 + 63 + 1 + 64 + 1 + 10);
	assert_string_equal(name + strlen(name) - 12, "u_4102444800");
	/* start.c appends "_r9". */
	assert_true(strlen(name) + 3 < AGENT_NAME_SIZE);
	agent_free(longest.agent);
}

/*
 * From here: recorded requests of the SDK, brought to what we decided, and
 * compared. What is put aside in every case: name and token (ours differ in
 * every call), members that are null (the SDK writes what is not set), and
 * remote_rtc_uids ["*"] (we name the user).
 */
enum difference { DEEPGRAM_KEY, ELEVENLABS_URL, EMPTY_KEY, DIFFERENCES };

static const char *const reasons[] = {
	[DEEPGRAM_KEY] = "asr.params: the documented \"key\"; that SDK wrote "
			 "\"api_key\"",
	[ELEVENLABS_URL] = "tts.params: the documented \"base_url\"; that SDK "
			   "had none",
	[EMPTY_KEY] = "an empty key counts as unset: managed voice instead of "
		      "ElevenLabs with the key \"\"",
};

static struct json *
read_vectors(void)
{
	static char text[64 * 1024];
	struct fail fail = { 0 };
	FILE *file = fopen(VECTORS, "r");
	size_t len;

	assert_non_null(file);
	len = fread(text, 1, sizeof(text), file);
	fclose(file);
	return json_parse(text, len, &fail);
}

static struct json_object *
theirs(struct json *json)
{
	return (struct json_object *)json;
}

static struct json *
copy_of(struct json *json)
{
	struct buf text = BUF(BODY_MAX);
	struct fail fail = { 0 };
	struct json *copy;

	json_print(json, &text);
	copy = json_parse(text.data, text.len, &fail);
	buf_free(&text);
	assert_non_null(copy);
	return copy;
}

static void
put_key(struct secret *key, const struct json *keys, const char *name)
{
	const char *text = json_text(keys, name);

	if (text != NULL)
		assert_int_equal(secret_set(key, text), 0);
}

static enum settings_area
area_of(const char *name)
{
	static const char *const names[] = { [SETTINGS_AREA_US] = "US",
		[SETTINGS_AREA_EU] = "EU",
		[SETTINGS_AREA_AP] = "AP",
		[SETTINGS_AREA_CN] = "CN" };
	unsigned int i = 0;

	while (strcmp(names[i], name) != 0)
		i++;
	return (enum settings_area)i;
}

/* Our settings that say what the case's agent says. */
static struct settings
settings_of(const struct json *test)
{
	static char texts[3][256];
	struct settings settings = defaults();
	struct json *keys = json_member(test, "keys");
	struct json *llm = json_at(test, "body.properties.llm");
	struct json *message =
	    (struct json *)json_object_array_get_idx(theirs(json_member(llm,
							 "system_messages")),
		0);

	put_key(&settings.asr_key, keys, "asr_key");
	put_key(&settings.llm_key, keys, "llm_key");
	put_key(&settings.tts_key, keys, "tts_key");
	snprintf(texts[0], sizeof(texts[0]), "%s",
	    json_text(llm, "greeting_message"));
	snprintf(texts[1], sizeof(texts[1]), "%s",
	    json_text(message, "content"));
	snprintf(texts[2], sizeof(texts[2]), "%s",
	    json_text(llm, "failure_message"));
	settings.greeting = texts[0];
	settings.instructions = texts[1];
	settings.failure_message = texts[2];
	settings.area = area_of(json_text(test, "area"));
	return settings;
}

static void
put_aside(struct json *body, struct json *ours)
{
	struct json *properties = json_member(body, "properties");
	struct json *uids = json_member(properties, "remote_rtc_uids");
	struct json *uid =
	    (struct json *)json_object_array_get_idx(theirs(uids), 0);

	json_put_text(body, "name", json_text(ours, "name"));
	json_put_text(properties, "token",
	    json_text(json_member(ours, "properties"), "token"));
	json_remove(body, "pipeline_id");
	if (json_member(body, "preset") == NULL)
		json_remove(body, "preset");
	if (strcmp(json_object_get_string(theirs(uid)), "*") == 0)
		json_put(properties, "remote_rtc_uids",
		    copy_of(json_at(ours, "properties.remote_rtc_uids")));
}

/* Applies each named difference that the case has; counts it. */
static void
accept_differences(struct json *body, struct json *ours, int counts[])
{
	struct json *properties = json_member(body, "properties");
	struct json *asr = json_at(properties, "asr.params");
	struct json *tts = json_at(properties, "tts.params");
	const char *key = json_text(tts, "key");

	if (json_text(asr, "api_key") != NULL) {
		json_put_text(asr, "key", json_text(asr, "api_key"));
		json_remove(asr, "api_key");
		counts[DEEPGRAM_KEY]++;
	}
	if (key != NULL && key[0] != '\0') {
		json_put_text(tts, "base_url",
		    json_text(json_at(ours, "properties.tts.params"),
			"base_url"));
		counts[ELEVENLABS_URL]++;
	} else if (key != NULL) {
		json_put(properties, "tts",
		    copy_of(json_at(ours, "properties.tts")));
		json_put_text(body, "preset", json_text(ours, "preset"));
		counts[EMPTY_KEY]++;
	}
}

static int
sum(const int counts[])
{
	int total = 0;
	int i;

	for (i = 0; i < DIFFERENCES; i++)
		total += counts[i];
	return total;
}

/* Answers whether the bodies were equal without any named difference. */
static bool
replay(struct json *test, int counts[])
{
	struct settings settings = settings_of(test);
	struct json *body = json_member(test, "body");
	struct buf text = BUF(BODY_MAX);
	char base[REGION_URL_SIZE];
	struct json *ours = join(&settings, NULL);
	int before = sum(counts);

	json_print(ours, &text);
	put_aside(body, ours);
	accept_differences(body, ours, counts);
	if (!json_object_equal(theirs(body), theirs(ours)))
		fail_msg("%s:\nours   %s\ntheirs %s", json_text(test, "name"),
		    text.data, json_object_to_json_string(theirs(body)));
	region_base(&settings, (size_t)json_int(test, "candidate", 0), base);
	assert_string_equal(base, json_text(test, "base"));
	json_free(ours);
	buf_free(&text);
	return sum(counts) == before;
}

static void
test_recorded_requests(void **state)
{
	struct json *vectors = read_vectors();
	struct json_object *cases = theirs(json_member(vectors, "cases"));
	int counts[DIFFERENCES] = { 0 };
	int equal = 0;
	size_t i;

	(void)state;
	assert_non_null(vectors);
	for (i = 0; i < json_object_array_length(cases); i++)
		equal +=
		    replay((struct json *)json_object_array_get_idx(cases, i),
			counts);
	print_message("%zu of %lld cases expressible: %d equal\n", i,
	    (long long)json_object_get_int64(
		theirs(json_member(vectors, "recorded"))),
	    equal);
	for (i = 0; i < DIFFERENCES; i++)
		print_message("  %d differ, as documented: %s\n", counts[i],
		    reasons[i]);
	assert_int_equal(json_object_array_length(cases), 20);
	assert_int_equal(equal, 16);
	assert_int_equal(counts[DEEPGRAM_KEY], 2);
	assert_int_equal(counts[ELEVENLABS_URL], 2);
	assert_int_equal(counts[EMPTY_KEY], 1);
	json_free(vectors);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_default_agent),
		cmocka_unit_test(test_with_what_a_client_sets),
		cmocka_unit_test(test_own_keys),
		cmocka_unit_test(test_preset_lists_what_is_managed),
		cmocka_unit_test(test_body_too_large),
		cmocka_unit_test(test_an_empty_file_changes_nothing),
		cmocka_unit_test(test_a_file_is_merged),
		cmocka_unit_test(test_a_model_without_a_key_is_a_preset),
		cmocka_unit_test(test_a_model_with_a_key_is_ones_own),
		cmocka_unit_test(test_a_wrong_key_is_no_reason_for_a_preset),
		cmocka_unit_test(test_explicit_presets_come_first),
		cmocka_unit_test(test_another_vendor_drops_the_defaults),
		cmocka_unit_test(test_a_pipeline_replaces_the_cascade),
		cmocka_unit_test(test_mllm_replaces_the_cascade),
		cmocka_unit_test(test_credential_mode),
		cmocka_unit_test(test_idle_timeout_0_costs_money),
		cmocka_unit_test(test_an_avatar_gets_a_token),
		cmocka_unit_test(test_not_every_avatar_needs_a_token),
		cmocka_unit_test(test_an_avatar_has_a_uid_of_its_own),
		cmocka_unit_test(test_shares),
		cmocka_unit_test(test_name_of_own_channel),
		cmocka_unit_test(test_name_of_foreign_channel),
		cmocka_unit_test(test_name_of_a_file),
		cmocka_unit_test(test_longest_name_fits),
		cmocka_unit_test(test_recorded_requests),
	};

	return cmocka_run_group_tests_name("agent", tests, NULL, NULL);
}
