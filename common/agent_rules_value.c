/*
 * Whether a member's value is what its rule takes.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/agent_rules.h"
#include "common/agent_rules_internal.h"
#include "common/ascii.h"
#include "common/json.h"
#include "common/num.h"

/* ---- what is said -------------------------------------------------------- */

static const char *
kind_words(enum rule_kind kind)
{
	switch (kind) {
	case RULE_TEXT:
		return "a string";
	case RULE_INT:
		return "a whole number";
	case RULE_NUMBER:
		return "a number";
	case RULE_BOOL:
		return "true or false";
	case RULE_OBJECT:
		return "an object";
	case RULE_OBJECTS:
		return "an array of objects";
	case RULE_TEXTS:
		return "an array of strings";
	case RULE_INTS:
		return "an array of whole numbers";
	case RULE_TEXT_MAP:
		return "an object of strings";
	case RULE_UID:
		return "a string of digits, \"1\" to \"4294967295\"";
	case RULE_URL:
		return "an http or https URL of at most 2048 bytes";
	case RULE_NAME:
		return "a string of 1 to 48 letters and digits";
	case RULE_ANY:
	default:
		return "there";
	}
}

static void
say_kind(const struct agent_finding *finding, bool certain)
{
	agent_rules_say(finding->judge, certain, finding->rule->page,
	    "%s must be %s", finding->name, kind_words(finding->rule->kind));
}

static void
say_range(const struct agent_finding *finding)
{
	const struct agent_rule *rule = finding->rule;
	const char *verb = rule->sure ? "must" : "should";
	char other[48] = "";

	if (rule->has_other)
		snprintf(other, sizeof(other), "%.10g or ", rule->other);
	if (rule->open)
		agent_rules_say(finding->judge, rule->sure, rule->page,
		    "%s %s be above %.10g and below %.10g", finding->name, verb,
		    rule->min, rule->max);
	else
		agent_rules_say(finding->judge, rule->sure, rule->page,
		    "%s %s be %sfrom %.10g to %.10g", finding->name, verb,
		    other, rule->min, rule->max);
}

static void
say_choices(const struct agent_finding *finding)
{
	const struct agent_rule *rule = finding->rule;

	agent_rules_say(finding->judge, rule->sure, rule->page,
	    "%s %s be one of: %s", finding->name,
	    rule->sure ? "must" : "should", rule->choices);
}

static void
say_count(const struct agent_finding *finding)
{
	const struct agent_rule *rule = finding->rule;

	agent_rules_say(finding->judge, rule->sure, rule->page,
	    "%s must have at most %.0f entries", finding->name, rule->max);
}

/* ---- what is looked at --------------------------------------------------- */

/* ${word} is in ${list}, whose words are parted by comma and space. */
static bool
listed(const char *list, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = list; at != NULL; at = strchr(at, ',')) {
		at += strspn(at, ", ");
		if (strcspn(at, ",") == len && strncmp(at, word, len) == 0)
			return true;
	}
	return false;
}

static bool
in_range(const struct agent_rule *rule, double number)
{
	if (!(rule->min < rule->max))
		return true;
	if (rule->has_other && number >= rule->other && number <= rule->other)
		return true;
	if (rule->open)
		return number > rule->min && number < rule->max;
	return number >= rule->min && number <= rule->max;
}

static void
judge_number(const struct agent_finding *finding)
{
	const struct agent_rule *rule = finding->rule;
	char text[48];
	double number = 0;

	json_number(finding->value, &number);
	if (!in_range(rule, number))
		say_range(finding);
	snprintf(text, sizeof(text), "%.10g", number);
	if (rule->choices != NULL && !listed(rule->choices, text))
		say_choices(finding);
}

/* Every element or member of ${value} is of ${kind}. */
static bool
all_of(const struct json *value, enum json_kind kind)
{
	struct json_iter it = { .object = value };

	for (size_t i = 0; i < json_count(value); i++) {
		if (json_kind(json_item(value, i)) != kind)
			return false;
	}
	while (json_next(&it)) {
		if (json_kind(it.value) != kind)
			return false;
	}
	return true;
}

size_t
agent_rules_count(const struct json *value)
{
	struct json_iter it = { .object = value };
	size_t count = json_count(value);

	while (json_next(&it))
		count++;
	return count;
}

