/*
 * What two members of a join body say to each other.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "common/agent_rules.h"
#include "common/agent_rules_internal.h"
#include "common/json.h"

#define WORD_SIZE 32 /* of a value that is compared, with the NUL */

/* ${member}, when it has ${value}, does nothing, or harm, without another. */
struct pair {
	const char *member; /* both below properties */
	const char *value;  /* NULL: any but false, 0, "", [] and {} */
	const char *needs;
	const char *needs_value; /* NULL: any but these */
	bool certain;
};

static const struct pair pairs[] = {
	{ "parameters.data_channel", "rtm", "advanced_features.enable_rtm",
	    "true", true },
	{ "parameters.enable_metrics", "true", "advanced_features.enable_rtm",
	    "true", false },
	{ "parameters.enable_error_message", "true",
	    "advanced_features.enable_rtm", "true", false },
	{ "llm.mcp_servers", NULL, "advanced_features.enable_tools", "true",
	    true },
	{ "sal", NULL, "advanced_features.enable_sal", "true", true },
	{ "llm.greeting_audio_url", NULL, "llm.greeting_message", NULL, true },
	{ "geofence.exclude_area", NULL, "geofence.area", "GLOBAL", true },
	{ "rtc.encryption_mode", "7", "rtc.encryption_salt", NULL, true },
	{ "rtc.encryption_mode", "8", "rtc.encryption_salt", NULL, true },
	{ "parameters.silence_config.timeout_ms", NULL,
	    "parameters.silence_config.content", NULL, true },
	{ "turn_detection.config.start_of_speech.mode", "manual",
	    "advanced_features.enable_rtm", "true", true },
	{ "turn_detection.config.start_of_speech.mode", "manual",
	    "parameters.data_channel", "rtm", true },
	{ "turn_detection.config.end_of_speech.mode", "manual",
	    "advanced_features.enable_rtm", "true", true },
	{ "turn_detection.config.end_of_speech.mode", "manual",
	    "parameters.data_channel", "rtm", true },
	{ "interruption.mode", "keywords",
	    "interruption.keywords_config.trigger_keywords", NULL, false },
};

/* ---- one needs the other ------------------------------------------------ */

/* The scalar at ${path}, written out; "" if there is none, or a long one. */
static void
write_word(const struct json *object, const char *path, char word[WORD_SIZE])
{
	const struct json *value = json_at(object, path);
	const char *text = agent_rules_text(object, path);
	double number;

	word[0] = '\0';
	if (json_kind(value) == JSON_BOOL)
		text = json_is_true(value) ? "true" : "false";
	if (text != NULL && strlen(text) < WORD_SIZE)
		memcpy(word, text, strlen(text) + 1);
	else if (json_number(value, &number))
		snprintf(word, WORD_SIZE, "%.10g", number);
}

/* It is ${wanted}; wanted NULL: it is there, and neither empty nor nothing. */
static bool
is_so(const struct json *object, const char *path, const char *wanted)
{
	const struct json *value = json_at(object, path);
	const char *text = agent_rules_text(object, path);
	char word[WORD_SIZE];

	write_word(object, path, word);
	if (wanted != NULL)
		return strcmp(word, wanted) == 0;
	if (text != NULL)
		return *text != '\0';
	return agent_rules_count(value) > 0 ||
	    (word[0] != '\0' && strcmp(word, "false") != 0 &&
		strcmp(word, "0") != 0);
}

static void
judge_pair(struct agent_judge *judge, const struct pair *pair)
{
	const struct json *properties = judge->properties;
	bool stored =
	    judge->pipeline && json_at(properties, pair->needs) == NULL;

	if (!agent_rules_used(judge, pair->member) || stored ||
	    !is_so(properties, pair->member, pair->value) ||
	    is_so(properties, pair->needs, pair->needs_value))
		return;
	agent_rules_say(judge, pair->certain, AGENT_RULES_JOIN,
	    "properties.%s%s%s needs properties.%s%s%s", pair->member,
	    pair->value != NULL ? " = " : "",
	    pair->value != NULL ? pair->value : "", pair->needs,
	    pair->needs_value != NULL ? " = " : "",
	    pair->needs_value != NULL ? pair->needs_value : "");
}

/* ---- a model that speaks has no use for ---------------------------------- */

static void
judge_mllm(struct agent_judge *judge)
{
	if (!judge->mllm)
		return;
	if (json_member(judge->properties, "tts") != NULL)
		agent_rules_say(judge, true, AGENT_RULES_JOIN,
		    "properties.tts is not used beside an enabled "
		    "properties.mllm; remove one of them");
	if (judge->avatar && json_member(judge->properties, "avatar") != NULL)
		agent_rules_say(judge, true, AGENT_RULES_JOIN,
		    "properties.avatar does not work with an enabled "
		    "properties.mllm; remove one of them");
}

/* ---- what is there, but switched off ------------------------------------- */

/* Whoever writes "enable": false knows it; a stored agent may have it. */
static void
judge_switch(struct agent_judge *judge, const char *block)
{
	const struct json *value = json_member(judge->properties, block);

	if (!judge->pipeline && json_kind(value) == JSON_OBJECT &&
	    !json_has(value, "enable"))
		agent_rules_say(judge, false, AGENT_RULES_JOIN,
		    "properties.%s does nothing without properties.%s.enable = "
		    "true",
		    block, block);
}

