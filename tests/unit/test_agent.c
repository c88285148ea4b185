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
#include "common/settings.h"

#define VECTORS "tests/vectors/join-cases.json"
#define BODY_MAX (256 * 1024)

static char greeting[] = "Hi";
static char instructions[] = "Be \"brief\"\n";
static char failure[] = "Oops";
static char model[] = "eleven_flash_v2_5";
static char voice[] = "pNInz6obpgDQGcFmaJgB";
static char path[] = "/api/conversational-ai-agent";
static char none[] = "";

static const struct agent_start start = { .channel = "channel_1770199765",
	.agent_uid = "58888506",
	.user_uid = "1234567" };

static struct settings
defaults(void)
{
	struct settings settings = { .idle_timeout = 30,
		.greeting = greeting,
		.instructions = instructions,
		.failure_message = failure,
		.tts_model_id = model,
		.tts_voice_id = voice,
		.api_path = path,
		.api_base_url = none };

	return settings;
}

static void
expect_body(const struct settings *settings, const struct agent_start *from,
    const char *expected)
{
	struct buf body = BUF(BODY_MAX);
	struct fail fail = { 0 };

	assert_int_equal(agent_join_body(settings, from, "the name", "007x",
			     &body, &fail),
	    0);
	assert_string_equal(buf_str(&body), expected);
	buf_free(&body);
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
	expect_body(&settings, &start,
	    "{\"name\":\"the name\",\"preset\":"
	    "\"deepgram_nova_3,openai_gpt_4o_mini,minimax_speech_2_6_"
	    "turbo\"," SESSION "}," MANAGED_ASR LLM "}}," MANAGED_TTS);
}

static void
test_output_audio_codec(void **state)
{
	struct settings settings = defaults();
	struct agent_start with_codec = start;

	(void)state;
	with_codec.output_audio_codec = "OPUS";
	expect_body(&settings, &with_codec,
	    "{\"name\":\"the name\",\"preset\":"
	    "\"deepgram_nova_3,openai_gpt_4o_mini,minimax_speech_2_6_"
	    "turbo\"," SESSION
	    ",\"output_audio_codec\":\"OPUS\"}," MANAGED_ASR LLM
	    "}}," MANAGED_TTS);
}

static void
test_own_keys(void **state)
{
	struct settings settings = defaults();

	(void)state;
	assert_int_equal(secret_set(&settings.asr_key, "dg"), 0);
	assert_int_equal(secret_set(&settings.llm_key, "sk"), 0);
	assert_int_equal(secret_set(&settings.tts_key, "el"), 0);
	expect_body(&settings, &start,
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
	struct fail fail = { 0 };
	unsigned int own;

	(void)state;
	for (own = 0; own < 8; own++) {
		struct settings settings = defaults();
		struct buf body = BUF(BODY_MAX);
		struct json *json;

		settings.asr_key.len = (own & 1) != 0;
		settings.llm_key.len = (own & 2) != 0;
		settings.tts_key.len = (own & 4) != 0;
		assert_int_equal(agent_join_body(&settings, &start, "n", "t",
				     &body, &fail),
		    0);
		json = json_parse(body.data, body.len, &fail);
		assert_non_null(json);
		if (presets[own] == NULL)
			assert_null(strstr(body.data, "preset"));
		else
			assert_string_equal(json_text(json, "preset"),
			    presets[own]);
		json_free(json);
		buf_free(&body);
	}
}

static void
test_body_too_large(void **state)
{
	struct settings settings = defaults();
	struct buf body = BUF(100);
	struct fail fail = { 0 };

	(void)state;
	assert_int_equal(agent_join_body(&settings, &start, "n", "t", &body,
			     &fail),
	    -1);
	assert_int_equal(fail.kind, FAIL_INTERNAL);
	buf_free(&body);
}

static void
test_name_of_own_channel(void **state)
{
	struct agent_start own = start;
	char name[AGENT_NAME_SIZE];

	(void)state;
	own.own_channel = true;
	agent_name(&own, 1770199799, name);
	assert_string_equal(name, "agent_channel_1770199765_58888506");
}

static void
test_name_of_foreign_channel(void **state)
{
	char name[AGENT_NAME_SIZE];

	(void)state;
	agent_name(&start, 1770199770, name);
	assert_string_equal(name,
	    "agent_channel_1770199765_58888506_1770199770");
	agent_name(&start, 1770199799, name);
	assert_string_equal(name,
	    "agent_channel_1770199765_58888506_1770199770");
	agent_name(&start, 1770199800, name);
	assert_string_equal(name,
	    "agent_channel_1770199765_58888506_1770199800");
}

static void
test_longest_name_fits(void **state)
{
	char channel[64], uid[65], name[AGENT_NAME_SIZE];
	struct agent_start longest = { .channel = channel, .agent_uid = uid };

	(void)state;
	memset(channel, 'c', sizeof(channel) - 1);
	channel[63] = '\0';
	memset(uid, 'u', sizeof(uid) - 1);
	uid[64] = '\0';
	agent_name(&longest, 4102444800, name);
	assert_int_equal(strlen(name), 6 + 63 + 1 + 64 + 1 + 10);
	assert_string_equal(name + strlen(name) - 12, "u_4102444800");
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
	struct fail fail = { 0 };
	char base[REGION_URL_SIZE];
	struct json *ours;
	int before = sum(counts);

	assert_int_equal(agent_join_body(&settings, &start, "n", "t", &text,
			     &fail),
	    0);
	ours = json_parse(text.data, text.len, &fail);
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
		cmocka_unit_test(test_output_audio_codec),
		cmocka_unit_test(test_own_keys),
		cmocka_unit_test(test_preset_lists_what_is_managed),
		cmocka_unit_test(test_body_too_large),
		cmocka_unit_test(test_name_of_own_channel),
		cmocka_unit_test(test_name_of_foreign_channel),
		cmocka_unit_test(test_longest_name_fits),
		cmocka_unit_test(test_recorded_requests),
	};

	return cmocka_run_group_tests_name("agent", tests, NULL, NULL);
}
