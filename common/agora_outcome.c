#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/agora_outcome.h"
#include "common/ascii.h"
#include "common/fail.h"
#include "common/http.h"
#include "common/json.h"

#define CLOCK_SKEW_S 60      /* from here on worth a hint */
#define RETRY_AFTER_S 5      /* where nothing says when */
#define RETRY_AFTER_MAX_S 60 /* a client is not sent away for longer */

int
agora_id_check(const char *id, struct fail *fail)
{
	size_t len;

	for (len = 0; id[len] != '\0'; len++)
		if (!ascii_is_alnum(id[len]) && strchr("._:-", id[len]) == NULL)
			break;
	if (id[len] != '\0' || len == 0 || len >= AGORA_ID_SIZE ||
	    strcmp(id, ".") == 0 || strcmp(id, "..") == 0)
		return fail_set(fail, FAIL_BAD_INPUT,
		    "agentId must be 1 to 128 of A-Z a-z 0-9 . _ : -");
	return 0;
}

/* Reads the first of the members ${keys} that is a legal agent id. */
static void
read_agent_id(const struct json *json, const char *const keys[],
    char id[static AGORA_ID_SIZE])
{
	for (; *keys != NULL && id[0] == '\0'; keys++) {
		const char *text = json_text(json, *keys);

		if (text != NULL && agora_id_check(text, NULL) == 0)
			memcpy(id, text, strlen(text) + 1);
	}
}

/* (Agora REST, the states of an agent.) */
static enum agora_life
life_of(const char *status)
{
	static const struct {
		const char *word;
		enum agora_life life;
	} lives[] = {
		{ "STARTING", AGORA_ALIVE },
		{ "RUNNING", AGORA_ALIVE },
		{ "RECOVERING", AGORA_ALIVE },
		{ "STOPPING", AGORA_DEAD },
		{ "STOPPED", AGORA_DEAD },
		{ "FAILED", AGORA_DEAD },
	};
	size_t i;

	for (i = 0; status != NULL && i < sizeof(lives) / sizeof(lives[0]); i++)
		if (strcmp(lives[i].word, status) == 0)
			return lives[i].life;
	return AGORA_LIFE_UNSAID;
}

/* A word for a person to read, and so nothing but letters. */
static void
read_word(const char *text, char *word, size_t size)
{
	size_t len = 0;

	while (text != NULL && ascii_is_alpha(text[len]))
		len++;
	if (len > 0 && text[len] == '\0' && len < size)
		memcpy(word, text, len + 1);
}

static void
read_agent(const struct json *json, struct agora_said *said)
{
	const char *name = json_text(json, "name");
	const char *status = json_text(json, "status");

	said->life = life_of(status);
	read_word(status, said->status, sizeof(said->status));
	said->start_ts = json_int(json, "start_ts", 0);
	if (name != NULL)
		snprintf(said->name, sizeof(said->name), "%s", name);
}

/* Absent, null or empty on the last page. */
static void
read_cursor(const struct json *json, struct agora_said *said)
{
	const struct json *meta = json_member(json, "meta");
	const char *cursor = json_text(meta, "cursor");

	if (cursor != NULL && strlen(cursor) < sizeof(said->cursor))
		memcpy(said->cursor, cursor, strlen(cursor) + 1);
	else if (json_member(meta, "cursor") != NULL)
		said->cut = true;
}

/* One whose id is not legal counts, but cannot be named. */
static void
read_list(const struct json *json, struct agora_said *said)
{
	static const char *const keys[] = { "agent_id", NULL };
	const struct json *list =
	    json_member(json_member(json, "data"), "list");
	const struct json *item;

	said->is_list = json_kind(list) == JSON_ARRAY;
	while ((item = json_item(list, said->listed)) != NULL &&
	    said->listed < AGORA_LISTED_MAX) {
		struct agora_listed *agent = &said->agent[said->listed++];

		read_agent_id(item, keys, agent->agent_id);
		agent->start_ts = json_int(item, "start_ts", 0);
	}
	said->cut = item != NULL;
	read_cursor(json, said);
}

void
agora_read(const struct http_result *result, struct agora_said *said)
{
	static const char quitting[] =
	    "already in the process of shutting down";
	static const char *const keys[] = { "agent_id", "taskId", NULL };
	struct json *json;
	const char *detail;

	*said = (struct agora_said){ 0 };
	if (result->outcome != HTTP_ANSWERED)
		return;
	/* NULL, and so nothing, when a gateway answers HTML or no body. */
	json = json_parse(result->body, result->body_len, NULL);
	detail = json_text(json, "detail");
	read_agent_id(json, keys, said->agent_id);
	read_agent(json, said);
	read_list(json, said);
	read_word(json_text(json, "reason"), said->reason,
	    sizeof(said->reason));
	said->from_service =
	    detail != NULL || json_text(json, "reason") != NULL;
	said->shutting_down =
	    detail != NULL && strstr(detail, quitting) != NULL;
	json_free(json);
}