/* A key, beside a preset that does not need it, is not used. */
static void
judge_preset_key(struct agent_judge *judge, const char *member,
    const char *block)
{
	if (agent_rules_managed(judge, block) &&
	    is_so(judge->properties, member, NULL))
		agent_rules_say(judge, false, AGENT_RULES_JOIN,
		    "properties.%s is not used: a preset or credential_mode "
		    "has Agora pay",
		    member);
}

static void
judge_useless(struct agent_judge *judge)
{
	if (judge->mllm) /* for the avatar see judge_mllm() */
		return;
	judge_switch(judge, "mllm");
	judge_switch(judge, "avatar");
	judge_preset_key(judge, "asr.params.key", "asr");
	judge_preset_key(judge, "asr.params.api_key", "asr");
	judge_preset_key(judge, "llm.api_key", "llm");
	judge_preset_key(judge, "tts.params.key", "tts");
	judge_preset_key(judge, "tts.params.api_key", "tts");
}

/* ---- an avatar hears one sample rate only -------------------------------- */

static const struct avatar_rate {
	const char *vendor;
	int hz;
	const char *page;
} avatars[] = {
	{ "liveavatar", 24000, AGENT_RULES_DOCS "ai/models/avatar/heygen" },
	{ "heygen", 24000, AGENT_RULES_DOCS "ai/models/avatar/heygen" },
	{ "akool", 16000, AGENT_RULES_DOCS "ai/models/avatar/akool" },
};

/* How a vendor spells its sample rate, and what it is if not stated. */
static const struct speech_rate {
	const char *vendor;
	const char *member; /* NULL: it cannot be stated */
	int hz;             /* 0: not documented */
} speeches[] = {
	{ "amazon", NULL, 0 },
	{ "cartesia", "params.output_format.sample_rate", 16000 },
	{ "elevenlabs", "params.sample_rate", 24000 },
	{ "fishaudio", NULL, 0 },
	{ "gemini", NULL, 0 },
	{ "generic_http", "params.sample_rate", 16000 },
	{ "google", "params.AudioConfig.sample_rate_hertz", 0 },
	{ "humeai", NULL, 0 },
	{ "microsoft", "params.sample_rate", 24000 },
	{ "minimax", "params.audio_setting.sample_rate", 0 },
	{ "mistral", NULL, 0 },
	{ "openai", NULL, 24000 },
	{ "rime", NULL, 0 },
	{ "typecast", NULL, 0 },
};

static const struct avatar_rate *
find_avatar(const char *vendor)
{
	for (size_t i = 0; i < sizeof(avatars) / sizeof(avatars[0]); i++) {
		if (strcmp(avatars[i].vendor, vendor) == 0)
			return &avatars[i];
	}
	return NULL;
}

static const struct speech_rate *
find_speech(const char *vendor)
{
	static const struct speech_rate usual = { "", "params.sample_rate", 0 };

	for (size_t i = 0; i < sizeof(speeches) / sizeof(speeches[0]); i++) {
		if (strcmp(speeches[i].vendor, vendor) == 0)
			return &speeches[i];
	}
	return &usual;
}

/* The rate is not stated in ${tts}, so it is the vendor's own. */
static void
judge_silent_rate(struct agent_judge *judge, const struct speech_rate *speech,
    const struct avatar_rate *avatar)
{
	if (speech->hz == avatar->hz)
		return;
	if (speech->member != NULL)
		agent_rules_say(judge, false, avatar->page,
		    "properties.tts.%s is not set: avatar %s needs %d",
		    speech->member, avatar->vendor, avatar->hz);
	else if (speech->hz != 0)
		agent_rules_say(judge, true, avatar->page,
		    "properties.tts of vendor %s speaks at %d Hz, but avatar "
		    "%s needs %d",
		    speech->vendor, speech->hz, avatar->vendor, avatar->hz);
	else
		agent_rules_say(judge, false, avatar->page,
		    "properties.tts states no sample rate: avatar %s needs %d "
		    "Hz",
		    avatar->vendor, avatar->hz);
}

static void
judge_rates(struct agent_judge *judge)
{
	const struct json *tts = json_member(judge->properties, "tts");
	const char *vendor = json_text(tts, "vendor");
	const char *face = agent_rules_text(judge->properties, "avatar.vendor");
	const struct avatar_rate *avatar =
	    face != NULL ? find_avatar(face) : NULL;
	const struct speech_rate *speech;
	double hz;

	if (tts == NULL || avatar == NULL || judge->mllm || !judge->avatar)
		return;
	speech = find_speech(vendor != NULL ? vendor : "");
	if (speech->member == NULL ||
	    !json_number(json_at(tts, speech->member), &hz))
		judge_silent_rate(judge, speech, avatar);
	else if (hz < avatar->hz || hz > avatar->hz)
		agent_rules_say(judge, true, avatar->page,
		    "properties.tts.%s must be %d for avatar %s",
		    speech->member, avatar->hz, avatar->vendor);
}

void
agent_rules_pairs(struct agent_judge *judge)
{
	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
		judge_pair(judge, &pairs[i]);
	judge_mllm(judge);
	judge_useless(judge);
	judge_rates(judge);
}
