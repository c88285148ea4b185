/*
 * Every line of the table by bodies made from the line itself, then bodies as
 * people write them, for what two members say together.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/agent_rules.h"
#include "common/fail.h"
#include "common/json.h"

#define TOLD_MAX 64
#define PATH_SIZE 160

/* A body that nobody has anything to say about. */
#define ASR_GOOD "\"asr\":{\"vendor\":\"ares\"}"
#define LLM_GOOD                                                               \
	"\"llm\":{\"url\":\"https://llm.example/v1\",\"api_key\":\"k\","       \
	"\"params\":{\"model\":\"m\"}}"
#define TTS_GOOD                                                               \
	"\"tts\":{\"vendor\":\"murf\",\"params\":{\"api_key\":\"k\","          \
	"\"sample_rate\":24000}}"
#define BODY(members) "{\"properties\":{" members "}}"
#define GOOD ASR_GOOD "," LLM_GOOD "," TTS_GOOD
#define GOOD_AND(members) BODY(GOOD "," members)

/* What was told about one body. */
struct told {
	size_t count, certain, returned;
	struct {
		bool certain;
		char text[FAIL_TEXT_SIZE];
	} finding[TOLD_MAX];
};

static void
tell(void *arg, bool certain, const char *text)
{
	struct told *told = arg;

	assert_true(told->count < TOLD_MAX);
	assert_true(strlen(text) < AGENT_RULES_SENTENCE_SIZE);
	assert_null(strstr(text, "S3CRET")); /* no value of the body */
	told->finding[told->count].certain = certain;
	snprintf(told->finding[told->count++].text, FAIL_TEXT_SIZE, "%s", text);
	if (certain)
		told->certain++;
}

static struct told
check(const struct json *body)
{
	struct told told = { 0 };

	told.returned = agent_rules_check(body, tell, &told);
	assert_int_equal(told.returned, told.certain);
	return told;
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

static struct told
check_text(const char *text)
{
	struct json *body = parse(text);
	struct told told = check(body);

	json_free(body);
	return told;
}

static void
nothing_about(const char *text)
{
	struct told told = check_text(text);

	if (told.count > 0)
		fail_msg("%s: %s", text, told.finding[0].text);
}

/* The one finding is ${sentence}, to which the page may be added. */
static void
only(const char *text, bool certain, const char *sentence)
{
	struct told told = check_text(text);

	for (size_t i = 1; i < told.count; i++)
		print_error("also: %s\n", told.finding[i].text);
	assert_int_equal(told.count, 1);
	if (strncmp(told.finding[0].text, sentence, strlen(sentence)) != 0)
		fail_msg("%s", told.finding[0].text);
	assert_int_equal(told.finding[0].certain, certain);
}

/* ---- bodies made from the table ------------------------------------------ */

/* What the body of any line starts with, so that no two members quarrel. */
#define CALM                                                                   \
	"\"advanced_features\":{\"enable_rtm\":true,\"enable_tools\":true,"    \
	"\"enable_sal\":true},\"parameters\":{\"data_channel\":\"rtm\","       \
	"\"silence_config\":{\"content\":\"c\"}},\"rtc\":"                     \
	"{\"encryption_salt\":\"s\"},\"interruption\":{\"keywords_config\":"   \
	"{\"trigger_keywords\":[\"stop\"]}}"
#define MLLM_GOOD                                                              \
	"\"mllm\":{\"enable\":true,\"vendor\":\"openai_gpt_live\","            \
	"\"api_key\":\"k\"}"
#define AVATAR_GOOD                                                            \
	"\"avatar\":{\"enable\":true,\"vendor\":\"tavus\",\"params\":"         \
	"{\"api_key\":\"k\",\"avatar_id\":\"a\",\"agora_uid\":\"7\"}}"

/* Puts ${value} at ${path}, making objects on the way. */
static void
put(struct json *object, const char *path, struct json *value)
{
	size_t len = strcspn(path, ".");
	char key[PATH_SIZE];

	assert_true(len < sizeof(key));
	memcpy(key, path, len);
	key[len] = '\0';
	if (path[len] == '\0') {
		json_put(object, key, value);
		return;
	}
	if (json_kind(json_member(object, key)) != JSON_OBJECT)
		json_put(object, key, json_new_object());
	put(json_member(object, key), path + len + 1, value);
}

/* Takes away what is at ${path}, if it is there. */
static void
take(struct json *object, const char *path)
{
	const char *dot = strrchr(path, '.');
	char parent[PATH_SIZE];

	if (dot == NULL) {
		json_remove(object, path);
		return;
	}
	memcpy(parent, path, (size_t)(dot - path));
	parent[dot - path] = '\0';
	json_remove(json_at(object, parent), dot + 1);
}

static bool
is_list(const char *block)
{
	return strcmp(block, "llm.mcp_servers") == 0;
}

/* The object that the rule's member belongs to, NULL if there is none. */
static struct json *
block_in(const struct json *body, const struct agent_rule *rule)
{
	struct json *block = json_at(body, "properties");

	if (*rule->block != '\0')
		block = json_at(block, rule->block);
	if (json_kind(block) == JSON_ARRAY)
		block = json_item(block, 0);
	return block;
}

static bool
starts(const char *text, const char *start)
{
	return strncmp(text, start, strlen(start)) == 0;
}

/* The first word of ${list}, as JSON. */
static void
write_word(const struct agent_rule *rule, const char *list, char *text)
{
	const char *quote = rule->kind == RULE_TEXT ? "\"" : "";
	size_t len = strcspn(list, ",");

	assert_true(len < PATH_SIZE - 3);
	snprintf(text, PATH_SIZE, "%s", quote);
	memcpy(text + strlen(quote), list, len);
	snprintf(text + strlen(quote) + len, 2, "%s", quote);
}

/* The JSON of a value that the rule takes. */
static const char *
plain_sample(const struct agent_rule *rule)
{
	bool object = strcmp(rule->member, "params") == 0 ||
	    strcmp(rule->member, "turn_detection") == 0;

	if (strcmp(rule->member, "vendor") == 0)
		return starts(rule->block, "avatar") ? "\"tavus\"" : "\"xai\"";
	switch (rule->kind) {
	case RULE_BOOL: /* in properties: the switches of whole blocks */
		return *rule->block == '\0' || strstr(rule->member, "mllm") ?
		    "false" :
		    "true";
	case RULE_OBJECT:
		return strcmp(rule->member, "avatar") == 0 ||
			strcmp(rule->member, "mllm") == 0 ?
		    "{\"enable\":false}" :
		    "{}";
	case RULE_TEXT_MAP:
		return "{\"a\":\"x\"}";
	case RULE_OBJECTS:
		return "[{}]";
	case RULE_TEXTS:
		return "[\"x\"]";
	case RULE_INTS:
		return "[1]";
	case RULE_URL:
		return "\"https://a.example/b.mp3\"";
	case RULE_ANY:
		return object ? "{}" : "\"7\"";
	case RULE_UID:
	case RULE_NAME:
	case RULE_TEXT:
	case RULE_INT:
	case RULE_NUMBER:
	default:
		return "\"7\"";
	}
}

static void
write_sample(const struct agent_rule *rule, char text[PATH_SIZE])
{
	if (rule->choices != NULL)
		write_word(rule, rule->choices, text);
	else if (rule->kind == RULE_INT)
		snprintf(text, PATH_SIZE, "%.10g", rule->max);
	else if (rule->kind == RULE_NUMBER)
		snprintf(text, PATH_SIZE, "%.10g", (rule->min + rule->max) / 2);
	else
		snprintf(text, PATH_SIZE, "%s", plain_sample(rule));
}

static void
put_member(struct json *body, const struct agent_rule *rule, const char *json)
{
	struct json *block = block_in(body, rule);

	if (*rule->member != '\0')
		put(block, rule->member, parse(json));
	else if (*rule->block != '\0')
		put(json_at(body, "properties"), rule->block, parse(json));
	else
		json_put(body, "properties", parse(json));
}

static bool
is_about(const struct agent_rule *rule, const struct json *block)
{
	const char *vendor = json_text(block, "vendor");
	const char *style = json_text(block, "style");

	if (rule->vendor == NULL)
		return true;
	if (!rule->style)
		return vendor != NULL && strcmp(vendor, rule->vendor) == 0;
	return vendor == NULL &&
	    strcmp(rule->vendor, style != NULL ? style : "openai") == 0;
}

static bool
is_switched_off(const struct json *block)
{
	const struct json *value = json_member(block, "enable");

	return json_kind(value) == JSON_BOOL && !json_is_true(value);
}

/* Puts a sample of whatever the body's blocks need and do not have. */
static void
fill(struct json *body)
{
	const struct agent_rule *rule;
	char text[PATH_SIZE];

	for (size_t i = 0; (rule = agent_rules_at(i)) != NULL; i++) {
		struct json *block = block_in(body, rule);

		if (rule->need == RULE_OPTIONAL ||
		    json_kind(block) != JSON_OBJECT || *rule->member == '\0' ||
		    json_at(block, rule->member) != NULL ||
		    !is_about(rule, block) || is_switched_off(block))
			continue;
		write_sample(rule, text);
		put_member(body, rule, text);
	}
}

/* What a block that Agora manages has no use for. */
static void
take_keys(struct json *body, const char *block)
{
	static const char *const keys[] = { "asr.params.key",
		"asr.params.api_key", "llm.api_key", "tts.params.key",
		"tts.params.api_key" };
	struct json *properties = json_at(body, "properties");

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		if (starts(keys[i], block))
			take(properties, keys[i]);
	}
}

