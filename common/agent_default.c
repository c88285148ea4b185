#include <stdbool.h>
#include <string.h>

#include "common/agent_default.h"
#include "common/agent_managed.h"
#include "common/json.h"
#include "common/settings.h"

/* What is empty here is filled in from the settings. */
static const char default_agent[] =
    "{"
    "  \"properties\": {"
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
    "      \"params\": { \"model\": \"nova-3\", \"language\": \"en\" }"
    "    },"
    "    \"llm\": {"
    "      \"style\": \"openai\","
    "      \"input_modalities\": [\"text\"],"
    "      \"greeting_message\": \"\","
    "      \"failure_message\": \"\","
    "      \"max_history\": 15,"
    "      \"system_messages\": [],"
    "      \"params\": {"
    "        \"model\": \"gpt-4o-mini\","
    "        \"max_tokens\": 1024,"
    "        \"temperature\": 0.7,"
    "        \"top_p\": 0.95"
    "      }"
    "    },"
    "    \"tts\": {"
    "      \"vendor\": \"minimax\","
    "      \"params\": {"
    "        \"model\": \"speech-2.6-turbo\","
    "        \"voice_setting\": {"
    "          \"voice_id\": \"English_captivating_female1\""
    "        }"
    "      }"
    "    }"
    "  }"
    "}";

/* What changes with a key of one's own. */
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

/* NULL only when memory ran out: the texts above are JSON. */
static struct json *
parse(const char *text)
{
	return json_parse(text, strlen(text), NULL);
}

static void
put_own_llm(struct json *agent, const struct secret *key)
{
	json_put_text_at(agent, "properties.llm", "url", AGENT_OPENAI_URL);
	json_put_text_at(agent, "properties.llm", "api_key", key->text);
}

static void
put_own_tts(struct json *agent, const struct settings *settings)
{
	struct json *tts = parse(own_tts);

	json_put_text_at(tts, "params", "key", settings->tts_key.text);
	json_put_text_at(tts, "params", "model_id", settings->tts_model_id);
	json_put_text_at(tts, "params", "voice_id", settings->tts_voice_id);
	json_put_at(agent, "properties", "tts", tts);
}

static void
put_keys(struct json *agent, const struct settings *settings)
{
	if (settings->asr_key.len > 0)
		json_put_text_at(agent, "properties.asr.params", "key",
		    settings->asr_key.text);
	if (settings->llm_key.len > 0)
		put_own_llm(agent, &settings->llm_key);
	if (settings->tts_key.len > 0)
		put_own_tts(agent, settings);
}

static void
put_texts(struct json *agent, const struct settings *settings)
{
	static const char llm[] = "properties.llm";
	struct json *message = json_new_object();

	json_put_text(message, "role", "system");
	json_put_text(message, "content", settings->instructions);
	json_push_at(agent, "properties.llm.system_messages", message);
	json_put_text_at(agent, llm, "greeting_message", settings->greeting);
	json_put_text_at(agent, llm, "failure_message",
	    settings->failure_message);
}

struct json *
agent_default(const struct settings *settings)
{
	struct json *agent = parse(default_agent);

	json_put_int(json_at(agent, "properties"), "idle_timeout",
	    settings->idle_timeout);
	put_texts(agent, settings);
	put_keys(agent, settings);
	return agent;
}

/*
 * Answers whether ${file} sets ${key} to something else than ${block} has,
 * which is ${implied} if nothing stands there.
 */
static bool
differs(const struct json *block, const struct json *file, const char *key,
    const char *implied)
{
	const char *ours = json_text(block, key);
	const char *theirs = json_text(file, key);

	if (ours == NULL)
		ours = implied;
	return theirs != NULL && (ours == NULL || strcmp(ours, theirs) != 0);
}

static bool
differs_in_vendor(const struct json *block, const struct json *file,
    enum agent_category category)
{
	if (category != AGENT_LLM)
		return differs(block, file, "vendor", NULL);
	return differs(block, file, "vendor", "openai") ||
	    differs(block, file, "style", "openai") ||
	    differs(block, file, "url", AGENT_OPENAI_URL);
}

static void
remove_vendor(struct json *properties, enum agent_category category)
{
	struct json *block;

	if (category != AGENT_LLM) {
		json_remove(properties, agent_category_name(category));
		return;
	}
	block = json_member(properties, "llm");
	json_remove(block, "url");
	json_remove(block, "api_key");
	json_remove(block, "params");
}

/* For the vendors of the default agent; others' blocks are not kept. */
static void
remove_model(struct json *block)
{
	struct json *params = json_member(block, "params");

	json_remove(block, "url");
	json_remove(block, "api_key");
	json_remove(params, "key");
	json_remove(params, "model");
}

/* Makes room for the preset of ${vendor} that the file names. */
static void
fit_preset(struct json *properties, enum agent_category category,
    const char *vendor)
{
	struct json *block =
	    json_member(properties, agent_category_name(category));
	const char *ours =
	    category == AGENT_LLM ? "openai" : json_text(block, "vendor");

	if (ours != NULL && strcmp(ours, vendor) == 0)
		remove_model(block);
	else
		remove_vendor(properties, category);
}

static void
fit_category(struct json *properties, const struct json *file,
    enum agent_category category, const char *preset)
{
	const char *name = agent_category_name(category);
	const struct json *ours = json_member(properties, name);
	const struct json *theirs =
	    json_member(json_member(file, "properties"), name);
	const char *vendor = agent_preset_vendor(preset, category);

	if (differs_in_vendor(ours, theirs, category))
		remove_vendor(properties, category);
	else if (vendor != NULL)
		fit_preset(properties, category, vendor);
}

/* Answers whether the file has something in place of asr, llm and tts. */
static bool
replaces_cascade(const struct json *file)
{
	const char *pipeline = json_text(file, "pipeline_id");

	return (pipeline != NULL && *pipeline != '\0') ||
	    json_is_true(json_at(file, "properties.mllm.enable")) ||
	    (json_at(file, "properties.mllm") != NULL &&
		json_is_true(
		    json_at(file, "properties.advanced_features.enable_mllm")));
}

void
agent_default_fit(struct json *agent, const struct json *file)
{
	struct json *properties = json_member(agent, "properties");
	const char *preset = json_text(file, "preset");
	enum agent_category category;

	for (category = AGENT_ASR; category < AGENT_CATEGORIES; category++) {
		if (replaces_cascade(file))
			json_remove(properties, agent_category_name(category));
		else
			fit_category(properties, file, category, preset);
	}
}
