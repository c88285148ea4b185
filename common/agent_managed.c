#include <stdio.h>
#include <string.h>

#include "common/agent_managed.h"
#include "common/ascii.h"
#include "common/buf.h"
#include "common/json.h"
#include "common/list.h"

#define MODEL_SIZE 33   /* bytes of a model that we know, with the NUL */
#define PRESET_MAX 4096 /* bytes of a list of presets */

static const char deepgram_url[] = "wss://api.deepgram.com/v1/listen";
static const char minimax_url[] = "wss://api.minimax.io/ws/v1/t2a_v2";

/* Without a model the first one of its vendor is meant, if ${lone}. */
static const struct managed {
	enum agent_category category;
	bool lone;
	const char *vendor;
	const char *model;
	const char *preset;
	const char *url; /* that a managed block names */
} managed[] = {
	{ AGENT_ASR, false, "deepgram", "nova-2", "deepgram_nova_2",
	    deepgram_url },
	{ AGENT_ASR, false, "deepgram", "nova-3", "deepgram_nova_3",
	    deepgram_url },
	{ AGENT_LLM, false, "openai", "gpt-4o-mini", "openai_gpt_4o_mini",
	    AGENT_OPENAI_URL },
	{ AGENT_LLM, false, "openai", "gpt-4.1-mini", "openai_gpt_4_1_mini",
	    AGENT_OPENAI_URL },
	{ AGENT_LLM, false, "openai", "gpt-5-nano", "openai_gpt_5_nano",
	    AGENT_OPENAI_URL },
	{ AGENT_LLM, false, "openai", "gpt-5-mini", "openai_gpt_5_mini",
	    AGENT_OPENAI_URL },
	{ AGENT_TTS, false, "minimax", "speech-2.6-turbo",
	    "minimax_speech_2_6_turbo", minimax_url },
	{ AGENT_TTS, false, "minimax", "speech-2.8-turbo",
	    "minimax_speech_2_8_turbo", minimax_url },
	{ AGENT_TTS, true, "openai", "tts-1", "openai_tts_1", NULL },
};
#define MANAGED_LEN (sizeof(managed) / sizeof(managed[0]))

const char *
agent_category_name(enum agent_category category)
{
	static const char *const names[] = { "asr", "llm", "tts" };

	return names[category];
}

/*
 * A preset's vendor stands before its first "_"; one that we do not know yet
 * may be among them.
 */
static const struct managed *
preset_like(const char *preset, size_t len, enum agent_category category)
{
	for (size_t i = 0; i < MANAGED_LEN; i++) {
		const struct managed *model = &managed[i];
		/* "openai_gpt_", "openai_tts_", but "deepgram_", "minimax_" */
		size_t same = strcmp(model->vendor, "openai") == 0 ?
		    strlen("openai_gpt_") :
		    strlen(model->vendor) + 1;

		if (model->category == category && len > same &&
		    strncmp(preset, model->preset, same) == 0)
			return model;
	}
	return NULL;
}

const char *
agent_preset_vendor(const char *list, enum agent_category category)
{
	const struct managed *model;
	const char *preset;
	size_t len;

	while ((preset = list_next(&list, &len)) != NULL) {
		model = preset_like(preset, len, category);
		if (model != NULL)
			return model->vendor;
	}
	return NULL;
}

/* Answers whether ${key} is there and not "", nor ${usual}, if not NULL. */
static bool
has(const struct json *object, const char *key, const char *usual)
{
	const char *text = json_text(object, key);

	if (text == NULL)
		return json_member(object, key) != NULL;
	return *text != '\0' && (usual == NULL || strcmp(text, usual) != 0);
}

/*
 * Spaces around it do not count, nor upper case, and MiniMax's may be written
 * as the SDK does: speech_2_6_turbo is speech-2.6-turbo.
 */
static bool
is_model(const char *text, const char *model)
{
	bool minimax = strncmp(model, "speech-", strlen("speech-")) == 0;
	size_t len = strlen(model);

	while (ascii_is_space(*text))
		text++;
	for (size_t i = 0; i < len; i++) {
		char c = ascii_lower(text[i]);

		if (c != model[i] &&
		    !(minimax && c == '_' && strchr("-.", model[i]) != NULL))
			return false;
	}
	text += len;
	while (ascii_is_space(*text))
		text++;
	return *text == '\0';
}

