#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/agora_outcome.h"
#include "common/ascii.h"
#include "common/fail.h"
#include "common/http.h"
#include "common/json.h"

#define CLOCK_SKEW_S 60 /* from here on worth a hint */

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

static void
read_agent_id(const struct json *json, char id[static AGORA_ID_SIZE])
{
	const char *text = json_text(json, "agent_id");

	if (text != NULL && agora_id_check(text, NULL) == 0)
		memcpy(id, text, strlen(text) + 1);
}

static void
read_reason(const struct json *json, char reason[static FAIL_REASON_SIZE])
{
	const char *text = json_text(json, "reason");
	size_t len = 0;

	while (text != NULL && ascii_is_alpha(text[len]))
		len++;
	if (len > 0 && text[len] == '\0' && len < FAIL_REASON_SIZE)
		memcpy(reason, text, len + 1);
}

void
agora_read(const struct http_result *result, struct agora_said *said)
{
	static const char quitting[] =
	    "already in the process of shutting down";
	struct json *json;
	const char *detail;

	*said = (struct agora_said){ 0 };
	if (result->outcome != HTTP_ANSWERED)
		return;
	/* NULL, and so nothing, when a gateway answers HTML or no body. */
	json = json_parse(result->body, result->body_len, NULL);
	detail = json_text(json, "detail");
	read_agent_id(json, said->agent_id);
	read_reason(json, said->reason);
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
	case 401:
	case 403:
	case 404:
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
	switch (result->outcome) {
	case HTTP_ANSWERED:
		return classify_status(call, result, said);
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

/* ${did} is "refused the start" or the like, ${reason} may be "". */
static void
explain_status(const struct agora_asked *asked,
    const struct http_result *result, const char *did, struct fail *fail)
{
	const char *reason = fail->upstream_reason;
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
		explain_status(asked, result, did, fail);
}

static void
explain_answer(const struct agora_asked *asked, enum agora_class class,
    const struct http_result *result, const struct agora_said *said,
    struct fail *fail)
{
	const char *noun = noun_of(asked->call);
	char did[48];

	fail->upstream_status = result->status;
	memcpy(fail->upstream_reason, said->reason, sizeof(said->reason));
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
	explain_status(asked, result, did, fail);
}

void
agora_explain(const struct agora_asked *asked, enum agora_class class,
    const struct http_result *result, const struct agora_said *said,
    struct fail *fail)
{
	const char *noun = noun_of(asked->call);

	switch (result->outcome) {
	case HTTP_ANSWERED:
		explain_answer(asked, class, result, said, fail);
		break;
	case HTTP_NOT_SENT:
		fail_set(fail, FAIL_UPSTREAM,
		    "Agora cannot be reached, the %s "
		    "was not sent; try again in a moment",
		    noun);
		break;
	case HTTP_UNTRUSTED:
		fail_set(fail, FAIL_UPSTREAM,
		    "Agora's certificate cannot be "
		    "verified, the %s was not sent; check the clock and the "
		    "list of certificate authorities of this server",
		    noun);
		break;
	case HTTP_TOO_LARGE:
		fail_set(fail, FAIL_UPSTREAM,
		    "Agora's answer to the %s is "
		    "larger than any it should send",
		    noun);
		break;
	case HTTP_NO_MEMORY:
		fail_set(fail, FAIL_INTERNAL, "out of memory");
		break;
	case HTTP_BROKEN:
	default:
		fail_set(fail, FAIL_UPSTREAM,
		    "Agora did not answer the %s in "
		    "time or broke off; try again in a moment",
		    noun);
		break;
	}
}
