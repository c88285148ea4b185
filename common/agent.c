#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/agent.h"
#include "common/buf.h"
#include "common/fail.h"
#include "common/json.h"
#include "common/settings.h"

#define NAME_WINDOW_S 30

/* The vendors that Agora pays for, by their preset. */
#define ASR_PRESET "deepgram_nova_3"
#define LLM_PRESET "openai_gpt_4o_mini"
#define TTS_PRESET "minimax_speech_2_6_turbo"

/* The default agent. What is empty here is filled in for each start. */
static const char default_agent[] =
    "{"
    "  \"name\": \"\","
    "  \"preset\": \"\","
    "  \"properties\": {"
    "    \"channel\": \"\","
    "    \"token\": \"\","
    "    \"agent_rtc_uid\": \"\","
    "    \"remote_rtc_uids\": [],"
    "    \"enable_string_uid\": true,"
    "    \"idle_timeout\": 0,"
    "    \"advanced_features\": { \"enable_rtm\": true },"
    "    \"parameters\": {"
    "      \"data_channel\": \"rtm\","
    "      \"enable_error_message\": true"
    "    },"
    "    \"asr\": {"
    "      \"vendor\": \"deepgram\","
    "      \"language\": \"en\","
    "      \"params\": { \"language\": \"en\" }"
    "    },"
    "    \"llm\": {"
    "      \"style\": \"openai\","
    "      \"input_modalities\": [\"text\"],"
    "      \"greeting_message\": \"\","
    "      \"failure_message\": \"\","
    "      \"max_history\": 15,"
    "      \"system_messages\": [],"
    "      \"params\": {"
    "        \"max_tokens\": 1024,"
    "        \"temperature\": 0.7,"
    "        \"top_p\": 0.95"
    "      }"
    "    },"
    "    \"tts\": {"
    "      \"vendor\": \"minimax\","
    "      \"params\": {"
    "        \"voice_setting\": {"
    "          \"voice_id\": \"English_captivating_female1\""
    "        }"
    "      }"
    "    }"
    "  }"
    "}";

/* What changes with a key of one's own. */
static const char own_asr_params[] =
    "{ \"key\": \"\", \"model\": \"nova-3\", \"language\": \"en\" }";
static const char own_llm_url[] = "https://api.openai.com/v1/chat/completions";
static const char own_llm_model[] = "gpt-4o-mini";
static const char own_tts[] =
    "{"
    "  \"vendor\": \"elevenlabs\","
    "  \"params\": {"
    "    \"base_url\": \"wss://api.elevenlabs.io/v1\","
    "    \"key\": \"\","
    "    \"model_id\": \"\","
    "    \"voice_id\": \"\""
    "  }"
    "}";

void
agent_name(const struct agent_start *start, int64_t now,
    char name[static AGENT_NAME_SIZE])
{
	/* The longest that channel.h lets pass. */
	if (start->own_channel)
		snprintf(name, AGENT_NAME_SIZE, "agent_%.63s_%.64s",
		    start->channel, start->agent_uid);
	else
		snprintf(name, AGENT_NAME_SIZE, "agent_%.63s_%.64s_%" PRId64,
		    start->channel, start->agent_uid,
		    now - now % NAME_WINDOW_S);
}

/* NULL only when memory ran out: the texts above are JSON. */
static struct json *
parse(const char *text)
{
	return json_parse(text, strlen(text), NULL);
}

/* The vendors without a key of one's own, in the order of the SDKs. */
static void
put_preset(struct json *root, const struct settings *settings)
{
	char preset[sizeof("," ASR_PRESET "," LLM_PRESET "," TTS_PRESET)];

	snprintf(preset, sizeof(preset), "%s%s%s",
	    settings->asr_key.len == 0 ? "," ASR_PRESET : "",
	    settings->llm_key.len == 0 ? "," LLM_PRESET : "",
	    settings->tts_key.len == 0 ? "," TTS_PRESET : "");
	if (preset[0] == '\0')
		json_remove(root, "preset");
	else
		json_put_text(root, "preset", preset + 1);
}

static void
put_own_asr(struct json *root, const struct secret *key)
{
	struct json *params = parse(own_asr_params);

	json_put_text(params, "key", key->text);
	json_put_at(root, "properties.asr", "params", params);
}

static void
put_own_llm(struct json *root, const struct secret *key)
{
	json_put_text_at(root, "properties.llm", "url", own_llm_url);
	json_put_text_at(root, "properties.llm", "api_key", key->text);
	json_put_text_at(root, "properties.llm.params", "model", own_llm_model);
}

static void
put_own_tts(struct json *root, const struct settings *settings)
{
	struct json *tts = parse(own_tts);

	json_put_text_at(tts, "params", "key", settings->tts_key.text);
	json_put_text_at(tts, "params", "model_id", settings->tts_model_id);
	json_put_text_at(tts, "params", "voice_id", settings->tts_voice_id);
	json_put_at(root, "properties", "tts", tts);
}

static void
put_vendors(struct json *root, const struct settings *settings)
{
	put_preset(root, settings);
	if (settings->asr_key.len > 0)
		put_own_asr(root, &settings->asr_key);
	if (settings->llm_key.len > 0)
		put_own_llm(root, &settings->llm_key);
	if (settings->tts_key.len > 0)
		put_own_tts(root, settings);
}

static void
put_texts(struct json *root, const struct settings *settings)
{
	static const char llm[] = "properties.llm";
	struct json *message = json_new_object();

	json_put_text(message, "role", "system");
	json_put_text(message, "content", settings->instructions);
	json_push_at(root, "properties.llm.system_messages", message);
	json_put_text_at(root, llm, "greeting_message", settings->greeting);
	json_put_text_at(root, llm, "failure_message",
	    settings->failure_message);
}

static void
put_session(struct json *root, const struct agent_start *start,
    const char *token)
{
	static const char at[] = "properties";

	json_put_text_at(root, at, "channel", start->channel);
	json_put_text_at(root, at, "token", token);
	json_put_text_at(root, at, "agent_rtc_uid", start->agent_uid);
	json_push_at(root, "properties.remote_rtc_uids",
	    json_new_text(start->user_uid));
	if (start->output_audio_codec != NULL)
		json_put_text_at(root, "properties.parameters",
		    "output_audio_codec", start->output_audio_codec);
}

int
agent_join_body(const struct settings *settings,
    const struct agent_start *start, const char *name, const char *token,
    struct buf *body, struct fail *fail)
{
	struct json *root = parse(default_agent);

	json_put_text(root, "name", name);
	put_session(root, start, token);
	json_put_int(json_at(root, "properties"), "idle_timeout",
	    settings->idle_timeout);
	put_texts(root, settings);
	put_vendors(root, settings);
	json_print(root, body);
	json_free(root);
	if (buf_failed(body))
		return fail_set(fail, FAIL_INTERNAL, "out of memory");
	return 0;
}
