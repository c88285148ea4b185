#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/agent_rules.h"
#include "common/agent_rules_internal.h"
#include "common/json.h"

/* ---- what is said -------------------------------------------------------- */

/* There is room for it. */
static void
append(char *text, const char *more)
{
	text += strlen(text);
	while ((*text++ = *more++) != '\0')
		;
}

void
agent_rules_say(struct agent_judge *judge, bool certain, const char *page,
    const char *format, ...)
{
	char text[AGENT_RULES_SENTENCE_SIZE];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (strlen(text) + strlen(page) + strlen(" ()") < sizeof(text)) {
		append(text, " (");
		append(text, page);
		append(text, ")");
	}
	if (certain)
		judge->certain++;
	judge->tell(judge->arg, certain, text);
}

static void
say_missing(const struct agent_finding *finding)
{
	const struct agent_rule *rule = finding->rule;
	bool needed = rule->need == RULE_NEEDED;

	agent_rules_say(finding->judge, needed, rule->page, "%s %s%s%s%s%s",
	    finding->name, finding->value == NULL ? "is missing" : "is empty",
	    needed ? " but required" : ", the documentation asks for it",
	    rule->vendor != NULL ? " for " : "",
	    rule->vendor != NULL ? rule->vendor : "",
	    rule->own ? ", unless Agora manages the model" : "");
}

const char *
agent_rules_text(const struct json *object, const char *path)
{
	const char *dot = strrchr(path, '.');
	char parent[AGENT_RULES_NAME_SIZE];

	if (dot == NULL)
		return json_text(object, path);
	if ((size_t)(dot - path) >= sizeof(parent))
		return NULL;
	memcpy(parent, path, (size_t)(dot - path));
	parent[dot - path] = '\0';
	return json_text(json_at(object, parent), dot + 1);
}

/* ---- rules --------------------------------------------------------------- */

/* ${path} is ${block}, or a member of it. */
static bool
within(const char *path, const char *block)
{
	size_t len = strlen(block);

	return strncmp(path, block, len) == 0 &&
	    (path[len] == '\0' || path[len] == '.');
}

bool
agent_rules_used(const struct agent_judge *judge, const char *member)
{
	if (within(member, "asr") || within(member, "llm") ||
	    within(member, "tts"))
		return !judge->mllm;
	if (within(member, "mllm"))
		return judge->mllm;
	if (within(member, "avatar"))
		return judge->avatar;
	return true;
}

/* What a preset of this name is for. */
static const struct {
	const char *prefix, *block;
} presets[] = {
	{ "deepgram_", "asr" },
	{ "openai_gpt_", "llm" },
	{ "minimax_", "tts" },
	{ "openai_tts_", "tts" },
};

/* ${block} NULL: any. */
static bool
is_for(const char *preset, const char *block)
{
	for (size_t i = 0; i < sizeof(presets) / sizeof(presets[0]); i++) {
		if ((block == NULL || strcmp(presets[i].block, block) == 0) &&
		    strncasecmp(preset, presets[i].prefix,
			strlen(presets[i].prefix)) == 0)
			return true;
	}
	return false;
}

bool
agent_rules_managed(const struct agent_judge *judge, const char *block)
{
	const char *mode =
	    json_text(json_member(judge->properties, block), "credential_mode");
	const char *preset = json_text(judge->body, "preset");

	if (mode != NULL && strcmp(mode, "managed") == 0)
		return true;
	while (preset != NULL && *preset != '\0') {
		preset += strspn(preset, ", ");
		if (is_for(preset, block))
			return true;
		preset += strcspn(preset, ",");
	}
	return false;
}

static void
judge_presets(struct agent_judge *judge)
{
	const char *preset = json_text(judge->body, "preset");

	for (; preset != NULL && *preset != '\0';
	     preset += strcspn(preset, ",")) {
		preset += strspn(preset, ", ");
		if (*preset != '\0' && !is_for(preset, NULL))
			agent_rules_say(judge, false,
			    AGENT_RULES_DOCS
			    "ai/build/custom-model-integration/presets",
			    "preset has one that is not documented; is it "
			    "spelt right?");
	}
}

/* What the block calls its vendor; what it is when it does not say. */
static bool
is_vendor(const struct agent_rule *rule, const struct json *block)
{
	const char *vendor = json_text(block, "vendor");
	const char *style = json_text(block, "style");

	if (rule->style)
		return vendor == NULL &&
		    strcmp(rule->vendor, style != NULL ? style : "openai") == 0;
	if (vendor == NULL)
		vendor = strcmp(rule->block, "asr") == 0 ? "ares" : "";
	return strcmp(rule->vendor, vendor) == 0;
}