/* A body with nothing wrong, and with the block of the rule. */
static struct json *
body_for(const struct agent_rule *rule)
{
	struct json *body = parse(starts(rule->block, "mllm") ?
		BODY(CALM "," MLLM_GOOD) :
		starts(rule->block, "avatar") ?
		BODY(CALM "," GOOD "," AVATAR_GOOD) :
		BODY(CALM "," GOOD));
	struct json *properties = json_at(body, "properties");

	if (rule->vendor != NULL) {
		json_put(properties, rule->block, json_new_object());
		put(json_member(properties, rule->block),
		    rule->style ? "style" : "vendor",
		    json_new_text(rule->vendor));
		if (starts(rule->block, "mllm") ||
		    starts(rule->block, "avatar"))
			put(json_member(properties, rule->block), "enable",
			    parse("true"));
		if (strcmp(rule->vendor, "akool") == 0)
			put(properties, "tts.params.sample_rate",
			    parse("16000"));
	} else if (*rule->block != '\0' &&
	    json_at(properties, rule->block) == NULL) {
		put(properties, rule->block,
		    parse(is_list(rule->block) ? "[{}]" : "{}"));
	}
	if (!starts(rule->block, "mllm"))
		put(properties, "llm.greeting_message", parse("\"Hello\""));
	fill(body);
	return body;
}

/* The path of the rule's member, as findings write it. */
static void
write_name(const struct agent_rule *rule, char name[PATH_SIZE])
{
	snprintf(name, PATH_SIZE, "properties%s%s%s%s%s",
	    *rule->block != '\0' ? "." : "", rule->block,
	    is_list(rule->block) ? "[0]" : "", *rule->member != '\0' ? "." : "",
	    rule->member);
}

/* What is said when the rule's member is ${json}, and all else is well. */
static struct told
check_member(const struct agent_rule *rule, const char *json)
{
	struct json *body = body_for(rule);
	struct told told;

	put_member(body, rule, json);
	fill(body);
	if (strcmp(json, "\"managed\"") == 0)
		take_keys(body, rule->block);
	told = check(body);
	json_free(body);
	return told;
}

static void
member_is_fine(const struct agent_rule *rule, const char *json)
{
	struct told told = check_member(rule, json);

	if (told.count > 0)
		fail_msg("%s %s, %s: %s", rule->block,
		    rule->vendor != NULL ? rule->vendor : "", json,
		    told.finding[0].text);
}

/* Exactly one finding, about the rule's member, of that certainty. */
static void
one_about(const struct agent_rule *rule, const struct told *told, bool certain,
    const char *what)
{
	char name[PATH_SIZE];

	write_name(rule, name);
	for (size_t i = 0; told->count != 1 && i < told->count; i++)
		print_error("%s\n", told->finding[i].text);
	if (told->count != 1)
		fail_msg("%s %s (%s): %zu findings", name,
		    rule->vendor != NULL ? rule->vendor : "", what,
		    told->count);
	if (!starts(told->finding[0].text, name) ||
	    told->finding[0].text[strlen(name)] != ' ')
		fail_msg("%s (%s): %s", name, what, told->finding[0].text);
	if (told->finding[0].certain != certain)
		fail_msg("%s (%s) is %s", name, what,
		    certain ? "only doubtful" : "certain");
}

static void
member_is_found(const struct agent_rule *rule, const char *json, bool certain)
{
	struct told told = check_member(rule, json);

	one_about(rule, &told, certain, json);
}

/* ---- every line ---------------------------------------------------------- */

static void
every_line_takes_a_sample(void **state)
{
	const struct agent_rule *rule;
	char text[PATH_SIZE];
	size_t i = 0;

	(void)state;
	for (; (rule = agent_rules_at(i)) != NULL; i++) {
		struct json *body = body_for(rule);
		struct told told = check(body);

		if (told.count > 0)
			fail_msg("line %zu: %s", i, told.finding[0].text);
		write_sample(rule, text);
		if (*rule->member != '\0' &&
		    json_kind(json_at(block_in(body, rule), rule->member)) !=
			JSON_OBJECT)
			member_is_fine(rule, text);
		json_free(body);
	}
	assert_true(i > 300);
}