/* The model that ${block} means, if Agora has it. */
static const struct managed *
model_of(const struct json *block, enum agent_category category)
{
	const char *vendor = json_text(block, "vendor");
	const char *text = json_text(json_member(block, "params"), "model");

	if (vendor == NULL && category == AGENT_LLM)
		vendor = "openai";
	for (size_t i = 0; i < MANAGED_LEN; i++) {
		const struct managed *model = &managed[i];

		if (model->category == category && vendor != NULL &&
		    strcmp(model->vendor, vendor) == 0 &&
		    (text != NULL && *text != '\0' ?
			    is_model(text, model->model) :
			    model->lone))
			return model;
	}
	return NULL;
}

/* Answers whether ${block} is to be paid for by somebody else than Agora. */
static bool
is_own(const struct json *block, enum agent_category category)
{
	const struct json *params = json_member(block, "params");

	if (category == AGENT_LLM)
		return has(block, "api_key", NULL) ||
		    has(block, "url", AGENT_OPENAI_URL);
	return has(params, "key", NULL) || has(params, "api_key", NULL) ||
	    has(params, "base_url", NULL) ||
	    (category == AGENT_ASR && has(params, "url", deepgram_url));
}

/* What comes from Agora, or is of no use without a key. */
static void
remove_access(struct json *block, bool model_too)
{
	static const char *const members[] = { "key", "api_key", "group_id" };
	struct json *params = json_member(block, "params");
	struct json_iter left = { .object = params };

	json_remove(block, "api_key");
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		json_remove(params, members[i]);
	if (!model_too)
		return;
	json_remove(block, "url");
	json_remove(params, "url");
	json_remove(params, "model");
	if (params != NULL && !json_next(&left))
		json_remove(block, "params");
}

static void
add_preset(struct json *block, const struct managed *model, struct buf *presets)
{
	remove_access(block, true);
	buf_format(presets, "%s%s", presets->len > 0 ? "," : "", model->preset);
}

/* The documentation's form of a managed block. */
static void
make_managed(struct json *block, const struct managed *model)
{
	bool llm = model->category == AGENT_LLM;

	remove_access(block, false);
	json_put_text(block, "credential_mode", "managed");
	json_put_text(block, "vendor", model->vendor);
	if (json_member(block, "params") == NULL)
		json_put(block, "params", json_new_object());
	json_put_text_at(block, "params", "model", model->model);
	if (model->url != NULL)
		json_put_text(llm ? block : json_member(block, "params"), "url",
		    model->url);
}

/* The presets of the file, without empty ones and spaces. */
static void
collect_presets(const char *list, struct buf *presets)
{
	const char *preset;
	size_t len;

	while ((preset = list_next(&list, &len)) != NULL) {
		if (len > 0 && presets->len > 0)
			buf_text(presets, ",");
		buf_add(presets, preset, len);
	}
}

void
agent_manage(struct json *agent, bool blocks)
{
	struct json *properties = json_member(agent, "properties");
	const char *explicit = json_text(agent, "preset");
	struct buf presets = BUF(PRESET_MAX);
	enum agent_category category;

	collect_presets(explicit, &presets);
	for (category = AGENT_ASR; category < AGENT_CATEGORIES; category++) {
		struct json *block =
		    json_member(properties, agent_category_name(category));
		const struct managed *model = model_of(block, category);

		if (model == NULL || is_own(block, category) ||
		    json_has(block, "credential_mode") ||
		    agent_preset_vendor(explicit, category) != NULL)
			continue;
		if (blocks)
			make_managed(block, model);
		else
			add_preset(block, model, &presets);
	}
	if (presets.len > 0)
		json_put_text(agent, "preset",
		    buf_failed(&presets) ? NULL : buf_str(&presets));
	else
		json_remove(agent, "preset");
	buf_free(&presets);
}