static enum agora_class
classify_status(enum agora_call call, const struct http_result *result,
    const struct agora_said *said)
{
	switch (result->status) {
	case 200:
		/* Without an id an agent may run that nobody can stop. */
		return call == AGORA_JOIN && said->agent_id[0] == '\0' ?
		    AGORA_UNKNOWN :
		    AGORA_DONE;
	case 400:
		return call == AGORA_LEAVE && said->shutting_down ? AGORA_DONE :
								    AGORA_FINAL;
	case 404:
		/* Of a leave that was sent twice, the first one worked. */
		return call == AGORA_LEAVE && result->resent &&
			said->from_service ?
		    AGORA_DONE :
		    AGORA_FINAL;
	case 401:
	case 403:
	case 405:
	case 413:
	case 422:
		return AGORA_FINAL;
	case 429:
	case 503:
		return AGORA_LATER;
	default:
		/* Redirects, never followed, were not carried out. */
		return result->status >= 300 && result->status < 400 ?
		    AGORA_FINAL :
		    AGORA_UNKNOWN;
	}
}

enum agora_class
agora_classify(enum agora_call call, const struct http_result *result,
    const struct agora_said *said)
{
	enum agora_class class;

	switch (result->outcome) {
	case HTTP_ANSWERED:
		class = classify_status(call, result, said);
		/* What the second of two joins met says nothing of the first. */
		if (call == AGORA_JOIN && result->resent && class != AGORA_DONE)
			return AGORA_UNKNOWN;
		return class;
	case HTTP_NOT_SENT:
	case HTTP_NO_MEMORY:
		return AGORA_NOT_PROCESSED;
	case HTTP_UNTRUSTED:
		return AGORA_FINAL;
	case HTTP_BROKEN:
	case HTTP_TOO_LARGE:
	default:
		return AGORA_UNKNOWN;
	}
}

/* The word for the call in a text for the client. */
static const char *
noun_of(enum agora_call call)
{
	static const char *const nouns[] = {
		[AGORA_JOIN] = "start",
		[AGORA_LEAVE] = "stop",
		[AGORA_GET] = "look at an agent",
		[AGORA_LIST] = "list of agents",
	};

	return nouns[call];
}

#define QUOTA_ADVICE                                                           \
	"the project's quota is used up; stop agents or ask Agora for more"

/*
 * What to do about it: the first row whose reason (if it has one) and status
 * (if it has one) are the answer's. The reasons are those of Agora's page of
 * status codes.
 */
static const struct advice {
	const char *reason;
	const char *text;
	int status;
	bool join_only;
} advices[] = {
	{ "ServiceNotEnabled",
	    "enable Conversational AI for this App ID in the Agora console", 0,
	    false },
	{ "AccountSuspended", "the account is suspended, see the Agora console",
	    0, false },
	{ "ResourceQuotaLimitExceeded", QUOTA_ADVICE, 0, false },
	{ "ConcurrencyLimitExceeded",
	    "too many agents run; stop some or ask Agora for more", 0, false },
	{ NULL, "check APP_ID and APP_CERTIFICATE", 401, false },
	{ NULL, "check APP_ID and APP_CERTIFICATE", 403, false },
	{ NULL, "an agent of this name runs already", 409, false },
	{ NULL, QUOTA_ADVICE, 422, false },
	{ NULL, "too many calls or agents; try again later", 429, false },
	{ NULL, "check the agent's settings and vendor keys", 400, true },
	{ NULL, "try again in a moment", 503, false },
	{ NULL, "try again in a moment", 504, false },
};

static const char *
find_advice(enum agora_call call, const char *reason, int status)
{
	size_t i;

	for (i = 0; i < sizeof(advices) / sizeof(advices[0]); i++) {
		const struct advice *advice = &advices[i];

		if (advice->join_only && call != AGORA_JOIN)
			continue;
		if (advice->reason != NULL &&
		    strcasecmp(advice->reason, reason) != 0)
			continue;
		if (advice->status == 0 || advice->status == status)
			return advice->text;
	}
	return NULL;
}

/* Tokens carry our time: a wrong clock looks like wrong credentials. */
static int64_t
clock_skew(const struct agora_asked *asked, const struct http_result *result)
{
	int64_t skew;

	if (result->date == -1)
		return 0;
	skew = asked->now - result->date;
	return skew > CLOCK_SKEW_S || skew < -CLOCK_SKEW_S ? skew : 0;
}

/* ${did} is "refused the start" or the like, ${reason} Agora's word or "". */
static void
explain_status(const struct agora_asked *asked,
    const struct http_result *result, const char *did, const char *reason,
    struct fail *fail)
{
	const char *advice = find_advice(asked->call, reason, result->status);
	int64_t skew = clock_skew(asked, result);
	const char *colon = reason[0] == '\0' ? "" : ": ";

	if ((result->status == 401 || result->status == 403) && skew != 0)
		fail_set(fail, FAIL_UPSTREAM,
		    "Agora %s%s%s (HTTP %d); the "
		    "clock of this server is %" PRId64 " s %s Agora's, set it",
		    did, colon, reason, result->status, skew > 0 ? skew : -skew,
		    skew > 0 ? "ahead of" : "behind");
	else
		fail_set(fail, FAIL_UPSTREAM, "Agora %s%s%s (HTTP %d)%s%s", did,
		    colon, reason, result->status, advice == NULL ? "" : "; ",
		    advice == NULL ? "" : advice);
}