static struct json *
body_without(const struct agent_rule *rule)
{
	struct json *body = body_for(rule);

	if (*rule->member != '\0')
		take(block_in(body, rule), rule->member);
	else if (*rule->block != '\0')
		take(json_at(body, "properties"), rule->block);
	else
		take(body, "properties");
	return body;
}

static void
nothing_without(const struct agent_rule *rule, const char *path,
    const char *json)
{
	struct json *body = body_without(rule);
	struct told told;

	put(body, path, parse(json));
	told = check(body);
	if (told.count > 0)
		fail_msg("%s: %s", path, told.finding[0].text);
	json_free(body);
}

static void
every_needed_member_is_missed(void **state)
{
	const struct agent_rule *rule;

	(void)state;
	for (size_t i = 0; (rule = agent_rules_at(i)) != NULL; i++) {
		struct json *body;
		struct told told;

		if (rule->need == RULE_OPTIONAL)
			continue;
		body = body_without(rule);
		told = check(body);
		one_about(rule, &told, rule->need == RULE_NEEDED, "absent");
		json_free(body);
		if (rule->kind == RULE_TEXT)
			member_is_found(rule, "\"\"",
			    rule->need == RULE_NEEDED);
		if (*rule->block != '\0')
			nothing_without(rule, "pipeline_id", "\"p\"");
	}
}

static void
another_member_will_do(void **state)
{
	const struct agent_rule *rule;
	char path[PATH_SIZE];
	size_t count = 0;

	(void)state;
	for (size_t i = 0; (rule = agent_rules_at(i)) != NULL; i++) {
		if (rule->instead == NULL)
			continue;
		snprintf(path, sizeof(path), "properties.%s.%s", rule->block,
		    rule->instead);
		nothing_without(rule, path,
		    strcmp(rule->instead, "headers") == 0 ? "{}" : "\"k\"");
		count++;
	}
	assert_true(count >= 6);
}

/* The preset of a block's category. */
static const char *
preset_for(const char *block)
{
	if (strcmp(block, "asr") == 0)
		return "\"minimax_speech_2_6_turbo, deepgram_nova_3\"";
	if (strcmp(block, "llm") == 0)
		return "\"openai_gpt_5_mini\"";
	return "\"deepgram_nova_2,openai_tts_1\"";
}

/* As nothing_without(), and the managed blocks have no key either. */
static void
nothing_managed(const struct agent_rule *rule, const char *path,
    const char *json)
{
	struct json *body = body_without(rule);
	struct told told;

	put(body, path, parse(json));
	take_keys(body, rule->block);
	if (strstr(json, "minimax") != NULL) /* beside asr's own */
		take_keys(body, "tts");
	told = check(body);
	if (told.count > 0)
		fail_msg("%s, %s: %s", path, json, told.finding[0].text);
	json_free(body);
}

static void
a_managed_block_needs_no_key(void **state)
{
	const struct agent_rule *rule;
	char path[PATH_SIZE];
	size_t count = 0;

	(void)state;
	for (size_t i = 0; (rule = agent_rules_at(i)) != NULL; i++) {
		if (!rule->own || rule->need == RULE_OPTIONAL)
			continue;
		nothing_managed(rule, "preset", preset_for(rule->block));
		snprintf(path, sizeof(path), "properties.%s.credential_mode",
		    rule->block);
		if (*rule->member != '\0')
			nothing_managed(rule, path, "\"managed\"");
		count++;
	}
	assert_true(count > 60);
}

static bool
takes(enum rule_kind rule, enum json_kind kind)
{
	switch (rule) {
	case RULE_INT:
		return kind == JSON_INT;
	case RULE_NUMBER:
		return kind == JSON_INT || kind == JSON_DOUBLE;
	case RULE_BOOL:
		return kind == JSON_BOOL;
	case RULE_OBJECT:
	case RULE_TEXT_MAP:
		return kind == JSON_OBJECT;
	case RULE_OBJECTS:
	case RULE_TEXTS:
	case RULE_INTS:
		return kind == JSON_ARRAY;
	case RULE_ANY:
		return true;
	case RULE_TEXT:
	case RULE_UID:
	case RULE_URL:
	case RULE_NAME:
	default:
		return kind == JSON_TEXT;
	}
}

/* Some things may be missing besides, when a block is no object any more. */
static void
kind_is_found(const struct agent_rule *rule, const char *json, bool certain)
{
	struct json *body = body_for(rule);
	struct told told;
	char start[PATH_SIZE + 16], name[PATH_SIZE];
	size_t count = 0;

	put_member(body, rule, json);
	told = check(body);
	json_free(body);
	write_name(rule, name);
	snprintf(start, sizeof(start), "%s must be ", name);
	for (size_t i = 0; i < told.count; i++) {
		if (!starts(told.finding[i].text, start))
			continue;
		count++;
		assert_int_equal(told.finding[i].certain, certain);
	}
	if (count != 1)
		fail_msg("%s, %s: %zu findings", name, json, count);
}

static void
every_line_refuses_other_kinds(void **state)
{
	static const char *const values[] = { "\"S3CRET\"", "1", "1.0", "true",
		"{\"a\":\"S3CRET\"}", "[]", "\"S3CRET\\u0000\"" };
	const struct agent_rule *rule;

	(void)state;
	for (size_t i = 0; (rule = agent_rules_at(i)) != NULL; i++) {
		for (size_t k = 0; k < sizeof(values) / sizeof(values[0]);
		     k++) {
			struct json *value = parse(values[k]);
			bool nul = strstr(values[k], "u0000") != NULL;

			if (!takes(rule->kind, json_kind(value)) ||
			    (nul && rule->kind != RULE_ANY))
				kind_is_found(rule, values[k], true);
			json_free(value);
		}
		if (rule->kind == RULE_TEXTS || rule->kind == RULE_OBJECTS)
			kind_is_found(rule, "[1]", true);
		if (rule->kind == RULE_INTS)
			kind_is_found(rule, "[1.5]", true);
		if (rule->kind == RULE_TEXT_MAP)
			kind_is_found(rule, "{\"S3CRET\":1}", rule->sure);
	}
}

static void
number_around(const struct agent_rule *rule, double value, bool fine)
{
	char text[PATH_SIZE];

	snprintf(text, sizeof(text),
	    rule->kind == RULE_INTS ? "[1,%.10g]" : "%.10g", value);
	if (fine)
		member_is_fine(rule, text);
	else
		member_is_found(rule, text, rule->sure);
}