static void
judge_integers(const struct agent_finding *finding)
{
	for (size_t i = 0; i < json_count(finding->value); i++) {
		double number = 0;

		json_number(json_item(finding->value, i), &number);
		if (!in_range(finding->rule, number)) {
			say_range(finding);
			return;
		}
	}
}

static bool
is_url(const char *text, double max)
{
	bool http = strncasecmp(text, "http://", 7) == 0 ||
	    strncasecmp(text, "https://", 8) == 0;

	return http && (double)strlen(text) <= max;
}

/*
 * The English documentation allows letters and digits, the Chinese one point
 * and dash as well.
 */
static void
judge_name(const struct agent_finding *finding, const char *text)
{
	bool certain = strlen(text) > (size_t)finding->rule->max;
	bool good = !certain;

	for (const char *c = text; *c != '\0'; c++) {
		good = good && ascii_is_alnum(*c);
		certain =
		    certain || (!ascii_is_alnum(*c) && *c != '.' && *c != '-');
	}
	if (!good)
		say_kind(finding, certain);
}

static void
judge_text(const struct agent_finding *finding, const char *text)
{
	const struct agent_rule *rule = finding->rule;
	int64_t uid;

	switch (rule->kind) {
	case RULE_UID:
		if (num_parse(text, 1, UINT32_MAX, &uid) == -1)
			say_kind(finding, true);
		break;
	case RULE_URL:
		if (!is_url(text, rule->max))
			say_kind(finding, rule->sure);
		break;
	case RULE_NAME:
		judge_name(finding, text);
		break;
	case RULE_ANY:
	case RULE_TEXT:
	case RULE_INT:
	case RULE_NUMBER:
	case RULE_BOOL:
	case RULE_OBJECT:
	case RULE_OBJECTS:
	case RULE_TEXTS:
	case RULE_INTS:
	case RULE_TEXT_MAP:
	default:
		if (rule->choices != NULL && !listed(rule->choices, text))
			say_choices(finding);
	}
}

static void
judge_container(const struct agent_finding *finding)
{
	const struct agent_rule *rule = finding->rule;
	const struct json *value = finding->value;
	bool map = rule->kind == RULE_TEXT_MAP;
	enum json_kind kind = rule->kind == RULE_OBJECTS ? JSON_OBJECT :
	    rule->kind == RULE_INTS                      ? JSON_INT :
							   JSON_TEXT;

	if (!all_of(value, kind))
		say_kind(finding, !map || rule->sure);
	else if (rule->kind == RULE_INTS)
		judge_integers(finding);
	else if (rule->min < rule->max &&
	    (double)agent_rules_count(value) > rule->max)
		say_count(finding);
}

/* The kind of JSON value that a rule of ${kind} takes. */
static enum json_kind
json_kind_for(enum rule_kind kind)
{
	switch (kind) {
	case RULE_TEXT:
	case RULE_UID:
	case RULE_URL:
	case RULE_NAME:
		return JSON_TEXT;
	case RULE_INT:
	case RULE_NUMBER:
		return JSON_INT;
	case RULE_BOOL:
		return JSON_BOOL;
	case RULE_OBJECT:
	case RULE_TEXT_MAP:
		return JSON_OBJECT;
	case RULE_OBJECTS:
	case RULE_TEXTS:
	case RULE_INTS:
		return JSON_ARRAY;
	case RULE_ANY:
	default:
		return JSON_NONE;
	}
}

void
agent_rules_value(const struct agent_finding *finding, const char *text)
{
	enum rule_kind rule = finding->rule->kind;
	enum json_kind wanted = json_kind_for(rule);
	enum json_kind kind = json_kind(finding->value);

	if (rule == RULE_NUMBER && kind == JSON_DOUBLE)
		wanted = JSON_DOUBLE;
	if (wanted == JSON_NONE)
		return;
	if (kind != wanted || (kind == JSON_TEXT && text == NULL))
		say_kind(finding, true); /* a NUL is in no good text */
	else if (kind == JSON_INT || kind == JSON_DOUBLE)
		judge_number(finding);
	else if (kind == JSON_TEXT)
		judge_text(finding, text);
	else if (rule != RULE_BOOL && rule != RULE_OBJECT)
		judge_container(finding);
}
