/*
 * What Agora would refuse or silently ignore in a join body: a table of the
 * members that it documents, and a few sentences about two members together.
 */
#ifndef COMMON_AGENT_RULES_H
#define COMMON_AGENT_RULES_H

#include <stdbool.h>
#include <stddef.h>

struct json;

#define AGENT_RULES_SENTENCE_SIZE 240 /* with the NUL; fits a struct fail */

/*
 * Judges ${body}, the join body without the request's own members:
 * {preset?, pipeline_id?, properties}, models already turned into presets (or
 * credential_mode). Calls ${tell} with one sentence per finding. It names the
 * member by its full path ("properties.tts.params.voice_id"), says what is
 * wrong and how it ought to be, and ends with the documentation's page where
 * that fits. ${certain}: Agora refuses or ignores it for certain, else it is
 * only doubtful. Members that the table does not know are never a finding.
 * No sentence shows a value of the body: it may be a key that a variable stood
 * for. Returns the number of certain findings.
 */
size_t agent_rules_check(const struct json *body,
    void (*tell)(void *arg, bool certain, const char *text), void *arg);

/* What a member must be. */
enum rule_kind {
	RULE_ANY,
	RULE_TEXT,
	RULE_INT, /* 1.0 is none */
	RULE_NUMBER,
	RULE_BOOL,
	RULE_OBJECT,
	RULE_OBJECTS,  /* an array of them */
	RULE_TEXTS,    /* an array of strings, ->max of them */
	RULE_INTS,     /* an array of integers, each in ->min..->max */
	RULE_TEXT_MAP, /* an object of strings, ->max of them */
	RULE_UID,      /* a text of digits, 1..4294967295 */
	RULE_URL,      /* http or https */
	RULE_NAME,     /* of an MCP server */
};

enum rule_need {
	RULE_OPTIONAL,
	RULE_WANTED, /* the documentation asks for it, but not everywhere */
	RULE_NEEDED,
};

/* A line of the table. */
struct agent_rule {
	const char *block;  /* "tts", below properties; "": properties itself */
	const char *vendor; /* only for this one; NULL: for all */
	bool style; /* ->vendor is a word for llm.style, not llm.vendor */
	const char *member; /* below the block: "params.key"; "": the block */
	enum rule_kind kind;

	enum rule_need need;
	bool own; /* needed only when Agora does not manage the block */
	const char *instead; /* another member that will do, or NULL */

	double min, max; /* equal: any number */
	bool open;       /* ->min and ->max themselves are outside */
	bool has_other;  /* ->other is fine too */
	double other;
	const char *choices; /* "low, medium, high", or NULL */
	bool sure; /* what is outside ->min..->max or ->choices is refused */

	const char *page; /* of the documentation */
};

/* Line ${i} of the table, NULL past its end. */
const struct agent_rule *agent_rules_at(size_t i);

#endif