static void
every_range_has_its_ends(void **state)
{
	const struct agent_rule *rule;
	size_t count = 0;

	(void)state;
	for (size_t i = 0; (rule = agent_rules_at(i)) != NULL; i++) {
		double step = rule->kind == RULE_NUMBER ? 0.001 : 1;

		if (!(rule->min < rule->max) ||
		    (rule->kind != RULE_INT && rule->kind != RULE_NUMBER &&
			rule->kind != RULE_INTS))
			continue;
		number_around(rule, rule->min, !rule->open);
		number_around(rule, rule->max, !rule->open);
		number_around(rule, rule->min - step, false);
		number_around(rule, rule->max + step, false);
		number_around(rule, rule->min + step, true);
		number_around(rule, rule->max - step, true);
		if (rule->has_other) {
			number_around(rule, rule->other, true);
			number_around(rule, rule->other - 1, false);
			number_around(rule, rule->other + 1, false);
		}
		count++;
	}
	assert_true(count > 25);
}

/* A list or an object of ${count} strings, or a text of so many bytes. */
static void
write_many(const struct agent_rule *rule, size_t count, char *text, size_t size)
{
	const char *start = rule->kind == RULE_URL ? "\"http://" :
	    rule->kind == RULE_NAME                ? "\"" :
	    rule->kind == RULE_TEXTS               ? "[" :
						     "{";
	size_t len = (size_t)snprintf(text, size, "%s", start);

	if (rule->kind == RULE_URL)
		count -= strlen("http://");
	for (size_t i = 0; i < count; i++) {
		const char *comma = i > 0 ? "," : "";

		if (rule->kind == RULE_TEXTS)
			len += (size_t)snprintf(text + len, size - len,
			    "%s\"S3CRET\"", comma);
		else if (rule->kind == RULE_TEXT_MAP)
			len += (size_t)snprintf(text + len, size - len,
			    "%s\"m%zu\":\"S3CRET\"", comma, i);
		else
			len += (size_t)snprintf(text + len, size - len, "a");
		assert_true(len < size);
	}
	snprintf(text + len, size - len, "%s",
	    rule->kind == RULE_TEXTS        ? "]" :
		rule->kind == RULE_TEXT_MAP ? "}" :
					      "\"");
}

static void
every_length_has_its_end(void **state)
{
	const struct agent_rule *rule;
	static char text[8192];
	size_t count = 0;

	(void)state;
	for (size_t i = 0; (rule = agent_rules_at(i)) != NULL; i++) {
		if (!(rule->min < rule->max) || rule->kind == RULE_INT ||
		    rule->kind == RULE_NUMBER || rule->kind == RULE_INTS)
			continue;
		write_many(rule, (size_t)rule->max, text, sizeof(text));
		member_is_fine(rule, text);
		write_many(rule, (size_t)rule->max + 1, text, sizeof(text));
		member_is_found(rule, text, true);
		count++;
	}
	assert_true(count >= 8);
}

static void
every_choice_is_taken_and_no_other(void **state)
{
	const struct agent_rule *rule;
	char text[PATH_SIZE];
	size_t count = 0;

	(void)state;
	for (size_t i = 0; (rule = agent_rules_at(i)) != NULL; i++) {
		const char *word = rule->choices;

		while (word != NULL && *word != '\0') {
			write_word(rule, word, text);
			member_is_fine(rule, text);
			word += strcspn(word, ",");
			word += strspn(word, ", ");
		}
		if (rule->choices == NULL)
			continue;
		if (rule->kind == RULE_TEXT) { /* the start of a word is none */
			write_word(rule, rule->choices, text);
			memcpy(text + strlen(text) - 2, "\"", 2);
			member_is_found(rule, text, rule->sure);
		}
		member_is_found(rule,
		    rule->kind == RULE_TEXT ? "\"S3CRET\"" : "12345",
		    rule->sure);
		count++;
	}
	assert_true(count > 25);
}

/* ---- as people write it -------------------------------------------------- */

static void
the_default_agent_is_fine(void **state)
{
	(void)state;
	nothing_about(
	    "{\"preset\":\"deepgram_nova_3,openai_gpt_4o_mini,"
	    "minimax_speech_2_6_turbo\",\"properties\":{"
	    "\"idle_timeout\":30,"
	    "\"advanced_features\":{\"enable_rtm\":true},"
	    "\"parameters\":{\"data_channel\":\"rtm\","
	    "\"enable_error_message\":true},"
	    "\"asr\":{\"vendor\":\"deepgram\",\"language\":\"en\","
	    "\"params\":{\"language\":\"en\"}},"
	    "\"llm\":{\"style\":\"openai\",\"input_modalities\":[\"text\"],"
	    "\"greeting_message\":\"Hello\",\"max_history\":15,"
	    "\"params\":{\"max_tokens\":1024,\"temperature\":0.7}},"
	    "\"tts\":{\"vendor\":\"minimax\",\"params\":{\"voice_setting\":"
	    "{\"voice_id\":\"English_captivating_female1\"}}}}}");
}

static void
a_model_behind_a_style(void **state)
{
	(void)state;
	nothing_about(BODY(
	    TTS_GOOD ",\"llm\":{\"style\":\"anthropic\","
		     "\"url\":\"https://api.anthropic.com/v1/messages\","
		     "\"api_key\":\"k\",\"headers\":{\"anthropic-version\":"
		     "\"2023-06-01\"},\"params\":{\"model\":\"claude\","
		     "\"max_tokens\":1024}}"));
	nothing_about(BODY(TTS_GOOD
	    ",\"llm\":{\"style\":\"gemini\","
	    "\"url\":\"https://generativelanguage.googleapis.com/v1beta/"
	    "models/g:streamGenerateContent?alt=sse&key=k\","
	    "\"params\":{\"model\":\"g\"}}"));
	only(BODY(TTS_GOOD ",\"llm\":{\"style\":\"anthropic\",\"url\":\"u\","
			   "\"api_key\":\"k\",\"headers\":\"{}\","
			   "\"params\":{\"model\":\"claude\"}}"),
	    true,
	    "properties.llm.params.max_tokens is missing but required for "
	    "anthropic, unless Agora manages the model "
	    "(docs.agora.io/en/ai/models/llm/claude)");
	only(BODY(TTS_GOOD ",\"llm\":{\"vendor\":\"custom\",\"api_key\":\"\"}"),
	    true, "properties.llm.url is missing but required");
}

static void
a_vendor_that_is_not_known(void **state)
{
	static const char *const blocks[] = { "asr", "llm", "tts", "avatar" };
	char path[PATH_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
		struct json *body = parse(GOOD_AND(AVATAR_GOOD));
		struct told told;

		snprintf(path, sizeof(path), "properties.%s.vendor", blocks[i]);
		put(body, path, parse("\"S3CRET\""));
		told = check(body);
		assert_int_equal(told.count, 1);
		assert_int_equal(told.certain, 0);
		assert_true(starts(told.finding[0].text, path));
		json_free(body);
	}
	only(BODY("\"mllm\":{\"enable\":true,\"vendor\":\"S3CRET\"}"), false,
	    "properties.mllm.vendor is none of the documented ones; is it "
	    "spelt right? (docs.agora.io/en/ai/models/mllm)");
}