static void
explain_404(const struct agora_asked *asked, const struct http_result *result,
    const struct agora_said *said, struct fail *fail)
{
	char did[32];

	snprintf(did, sizeof(did), "refused the %s", noun_of(asked->call));
	if (!said->from_service)
		fail_set(fail, FAIL_UPSTREAM,
		    "Agora has no such route "
		    "(HTTP 404); AGORA_API_PATH is wrong for this project");
	else if (asked->call == AGORA_LEAVE)
		fail_set(fail, FAIL_NOT_FOUND,
		    "No active session found for agent_id: %s",
		    asked->agent_id);
	else
		explain_status(asked, result, did, said->reason, fail);
}

static void
set_upstream(struct fail *fail, int status, const char *reason)
{
	fail->upstream_status = status;
	snprintf(fail->upstream_reason, sizeof(fail->upstream_reason), "%s",
	    reason);
}

/* Our word, where Agora has none. */
static const char *
word_for(int status)
{
	switch (status) {
	case 200:
		return "upstream_bad_response";
	case 401:
	case 403:
		return "upstream_auth";
	case 422:
		return "quota";
	case 429:
		return "upstream_busy";
	case 503:
		return "upstream_start_failed";
	default:
		return status >= 500 ? "upstream_failed" : "upstream_rejected";
	}
}

static void
explain_answer(const struct agora_asked *asked, enum agora_class class,
    const struct http_result *result, const struct agora_said *said,
    struct fail *fail)
{
	const char *noun = noun_of(asked->call);
	char did[48];

	set_upstream(fail, result->status,
	    said->reason[0] != '\0' ? said->reason : word_for(result->status));
	if (result->status == 404) {
		explain_404(asked, result, said, fail);
		return;
	}
	if (result->status == 200)
		snprintf(did, sizeof(did), "answered the %s without an id",
		    noun);
	else if (class == AGORA_UNKNOWN && result->status != 409)
		snprintf(did, sizeof(did), "failed during the %s", noun);
	else
		snprintf(did, sizeof(did), "refused the %s%s", noun,
		    class == AGORA_LATER ? " for now" : "");
	explain_status(asked, result, did, said->reason, fail);
}

/* What a gateway would say of a call that got no answer, and our word. */
static void
explain_silence(enum agora_call call, enum http_outcome outcome,
    struct fail *fail)
{
	const char *noun = noun_of(call);

	switch (outcome) {
	case HTTP_NOT_SENT:
		set_upstream(fail, 503, "upstream_unreachable");
		fail_set(fail, FAIL_UPSTREAM,
		    "Agora cannot be reached, the %s was not sent; try again "
		    "in a moment",
		    noun);
		break;
	case HTTP_UNTRUSTED:
		set_upstream(fail, 502, "upstream_tls");
		fail_set(fail, FAIL_UPSTREAM,
		    "Agora's certificate cannot be verified, the %s was not "
		    "sent; check the clock and the list of certificate "
		    "authorities of this server",
		    noun);
		break;
	case HTTP_TOO_LARGE:
		set_upstream(fail, 502, "upstream_bad_response");
		fail_set(fail, FAIL_UPSTREAM,
		    "Agora's answer to the %s is larger than any it should "
		    "send",
		    noun);
		break;
	case HTTP_NO_MEMORY:
		fail_set(fail, FAIL_INTERNAL, "out of memory");
		break;
	case HTTP_BROKEN:
	case HTTP_ANSWERED:
	default:
		set_upstream(fail, 504, "upstream_timeout");
		fail_set(fail, FAIL_UPSTREAM,
		    "Agora did not answer the %s in time or broke off; try "
		    "again in a moment",
		    noun);
		break;
	}
}

/* When to try again: as Agora says, or what is sensible for the status. */
static int
retry_after_of(const struct http_result *result)
{
	if (result->retry_after > 0)
		return result->retry_after < RETRY_AFTER_MAX_S ?
		    (int)result->retry_after :
		    RETRY_AFTER_MAX_S;
	switch (result->status) {
	case 422:
		return RETRY_AFTER_MAX_S;
	case 429:
	case 500:
	case 502:
	case 503:
	case 504:
		return RETRY_AFTER_S;
	default:
		return result->outcome == HTTP_NOT_SENT ||
			result->outcome == HTTP_BROKEN ?
		    RETRY_AFTER_S :
		    0;
	}
}

void
agora_explain(const struct agora_asked *asked, enum agora_class class,
    const struct http_result *result, const struct agora_said *said,
    struct fail *fail)
{
	if (result->outcome == HTTP_ANSWERED)
		explain_answer(asked, class, result, said, fail);
	else
		explain_silence(asked->call, result->outcome, fail);
	fail->retry_after = retry_after_of(result);
}
