/*
 * What agent_rules.c, agent_rules_value.c and agent_rules_pairs.c share.
 */
#ifndef COMMON_AGENT_RULES_INTERNAL_H
#define COMMON_AGENT_RULES_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>

struct agent_rule;
struct json;

#define AGENT_RULES_NAME_SIZE 160 /* "properties.", a block and a member */

/* Where the documentation is, and its page about the join body. */
#define AGENT_RULES_DOCS "docs.agora.io/en/"
#define AGENT_RULES_JOIN                                                       \
	AGENT_RULES_DOCS "api-reference/api-ref/conversational-ai/join"

/* A body, and whom to tell about it. */
struct agent_judge {
	const struct json *body;
	const struct json *properties;
	bool pipeline; /* a stored agent may have what is missing here */
	bool mllm;     /* asr, llm and tts are not used */
	bool avatar;   /* is not switched off */

	void (*tell)(void *arg, bool certain, const char *text);
	void *arg;
	size_t certain; /* findings so far */
};

/* A member of the body that a rule is about. */
struct agent_finding {
	struct agent_judge *judge;
	const struct agent_rule *rule;
	const struct json *value; /* NULL: it is absent */
	char name[AGENT_RULES_NAME_SIZE];
};

/* Tells the formatted sentence, and ${page} if there is room for it. */
void agent_rules_say(struct agent_judge *judge, bool certain, const char *page,
    const char *format, ...) __attribute__((format(printf, 4, 5)));

/*
 * Whether Agora looks at all at ${member}, a path below properties: not at
 * asr, llm and tts beside an enabled mllm, at no mllm and no avatar that are
 * switched off.
 */
bool agent_rules_used(const struct agent_judge *judge, const char *member);

/* Whether Agora brings the model of ${block}, and the key for it. */
bool agent_rules_managed(const struct agent_judge *judge, const char *block);

/* The text of the string at ${path}, borrowed; NULL if it is none. */
const char *agent_rules_text(const struct json *object, const char *path);

/* The number of elements of an array or members of an object, else 0. */
size_t agent_rules_count(const struct json *value);

/*
 * Tells what is wrong with the value; it is not NULL, and its text is ${text},
 * NULL if it is no string or has a NUL inside.
 */
void agent_rules_value(const struct agent_finding *finding, const char *text);

/* The findings that are about two members. */
void agent_rules_pairs(struct agent_judge *judge);

#endif