static void
a_body_without_properties(void **state)
{
	(void)state;
	only("{}", true, "properties is missing but required");
	only("{\"properties\":[]}", true, "properties must be an object");
	only("{\"properties\":\"S3CRET\"}", true,
	    "properties must be an object");
}

static void
a_model_that_speaks_stands_alone(void **state)
{
	(void)state;
	nothing_about(BODY(MLLM_GOOD));
	nothing_about(BODY(MLLM_GOOD ",\"llm\":{},\"asr\":{\"vendor\":\"x\"},"
				     "\"avatar\":{\"enable\":false}"));
	only(BODY(MLLM_GOOD "," TTS_GOOD), true,
	    "properties.tts is not used beside an enabled properties.mllm; "
	    "remove one of them");
	only(BODY(MLLM_GOOD "," AVATAR_GOOD), true,
	    "properties.avatar does not work with an enabled properties.mllm");
	only(BODY(TTS_GOOD ",\"advanced_features\":{\"enable_mllm\":true}"),
	    true, "properties.tts is not used");
	nothing_about(GOOD_AND("\"mllm\":{\"enable\":false,\"url\":1}"));
	only(GOOD_AND("\"mllm\":{\"vendor\":\"x\"}"), false,
	    "properties.mllm does nothing");
	only(BODY(MLLM_GOOD ",\"avatar\":{\"vendor\":\"tavus\",\"params\":"
			    "{\"api_key\":\"k\",\"avatar_id\":\"a\","
			    "\"agora_uid\":\"7\"}}"),
	    true,
	    "properties.avatar does not work with an enabled properties.mllm");
}

static void
an_avatar_that_is_switched_off(void **state)
{
	(void)state;
	nothing_about(GOOD_AND("\"avatar\":{\"enable\":false,"
			       "\"vendor\":\"akool\",\"params\":1}"));
	only(GOOD_AND("\"avatar\":{\"enable\":\"false\",\"vendor\":\"tavus\","
		      "\"params\":{\"api_key\":\"k\",\"avatar_id\":\"a\","
		      "\"agora_uid\":\"7\"}}"),
	    true, "properties.avatar.enable must be true or false");
}

static void
a_block_that_nobody_switched_on(void **state)
{
	(void)state;
	only(GOOD_AND("\"mllm\":{\"vendor\":\"openai_gpt_live\","
		      "\"api_key\":\"S3CRET\"}"),
	    false,
	    "properties.mllm does nothing without properties.mllm.enable = "
	    "true (docs.agora.io/en/api-reference/api-ref/conversational-ai/"
	    "join)");
	only(GOOD_AND("\"avatar\":{\"vendor\":\"tavus\",\"params\":{"
		      "\"api_key\":\"S3CRET\",\"avatar_id\":\"a\","
		      "\"agora_uid\":\"7\"}}"),
	    false,
	    "properties.avatar does nothing without properties.avatar.enable "
	    "= true (docs.agora.io/en/api-reference/api-ref/"
	    "conversational-ai/join)");
	nothing_about(GOOD_AND(AVATAR_GOOD));
	nothing_about(GOOD_AND("\"mllm\":{\"enable\":false},"
			       "\"avatar\":{\"enable\":false}"));
	nothing_about(BODY("\"advanced_features\":{\"enable_mllm\":true},"
			   "\"mllm\":{\"vendor\":\"openai_gpt_live\","
			   "\"api_key\":\"k\"}"));
}

static void
uids_of_avatars(void **state)
{
	static const char *const wrong[] = { "\"0\"", "\"4294967296\"",
		"\"avatar\"", "\"-1\"", "\"1.0\"", "\" 1\"", "\"01\"", "7" };
	struct json *body = parse(GOOD_AND(AVATAR_GOOD));

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct told told;

		put(body, "properties.avatar.params.agora_uid",
		    parse(wrong[i]));
		told = check(body);
		assert_int_equal(told.count, 1);
		assert_true(told.finding[0].certain);
		assert_string_equal(told.finding[0].text,
		    "properties.avatar.params.agora_uid must be a string of "
		    "digits, \"1\" to \"4294967295\" (docs.agora.io/en/"
		    "api-reference/api-ref/conversational-ai/join)");
	}
	put(body, "properties.avatar.params.agora_uid",
	    parse("\"4294967295\""));
	assert_int_equal(check(body).count, 0);
	json_free(body);
}

#define LIVEAVATAR                                                             \
	"\"avatar\":{\"enable\":true,\"vendor\":\"liveavatar\",\"params\":"    \
	"{\"api_key\":\"k\",\"quality\":\"high\",\"agora_uid\":\"7\"}}"
#define AKOOL                                                                  \
	"\"avatar\":{\"enable\":true,\"vendor\":\"akool\",\"params\":"         \
	"{\"api_key\":\"k\",\"avatar_id\":\"a\",\"agora_uid\":\"7\"}}"

/* A body with this avatar, and a tts of ${vendor} with ${params}. */
static struct json *
speaking(const char *avatar, const char *vendor, const char *params)
{
	char text[2048];

	snprintf(text, sizeof(text),
	    "{\"pipeline_id\":\"p\",\"properties\":{%s,\"tts\":{"
	    "\"vendor\":\"%s\",\"params\":%s}}}",
	    avatar, vendor, params);
	return parse(text);
}

/* Whether the rate fits: 1 yes, 0 perhaps not, -1 no. */
static int
fits(const char *avatar, const char *vendor, const char *params)
{
	struct json *body = speaking(avatar, vendor, params);
	struct told told = check(body);

	json_free(body);
	assert_true(told.count <= 1);
	if (told.count == 0)
		return 1;
	assert_non_null(strstr(told.finding[0].text, "properties.tts"));
	assert_non_null(strstr(told.finding[0].text,
	    strcmp(avatar, AKOOL) == 0 ? "16000" : "24000"));
	return told.finding[0].certain ? -1 : 0;
}