static bool
is_needed(const struct agent_finding *finding, const struct json *block)
{
	const struct agent_rule *rule = finding->rule;
	const struct agent_judge *judge = finding->judge;

	if (rule->need == RULE_OPTIONAL || judge->pipeline ||
	    (rule->own && agent_rules_managed(judge, rule->block)))
		return false;
	return rule->instead == NULL || json_at(block, rule->instead) == NULL;
}

/* Judges the rule's member of ${block}, whose own name is in ${finding}. */
static void
judge_member(struct agent_finding *finding, const struct json *block)
{
	const char *member = finding->rule->member;
	size_t len = strlen(finding->name);
	const char *text = NULL;

	finding->value = block;
	if (*member != '\0') {
		snprintf(finding->name + len, sizeof(finding->name) - len,
		    ".%s", member);
		finding->value = json_at(block, member);
		text = agent_rules_text(block, member);
	}
	if (finding->value == NULL ||
	    (text != NULL && *text == '\0' &&
		finding->rule->kind != RULE_URL)) {
		if (is_needed(finding, block))
			say_missing(finding);
	} else {
		agent_rules_value(finding, text);
	}
}

/* What is no object in ${array} is a finding about the array. */
static void
judge_items(struct agent_finding *finding, const struct json *array)
{
	for (size_t i = 0; i < json_count(array); i++) {
		const struct json *item = json_item(array, i);

		snprintf(finding->name, sizeof(finding->name),
		    "properties.%s[%zu]", finding->rule->block, i);
		if (json_kind(item) == JSON_OBJECT)
			judge_member(finding, item);
	}
}

static void
judge_rule(struct agent_judge *judge, const struct agent_rule *rule)
{
	bool nested = *rule->block != '\0';
	const struct json *block = nested ?
	    json_at(judge->properties, rule->block) :
	    judge->properties;
	struct agent_finding finding = { .judge = judge, .rule = rule };

	if ((nested && json_kind(judge->properties) != JSON_OBJECT) ||
	    !agent_rules_used(judge, rule->block) ||
	    (rule->vendor != NULL && !is_vendor(rule, block)))
		return;
	if (json_kind(block) == JSON_ARRAY && *rule->member != '\0') {
		judge_items(&finding, block);
		return;
	}
	snprintf(finding.name, sizeof(finding.name), "properties%s%s",
	    nested ? "." : "", rule->block);
	if (*rule->member == '\0' || json_kind(block) == JSON_OBJECT)
		judge_member(&finding, block);
}

/* ---- vendors ------------------------------------------------------------- */

static bool
is_known(const char *block, const char *vendor)
{
	const struct agent_rule *rule;

	for (size_t i = 0; (rule = agent_rules_at(i)) != NULL; i++) {
		if (rule->vendor != NULL && !rule->style &&
		    strcmp(rule->block, block) == 0 &&
		    strcmp(rule->vendor, vendor) == 0)
			return true;
	}
	return false;
}

/* The engine learns new vendors, so one that is not known is no mistake. */
static void
judge_vendors(struct agent_judge *judge)
{
	static const struct {
		const char *block, *page;
	} blocks[] = {
		{ "asr", AGENT_RULES_DOCS "ai/models/asr" },
		{ "llm", AGENT_RULES_DOCS "ai/models/llm" },
		{ "tts", AGENT_RULES_DOCS "ai/models/tts" },
		{ "mllm", AGENT_RULES_DOCS "ai/models/mllm" },
		{ "avatar", AGENT_RULES_DOCS "ai/models/avatar" },
	};

	for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
		const char *block = blocks[i].block;
		const char *vendor =
		    json_text(json_member(judge->properties, block), "vendor");

		if (agent_rules_used(judge, block) && vendor != NULL &&
		    *vendor != '\0' && !is_known(block, vendor))
			agent_rules_say(judge, false, blocks[i].page,
			    "properties.%s.vendor is none of the documented "
			    "ones; is it spelt right?",
			    block);
	}
}

size_t
agent_rules_check(const struct json *body,
    void (*tell)(void *arg, bool certain, const char *text), void *arg)
{
	struct agent_judge judge = { .body = body, .tell = tell, .arg = arg };
	const struct agent_rule *rule;
	const struct json *avatar;
	const char *pipeline;

	judge.properties = json_member(body, "properties");
	pipeline = json_text(body, "pipeline_id");
	judge.pipeline = pipeline != NULL && *pipeline != '\0';
	judge.mllm = json_is_true(json_at(judge.properties, "mllm.enable")) ||
	    json_is_true(
		json_at(judge.properties, "advanced_features.enable_mllm"));
	avatar = json_at(judge.properties, "avatar.enable");
	judge.avatar = json_kind(avatar) != JSON_BOOL || json_is_true(avatar);
	for (size_t i = 0; (rule = agent_rules_at(i)) != NULL; i++)
		judge_rule(&judge, rule);
	judge_vendors(&judge);
	judge_presets(&judge);
	agent_rules_pairs(&judge);
	return judge.certain;
}