static void
a_rate_that_is_stated(void **state)
{
	static const struct {
		const char *vendor, *params; /* with room for the rate */
	} speeches[] = {
		{ "cartesia", "{\"output_format\":{\"sample_rate\":%s}}" },
		{ "elevenlabs", "{\"sample_rate\":%s}" },
		{ "google", "{\"AudioConfig\":{\"sample_rate_hertz\":%s}}" },
		{ "minimax", "{\"audio_setting\":{\"sample_rate\":%s}}" },
		{ "microsoft", "{\"sample_rate\":%s}" },
		{ "generic_http", "{\"sample_rate\":%s}" },
		{ "deepgram", "{\"sample_rate\":%s}" },
		{ "murf", "{\"sample_rate\":%s}" },
		{ "gradium", "{\"sample_rate\":%s}" },
		{ "sarvam", "{\"sample_rate\":%s}" },
		{ "xai", "{\"sample_rate\":%s}" },
		{ "smallestai", "{\"sample_rate\":%s}" },
		{ "cosyvoice", "{\"sample_rate\":%s}" },
	};
	char low[PATH_SIZE], high[PATH_SIZE];

	(void)state;
	for (size_t i = 0; i < sizeof(speeches) / sizeof(speeches[0]); i++) {
		const char *vendor = speeches[i].vendor;
		const char *params = speeches[i].params;
		size_t start = (size_t)(strchr(params, '%') - params);

		snprintf(low, sizeof(low), "%s", params);
		memcpy(low + start, "16000", 5);
		snprintf(low + start + 5, sizeof(low) - start - 5, "%s",
		    params + start + 2);
		snprintf(high, sizeof(high), "%s", low);
		memcpy(high + start, "24000", 5);
		assert_int_equal(fits(LIVEAVATAR, vendor, high), 1);
		assert_int_equal(fits(LIVEAVATAR, vendor, low), -1);
		assert_int_equal(fits(AKOOL, vendor, low), 1);
		assert_int_equal(fits(AKOOL, vendor, high), -1);
	}
}

static void
a_rate_that_is_not_stated(void **state)
{
	static const struct {
		const char *vendor;
		int live, akool;
	} speeches[] = {
		{ "openai", 1, -1 },    /* always speaks at 24000 */
		{ "elevenlabs", 1, 0 }, /* by default */
		{ "microsoft", 1, 0 },
		{ "cartesia", 0, 1 }, /* 16000 by default */
		{ "generic_http", 0, 1 },
		{ "minimax", 0, 0 }, /* says nobody */
		{ "amazon", 0, 0 },
		{ "murf", 0, 0 },
		{ "google", 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(speeches) / sizeof(speeches[0]); i++) {
		assert_int_equal(fits(LIVEAVATAR, speeches[i].vendor, "{}"),
		    speeches[i].live);
		assert_int_equal(fits(AKOOL, speeches[i].vendor, "{}"),
		    speeches[i].akool);
	}
	assert_int_equal(fits(AVATAR_GOOD, "openai", "{}"), 1);
}

static void
the_sentence_about_a_rate(void **state)
{
	(void)state;
	only("{\"properties\":{" LLM_GOOD "," LIVEAVATAR
	     ",\"tts\":{\"vendor\":\"cartesia\",\"params\":{\"api_key\":\"k\","
	     "\"model_id\":\"sonic-2\",\"voice\":{\"mode\":\"id\",\"id\":\"v\"}"
	     ",\"output_format\":{\"container\":\"raw\","
	     "\"sample_rate\":16000}}}}}",
	    true,
	    "properties.tts.params.output_format.sample_rate must be 24000 "
	    "for avatar liveavatar (docs.agora.io/en/ai/models/avatar/heygen)");
}

/* ${member} is told about alone, and not with ${cure} beside it. */
static void
needs(const char *member, const char *cure, bool certain, const char *sentence)
{
	char text[2048];

	snprintf(text, sizeof(text), "{\"properties\":{" GOOD ",%s}}", member);
	only(text, certain, sentence);
	snprintf(text, sizeof(text), "{\"properties\":{" GOOD ",%s}}", cure);
	nothing_about(text);
}

static void
what_needs_a_feature(void **state)
{
	(void)state;
	needs("\"parameters\":{\"data_channel\":\"rtm\"}",
	    "\"parameters\":{\"data_channel\":\"rtm\"},"
	    "\"advanced_features\":{\"enable_rtm\":true}",
	    true,
	    "properties.parameters.data_channel = rtm needs "
	    "properties.advanced_features.enable_rtm = true (docs.");
	needs("\"parameters\":{\"enable_metrics\":true},"
	      "\"advanced_features\":{\"enable_rtm\":false}",
	    "\"parameters\":{\"enable_metrics\":false}", false,
	    "properties.parameters.enable_metrics = true needs");
	needs("\"parameters\":{\"enable_error_message\":true}",
	    "\"parameters\":{\"data_channel\":\"datastream\"}", false,
	    "properties.parameters.enable_error_message = true needs");
	needs("\"sal\":{\"sal_mode\":\"locking\"}",
	    "\"sal\":{\"sal_mode\":\"locking\"},"
	    "\"advanced_features\":{\"enable_sal\":true}",
	    true,
	    "properties.sal needs "
	    "properties.advanced_features.enable_sal = true");
}

static void
what_needs_another_member(void **state)
{
	(void)state;
	needs("\"geofence\":{\"area\":\"ASIA\",\"exclude_area\":\"JAPAN\"}",
	    "\"geofence\":{\"area\":\"GLOBAL\",\"exclude_area\":\"JAPAN\"}",
	    true,
	    "properties.geofence.exclude_area needs "
	    "properties.geofence.area = GLOBAL");
	needs("\"rtc\":{\"encryption_mode\":7}",
	    "\"rtc\":{\"encryption_mode\":6}", true,
	    "properties.rtc.encryption_mode = 7 needs "
	    "properties.rtc.encryption_salt");
	needs("\"rtc\":{\"encryption_mode\":8,\"encryption_salt\":\"\"}",
	    "\"rtc\":{\"encryption_mode\":8,\"encryption_salt\":\"c2FsdA==\"}",
	    true, "properties.rtc.encryption_mode = 8 needs");
	needs("\"parameters\":{\"silence_config\":{\"timeout_ms\":10000}}",
	    "\"parameters\":{\"silence_config\":{\"timeout_ms\":0}}", true,
	    "properties.parameters.silence_config.timeout_ms needs "
	    "properties.parameters.silence_config.content");
	needs("\"interruption\":{\"mode\":\"keywords\"}",
	    "\"interruption\":{\"mode\":\"keywords\",\"keywords_config\":"
	    "{\"trigger_keywords\":[\"stop\"]}}",
	    false,
	    "properties.interruption.mode = keywords needs "
	    "properties.interruption.keywords_config.trigger_keywords");
}

#define MANUAL(which)                                                          \
	"\"turn_detection\":{\"config\":{\"" which "\":{\"mode\":\"manual\"}}" \
	"}"

static void
turns_by_hand_need_rtm(void **state)
{
	(void)state;
	needs(MANUAL("start_of_speech") ",\"advanced_features\":"
					"{\"enable_rtm\":true}",
	    MANUAL("start_of_speech") ",\"advanced_features\":"
				      "{\"enable_rtm\":true},\"parameters\":"
				      "{\"data_channel\":\"rtm\"}",
	    true,
	    "properties.turn_detection.config.start_of_speech.mode = manual "
	    "needs properties.parameters.data_channel = rtm");
	needs(MANUAL("end_of_speech") ",\"advanced_features\":"
				      "{\"enable_rtm\":true}",
	    MANUAL("end_of_speech") ",\"advanced_features\":"
				    "{\"enable_rtm\":true},\"parameters\":"
				    "{\"data_channel\":\"rtm\"}",
	    true,
	    "properties.turn_detection.config.end_of_speech.mode = manual "
	    "needs");
	assert_int_equal(check_text(GOOD_AND(MANUAL("start_of_speech")))
			     .certain,
	    2);
	assert_int_equal(check_text(GOOD_AND(MANUAL("end_of_speech"))).certain,
	    2);
}

#define LLM_AND(members)                                                       \
	BODY(TTS_GOOD                                                          \
	    ",\"llm\":{\"url\":\"https://llm.example/v1\","                    \
	    "\"api_key\":\"k\",\"params\":{\"model\":\"m\"}," members "}")
#define LLM_AND_TOOLS(servers)                                                 \
	BODY(TTS_GOOD ",\"advanced_features\":{\"enable_tools\":true},"        \
		      "\"llm\":{\"url\":\"https://llm.example/v1\","           \
		      "\"api_key\":\"k\",\"params\":{\"model\":\"m\"},"        \
		      "\"mcp_servers\":" servers "}")
#define SERVER(name)                                                           \
	"{\"name\":\"" name "\",\"endpoint\":\"https://m.example\"}"

static void
tools_need_a_switch_and_names(void **state)
{
	(void)state;
	only(LLM_AND("\"mcp_servers\":[" SERVER("a") "]"), true,
	    "properties.llm.mcp_servers needs "
	    "properties.advanced_features.enable_tools = true");
	nothing_about(LLM_AND("\"mcp_servers\":[]"));
	nothing_about(LLM_AND_TOOLS("[" SERVER("a9Z") "," SERVER("b") "]"));
	only(LLM_AND_TOOLS("[" SERVER("a") "," SERVER("S3CRET name") "]"), true,
	    "properties.llm.mcp_servers[1].name must be a string of 1 to 48 "
	    "letters and digits");
	only(LLM_AND_TOOLS("[" SERVER("my-server.1") "]"), false,
	    "properties.llm.mcp_servers[0].name must be");
	only(LLM_AND_TOOLS("[{\"name\":\"a\"}]"), true,
	    "properties.llm.mcp_servers[0].endpoint is missing but required");
	only(LLM_AND_TOOLS("[1]"), true,
	    "properties.llm.mcp_servers must be an array of objects");
}

static void
a_greeting_from_a_file(void **state)
{
	(void)state;
	only(LLM_AND("\"greeting_audio_url\":\"https://a.example/b.mp3\""),
	    true,
	    "properties.llm.greeting_audio_url needs "
	    "properties.llm.greeting_message");
	nothing_about(LLM_AND("\"greeting_audio_url\":\"HTTP://a.example/b\","
			      "\"greeting_message\":\"Hello\""));
	only(LLM_AND("\"greeting_audio_url\":\"ftp://S3CRET\","
		     "\"greeting_message\":\"Hello\""),
	    true, "properties.llm.greeting_audio_url must be an http or https");
	only(LLM_AND("\"greeting_audio_url\":\"\""), true,
	    "properties.llm.greeting_audio_url must be an http or https");
}

static void
a_stored_agent_may_have_the_rest(void **state)
{
	(void)state;
	nothing_about("{\"pipeline_id\":\"p\",\"properties\":{}}");
	nothing_about("{\"pipeline_id\":\"p\",\"properties\":{\"parameters\":"
		      "{\"data_channel\":\"rtm\"},\"tts\":{\"vendor\":"
		      "\"elevenlabs\",\"params\":{}}}}");
	only("{\"pipeline_id\":\"p\",\"properties\":{\"parameters\":"
	     "{\"data_channel\":\"rtm\"},\"advanced_features\":"
	     "{\"enable_rtm\":false}}}",
	    true, "properties.parameters.data_channel = rtm needs");
	nothing_about("{\"pipeline_id\":\"p\",\"properties\":{\"avatar\":"
		      "{\"params\":{\"agora_uid\":\"7\"}}}}");
	nothing_about("{\"pipeline_id\":\"p\",\"properties\":{\"mllm\":"
		      "{\"greeting_message\":\"Hello\"}}}");
	only("{\"pipeline_id\":\"p\",\"properties\":{\"llm\":"
	     "{\"credential_mode\":\"managed\",\"api_key\":\"k\"}}}",
	    false, "properties.llm.api_key is not used");
	only("{\"pipeline_id\":\"p\",\"properties\":{\"idle_timeout\":1}}",
	    true, "properties.idle_timeout must be 0 or from 5 to 259200");
}

static void
speech_recognition_has_a_default(void **state)
{
	(void)state;
	nothing_about(BODY(LLM_GOOD "," TTS_GOOD));
	nothing_about(BODY(LLM_GOOD "," TTS_GOOD ",\"asr\":{}"));
	only(BODY(LLM_GOOD "," TTS_GOOD ",\"asr\":{\"keywords\":[1]}"), true,
	    "properties.asr.keywords must be an array of strings "
	    "(docs.agora.io/en/ai/models/asr/ares)");
}

#define UNKNOWN_PRESET                                                         \
	"preset has one that is not documented; is it spelt right? "           \
	"(docs.agora.io/en/ai/build/custom-model-integration/presets)"

static void
a_preset_covers_its_category_only(void **state)
{
	struct told told;

	(void)state;
	nothing_about("{\"preset\":\"openai_gpt_5_nano\",\"properties\":{"
		      "\"llm\":{}," TTS_GOOD "}}");
	only("{\"preset\":\"openai_tts_1\",\"properties\":{" LLM_GOOD
	     ",\"tts\":{\"params\":{\"voice\":\"coral\"}},"
	     "\"asr\":{\"vendor\":\"deepgram\"}}}",
	    true,
	    "properties.asr.params.key is missing but required for "
	    "deepgram");
	told = check_text(
	    "{\"preset\":\"unheard_of\",\"properties\":{" TTS_GOOD
	    ",\"llm\":{\"api_key\":\"k\",\"params\":{\"model\":\"m\"}}}}");
	assert_int_equal(told.count, 2);
	assert_int_equal(told.certain, 1);
	assert_true(starts(told.finding[0].text,
	    "properties.llm.url is missing but required"));
	assert_true(starts(told.finding[1].text, UNKNOWN_PRESET));
}

/* Every block is managed, or good as it is, with such a list. */
static void
only_preset(const char *presets, bool known)
{
	char text[1024];

	snprintf(text, sizeof(text),
	    "{\"preset\":\"%s\",\"properties\":{" ASR_GOOD
	    ",\"llm\":{\"url\":\"https://llm.example/v1\",\"params\":"
	    "{\"model\":\"m\"}}," TTS_GOOD "}}",
	    presets);
	if (known)
		nothing_about(text);
	else
		only(text, false, UNKNOWN_PRESET);
}

static void
presets_that_are_not_known(void **state)
{
	(void)state;
	only_preset("openai_gpt_5_mini", true);
	only_preset(" deepgram_nova_3 , openai_gpt_5_mini,", true);
	only_preset("Deepgram_Nova_3,,OpenAI_GPT_5_mini", true);
	only_preset("openai_gpt_99", true); /* not known yet */
	only_preset("S3CRET,openai_gpt_5_mini", false);
	only_preset("deepgram_nova_3,S3CRET, openai_gpt_5_mini", false);
	only_preset("openai_gpt_5_mini, S3CRET", false);
	only_preset("openai_gpt_5_mini,deepgram", false);
	only_preset("openai_gpt_5_mini,my_deepgram_nova_3", false);
	nothing_about("{\"preset\":\"\",\"properties\":{" GOOD "}}");
	nothing_about("{\"preset\":\" , \",\"properties\":{" GOOD "}}");
	only("{\"preset\":\"S3CRET\",\"pipeline_id\":\"p\","
	     "\"properties\":{}}",
	    false, UNKNOWN_PRESET);
}

/* The key ${member} is told about, but an empty one is not, nor none. */
static void
useless_key(const char *text, const char *member)
{
	char path[PATH_SIZE];
	struct json *body = parse(text);
	struct told told = check(body);

	assert_int_equal(told.count, 0);
	snprintf(path, sizeof(path), "properties.%s", member);
	put(body, path, parse("\"\""));
	told = check(body);
	assert_int_equal(told.count, 0);
	put(body, path, parse("\"S3CRET\""));
	told = check(body);
	assert_int_equal(told.count, 1);
	assert_int_equal(told.certain, 0);
	assert_true(starts(told.finding[0].text, path));
	assert_true(starts(told.finding[0].text + strlen(path),
	    " is not used: a preset or credential_mode has Agora pay (docs."));
	json_free(body);
}

static void
a_key_that_a_managed_block_does_not_use(void **state)
{
	static const char managed[] =
	    BODY("\"asr\":{\"vendor\":\"deepgram\","
		 "\"credential_mode\":\"managed\"},"
		 "\"llm\":{\"credential_mode\":\"managed\"},"
		 "\"tts\":{\"vendor\":\"minimax\","
		 "\"credential_mode\":\"managed\","
		 "\"params\":{\"model\":\"speech-2.6-turbo\"}}");
	static const char preset[] =
	    "{\"preset\":\"deepgram_nova_3, openai_gpt_5_mini,openai_tts_1\","
	    "\"properties\":{\"asr\":{},\"llm\":{},\"tts\":{}}}";
	static const char *const keys[] = { "asr.params.key",
		"asr.params.api_key", "llm.api_key", "tts.params.key",
		"tts.params.api_key" };

	(void)state;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		useless_key(managed, keys[i]);
		useless_key(preset, keys[i]);
	}
	/* a key of another block is not touched by it */
	nothing_about("{\"preset\":\"deepgram_nova_3,openai_gpt_5_mini\","
		      "\"properties\":{\"llm\":{}," TTS_GOOD "}}");
	nothing_about(BODY(TTS_GOOD
	    ",\"llm\":{\"vendor\":\"openai\",\"credential_mode\":\"byok\","
	    "\"url\":\"https://llm.example/v1\",\"api_key\":\"k\","
	    "\"params\":{\"model\":\"m\"}}"));
	/* nor is one that is not looked at */
	nothing_about("{\"preset\":\"openai_gpt_5_mini\",\"properties\":{"
		      "\"llm\":{\"api_key\":\"k\"}," MLLM_GOOD "}}");
}

static void
members_that_nobody_knows(void **state)
{
	(void)state;
	nothing_about(GOOD_AND("\"brand_new\":{\"x\":1},\"labels\":"
			       "{\"campaign\":\"spring\"},"
			       "\"turn_detection\":{\"brand_new\":7}"));
	only(GOOD_AND("\"labels\":{\"a\":\"b\",\"c\":1}"), false,
	    "properties.labels must be an object of strings");
}

static void
the_longest_sentences_keep_the_path(void **state)
{
	struct told told = check_text(GOOD_AND(
	    "\"turn_detection\":{\"config\":{\"start_of_speech\":{\"mode\":"
	    "\"vad\",\"vad_config\":{\"speaking_interrupt_duration_ms\":"
	    "5000}}}}"));

	(void)state;
	assert_int_equal(told.count, 1);
	assert_string_equal(told.finding[0].text,
	    "properties.turn_detection.config.start_of_speech.vad_config."
	    "speaking_interrupt_duration_ms should be from 120 to 1200 "
	    "(docs.agora.io/en/api-reference/api-ref/conversational-ai/join)");
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_line_takes_a_sample),
		cmocka_unit_test(every_needed_member_is_missed),
		cmocka_unit_test(another_member_will_do),
		cmocka_unit_test(a_managed_block_needs_no_key),
		cmocka_unit_test(every_line_refuses_other_kinds),
		cmocka_unit_test(every_range_has_its_ends),
		cmocka_unit_test(every_length_has_its_end),
		cmocka_unit_test(every_choice_is_taken_and_no_other),
		cmocka_unit_test(the_default_agent_is_fine),
		cmocka_unit_test(a_model_behind_a_style),
		cmocka_unit_test(a_vendor_that_is_not_known),
		cmocka_unit_test(a_body_without_properties),
		cmocka_unit_test(a_model_that_speaks_stands_alone),
		cmocka_unit_test(an_avatar_that_is_switched_off),
		cmocka_unit_test(a_block_that_nobody_switched_on),
		cmocka_unit_test(uids_of_avatars),
		cmocka_unit_test(a_rate_that_is_stated),
		cmocka_unit_test(a_rate_that_is_not_stated),
		cmocka_unit_test(the_sentence_about_a_rate),
		cmocka_unit_test(what_needs_a_feature),
		cmocka_unit_test(what_needs_another_member),
		cmocka_unit_test(turns_by_hand_need_rtm),
		cmocka_unit_test(tools_need_a_switch_and_names),
		cmocka_unit_test(a_greeting_from_a_file),
		cmocka_unit_test(a_stored_agent_may_have_the_rest),
		cmocka_unit_test(speech_recognition_has_a_default),
		cmocka_unit_test(a_preset_covers_its_category_only),
		cmocka_unit_test(presets_that_are_not_known),
		cmocka_unit_test(a_key_that_a_managed_block_does_not_use),
		cmocka_unit_test(members_that_nobody_knows),
		cmocka_unit_test(the_longest_sentences_keep_the_path),
	};

	return cmocka_run_group_tests_name("agent_rules", tests, NULL, NULL);
}
