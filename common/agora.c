#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/agent.h"
#include "common/agora.h"
#include "common/ascii.h"
#include "common/buf.h"
#include "common/fail.h"
#include "common/http.h"
#include "common/json.h"
#include "common/log.h"
#include "common/region.h"
#include "common/secret.h"
#include "common/settings.h"
#include "common/sys.h"
#include "common/token.h"

#define ATTEMPTS_MAX 3
#define ATTEMPT_MIN_MS 2000 /* with less left, no further attempt */
#define HEADER_TOKEN_S 86400
#define BODY_TOKEN_S 3600
#define CLOCK_SKEW_S 60     /* from here on worth a hint */
#define BODY_MAX 262144     /* bytes; three texts, every byte escaped */
#define PATH_SIZE 256       /* bytes, with the NUL */

/* Channel and account of a header token that is for no session. */
#define STOP_CHANNEL "stop"
#define STOP_ACCOUNT "0"

static const struct limits {
	const char *name;  /* in the log */
	const char *noun;  /* in a text for the client */
	int64_t total_ms;  /* of a call; the web server waits longer */
	int64_t attempt_ms;
	bool fresh; /* libcurl must not send a join twice by itself */
} limits[] = {
	[AGORA_JOIN] = { "join", "start", 20000, 8000, true },
	[AGORA_LEAVE] = { "leave", "stop", 10000, 4000, false },
};

/* A call under way: what its attempts need, and to whom it reports. */
struct call {
	struct http *http;
	enum agora_call kind;
	void (*done)(void *arg, const struct agora_answer *answer);
	void *arg;

	struct region region;
	size_t attempts;  /* so far; also the index of the next host */
	int64_t began_ms; /* monotonic: a stepped clock changes no budget */
	int64_t now;      /* seconds since 1970 when it began */

	char path[PATH_SIZE]; /* below the base URL */
	char authorization[TOKEN_SIZE + 16];
	struct buf body;
	char *ca_file;
	char agent_id[AGORA_ID_SIZE]; /* leave only */
};

int
agora_id_check(const char *id, struct fail *fail)
{
	size_t len;

	for (len = 0; id[len] != '\0'; len++)
		if (!ascii_is_alnum(id[len]) &&
		    strchr("._:-", id[len]) == NULL)
			break;
	if (id[len] != '\0' || len == 0 || len >= AGORA_ID_SIZE ||
	    strcmp(id, ".") == 0 || strcmp(id, "..") == 0)
		return fail_set(fail, FAIL_BAD_INPUT,
		    "agentId must be 1 to 128 of A-Z a-z 0-9 . _ : -");
	return 0;
}

/* The answer's JSON, or NULL: gateways answer HTML, or nothing. */
static struct json *
answer_json(const struct http_result *result)
{
	return json_parse(result->body, result->body_len, NULL);
}

/* Copies the agent id of a join's answer, if it has a legal one. */
static bool
read_agent_id(const struct http_result *result, char id[static AGORA_ID_SIZE])
{
	struct json *json = answer_json(result);
	const char *text = json_text(json, "agent_id");
	bool legal = text != NULL && agora_id_check(text, NULL) == 0;

	if (legal)
		memcpy(id, text, strlen(text) + 1);
	json_free(json);
	return legal;
}

/*
 * Copies the service's own word for what is wrong, "ServiceNotEnabled". It
 * is shown to clients, so anything that is not just letters is left out.
 */
static void
read_reason(const struct http_result *result,
    char reason[static FAIL_REASON_SIZE])
{
	struct json *json = answer_json(result);
	const char *text = json_text(json, "reason");
	size_t len = 0;

	reason[0] = '\0';
	while (text != NULL && ascii_is_alpha(text[len]))
		len++;
	if (len > 0 && text[len] == '\0' && len < FAIL_REASON_SIZE)
		memcpy(reason, text, len + 1);
	json_free(json);
}

/*
 * Answers whether the service itself wrote the answer. A gateway that knows
 * no route says 404 too, but never with the service's members.
 */
static bool
is_from_service(const struct http_result *result)
{
	struct json *json = answer_json(result);
	bool yes = json_text(json, "reason") != NULL ||
	    json_text(json, "detail") != NULL;

	json_free(json);
	return yes;
}

/* The second of two stops in a row is answered with 400 and this text. */
static bool
is_shutting_down(const struct http_result *result)
{
	struct json *json = answer_json(result);
	const char *detail = json_text(json, "detail");
	bool yes = detail != NULL && strstr(detail,
	    "already in the process of shutting down") != NULL;

	json_free(json);
	return yes;
}

static enum agora_class
classify_ok(enum agora_call call, const struct http_result *result)
{
	char id[AGORA_ID_SIZE];

	if (call == AGORA_LEAVE || read_agent_id(result, id))
		return AGORA_DONE;
	return AGORA_UNKNOWN; /* an agent may run whose id is not known */
}

static enum agora_class
classify_status(enum agora_call call, const struct http_result *result)
{
	switch (result->status) {
	case 200:
		return classify_ok(call, result);
	case 400:
		return call == AGORA_LEAVE && is_shutting_down(result)
		    ? AGORA_DONE : AGORA_FINAL;
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
		return result->status >= 300 && result->status < 400
		    ? AGORA_FINAL : AGORA_UNKNOWN;
	}
}

enum agora_class
agora_classify(enum agora_call call, const struct http_result *result)
{
	switch (result->outcome) {
	case HTTP_ANSWERED:
		return classify_status(call, result);
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

#define QUOTA_ADVICE \
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
	    "enable Conversational AI for this App ID in the Agora console",
	    0, false },
	{ "AccountSuspended",
	    "the account is suspended, see the Agora console", 0, false },
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
clock_skew(const struct call *call, const struct http_result *result)
{
	int64_t passed = (sys_monotonic_ms() - call->began_ms) / 1000;
	int64_t skew;

	if (result->date == -1)
		return 0;
	skew = call->now + passed - result->date;
	return skew > CLOCK_SKEW_S || skew < -CLOCK_SKEW_S ? skew : 0;
}

/* ${did} is "refused the start" or the like, ${reason} may be "". */
static void
explain_status(const struct call *call, const struct http_result *result,
    const char *did, struct fail *fail)
{
	const char *reason = fail->upstream_reason;
	const char *advice = find_advice(call->kind, reason,
	    result->status);
	int64_t skew = clock_skew(call, result);
	const char *colon = reason[0] == '\0' ? "" : ": ";

	if ((result->status == 401 || result->status == 403) && skew != 0)
		fail_set(fail, FAIL_UPSTREAM, "Agora %s%s%s (HTTP %d); the "
		    "clock of this server is %" PRId64 " s %s Agora's, set it",
		    did, colon, reason, result->status,
		    skew > 0 ? skew : -skew,
		    skew > 0 ? "ahead of" : "behind");
	else
		fail_set(fail, FAIL_UPSTREAM, "Agora %s%s%s (HTTP %d)%s%s", did,
		    colon, reason, result->status, advice == NULL ? "" : "; ",
		    advice == NULL ? "" : advice);
}

static void
explain_404(const struct call *call, const struct http_result *result,
    struct fail *fail)
{
	char did[32];

	snprintf(did, sizeof(did), "refused the %s", limits[call->kind].noun);
	if (!is_from_service(result))
		fail_set(fail, FAIL_UPSTREAM, "Agora has no such route "
		    "(HTTP 404); AGORA_API_PATH is wrong for this project");
	else if (call->kind == AGORA_LEAVE)
		fail_set(fail, FAIL_NOT_FOUND,
		    "No active session found for agent_id: %s",
		    call->agent_id);
	else
		explain_status(call, result, did, fail);
}

static void
explain_answer(const struct call *call, enum agora_class class,
    const struct http_result *result, struct fail *fail)
{
	const char *noun = limits[call->kind].noun;
	char did[48];

	fail->upstream_status = result->status;
	read_reason(result, fail->upstream_reason);
	if (result->status == 404) {
		explain_404(call, result, fail);
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
	explain_status(call, result, did, fail);
}

/* One sentence for the client; nothing of Agora's but its reason. */
static void
explain(const struct call *call, enum agora_class class,
    const struct http_result *result, struct fail *fail)
{
	const char *noun = limits[call->kind].noun;

	switch (result->outcome) {
	case HTTP_ANSWERED:
		explain_answer(call, class, result, fail);
		break;
	case HTTP_NOT_SENT:
		fail_set(fail, FAIL_UPSTREAM, "Agora cannot be reached, the %s "
		    "was not sent; try again in a moment", noun);
		break;
	case HTTP_UNTRUSTED:
		fail_set(fail, FAIL_UPSTREAM, "Agora's certificate cannot be "
		    "verified, the %s was not sent; check the clock and the "
		    "list of certificate authorities of this server", noun);
		break;
	case HTTP_TOO_LARGE:
		fail_set(fail, FAIL_UPSTREAM, "Agora's answer to the %s is "
		    "larger than any it should send", noun);
		break;
	case HTTP_NO_MEMORY:
		fail_set(fail, FAIL_INTERNAL, "out of memory");
		break;
	case HTTP_BROKEN:
	default:
		fail_set(fail, FAIL_UPSTREAM, "Agora did not answer the %s in "
		    "time or broke off; try again in a moment", noun);
		break;
	}
}

/* Host and port of the base URL that the last attempt went to. */
static int
host_of(const struct call *call, const char **host)
{
	const char *base = call->region.base[call->attempts - 1];
	const char *start = strstr(base, "://");

	*host = start == NULL ? base : start + 3;
	return (int)strcspn(*host, "/");
}

/*
 * A person must act on the final ones; the others may pass by themselves, and
 * an agent that has left before it was stopped is everyday life.
 */
static void
log_failure(const struct call *call, enum agora_class class,
    const struct http_result *result)
{
	bool gone = call->kind == AGORA_LEAVE && result->status == 404 &&
	    is_from_service(result);
	void (*log)(const char *format, ...)
	    __attribute__((format(printf, 1, 2))) =
	    class == AGORA_FINAL && !gone ? log_error : log_warn;
	const char *name = limits[call->kind].name;
	char reason[FAIL_REASON_SIZE];
	const char *host;
	int len = host_of(call, &host);

	if (result->outcome != HTTP_ANSWERED) {
		log("agora: %s: %.*s: %s: %s", name, len, host,
		    result->outcome == HTTP_UNTRUSTED ? "not trusted" :
		    class == AGORA_NOT_PROCESSED ? "not sent" : "no answer",
		    result->error);
		return;
	}
	read_reason(result, reason);
	log("agora: %s: %.*s: HTTP %d%s%s%s%s", name, len, host,
	    result->status, reason[0] == '\0' ? "" : " ", reason,
	    result->request_id[0] == '\0' ? "" : ", request id ",
	    result->request_id);
}

static void
call_free(struct call *call)
{
	if (call == NULL)
		return;
	buf_free(&call->body);
	free(call->ca_file);
	secret_wipe(call, sizeof(*call));
	free(call);
}

/* Reports and releases. */
static void
call_end(struct call *call, const struct agora_answer *answer)
{
	void (*done)(void *arg, const struct agora_answer *answer) =
	    call->done;
	void *arg = call->arg;

	call_free(call);
	done(arg, answer);
}

static int64_t
time_left(const struct call *call)
{
	return limits[call->kind].total_ms -
	    (sys_monotonic_ms() - call->began_ms);
}

static bool
may_try_again(const struct call *call)
{
	return call->attempts < ATTEMPTS_MAX &&
	    call->attempts < call->region.len &&
	    time_left(call) >= ATTEMPT_MIN_MS;
}

static int attempt(struct call *call, struct fail *fail);

static void
attempt_done(void *arg, const struct http_result *result)
{
	struct call *call = arg;
	struct agora_answer answer = { 0 };

	answer.class = agora_classify(call->kind, result);
	if (answer.class == AGORA_DONE) {
		if (call->kind == AGORA_JOIN)
			read_agent_id(result, answer.agent_id);
		call_end(call, &answer);
		return;
	}
	log_failure(call, answer.class, result);
	if (answer.class == AGORA_NOT_PROCESSED && may_try_again(call) &&
	    attempt(call, &answer.fail) == 0)
		return;
	explain(call, answer.class, result, &answer.fail);
	call_end(call, &answer);
}

/* Sends the request to the next host. */
static int
attempt(struct call *call, struct fail *fail)
{
	const struct limits *limit = &limits[call->kind];
	int64_t left = time_left(call);
	char url[REGION_URL_SIZE + PATH_SIZE];
	struct http_request request = { .method = "POST", .url = url,
		.authorization = call->authorization,
		.ca_file = call->ca_file, .fresh = limit->fresh };

	snprintf(url, sizeof(url), "%s%s",
	    call->region.base[call->attempts], call->path);
	request.timeout_ms = left < limit->attempt_ms ? left
	    : limit->attempt_ms;
	if (call->kind == AGORA_JOIN) {
		request.content_type = "application/json";
		request.body = buf_str(&call->body);
		request.body_len = call->body.len;
	}
	call->attempts++;
	return http_start(call->http, &request, attempt_done, call, fail);
}

/* Prepares a call; ${path} is what follows the project in the URL. */
static struct call *
call_new(struct http *http, enum agora_call kind,
    const struct settings *settings, int64_t now, const char *path,
    struct fail *fail)
{
	struct call *call = calloc(1, sizeof(*call));

	if (call == NULL) {
		fail_set(fail, FAIL_INTERNAL, "out of memory");
		return NULL;
	}
	call->http = http;
	call->kind = kind;
	call->now = now;
	call->began_ms = sys_monotonic_ms();
	call->body.max = BODY_MAX;
	call->ca_file = strdup(settings->ca_file);
	region_candidates(settings, &call->region);
	snprintf(call->path, sizeof(call->path), "/v2/projects/%s/%s",
	    settings->app_id, path);
	if (call->ca_file == NULL)
		fail_set(fail, FAIL_INTERNAL, "out of memory");
	else if (call->region.len == 0)
		fail_set(fail, FAIL_CONFIG,
		    "AGORA_API_BASE_URL or AGORA_API_PATH is too long");
	else
		return call;
	call_free(call);
	return NULL;
}

/* Sets the Authorization value: a token of the call's own. */
static int
authorize(struct call *call, const struct settings *settings,
    struct token_claims *claims, struct fail *fail)
{
	char token[TOKEN_SIZE];

	claims->app_id = settings->app_id;
	claims->issue_ts = (uint32_t)call->now;
	claims->expire = HEADER_TOKEN_S;
	if (token_build(claims, settings->certificate.text, token, fail) == -1)
		return -1;
	snprintf(call->authorization, sizeof(call->authorization),
	    "agora token=%s", token);
	secret_wipe(token, sizeof(token));
	return 0;
}

/* Builds header token, body token and body. */
static int
compose_join(struct call *call, const struct settings *settings,
    const struct agent_start *start, const struct agora_salts *salts,
    struct fail *fail)
{
	struct token_claims claims = { .channel = start->channel,
		.account = start->agent_uid, .salt = salts->header };
	char name[AGENT_NAME_SIZE];
	char token[TOKEN_SIZE];
	int rc;

	if (authorize(call, settings, &claims, fail) == -1)
		return -1;
	claims.salt = salts->body;
	claims.expire = BODY_TOKEN_S;
	if (token_build(&claims, settings->certificate.text, token, fail) ==
	    -1)
		return -1;
	agent_name(start, call->now, name);
	rc = agent_join_body(settings, start, name, token, &call->body, fail);
	secret_wipe(token, sizeof(token));
	return rc;
}

/* Starts the first attempt of a call that is complete. */
static int
call_begin(struct call *call,
    void (*done)(void *arg, const struct agora_answer *answer), void *arg,
    struct fail *fail)
{
	call->done = done;
	call->arg = arg;
	if (attempt(call, fail) == 0)
		return 0;
	call_free(call);
	return -1;
}

int
agora_join(struct http *http, const struct settings *settings,
    const struct agent_start *start, int64_t now,
    const struct agora_salts *salts,
    void (*done)(void *arg, const struct agora_answer *answer), void *arg,
    struct fail *fail)
{
	struct call *call =
	    call_new(http, AGORA_JOIN, settings, now, "join", fail);

	if (call == NULL)
		return -1;
	if (compose_join(call, settings, start, salts, fail) == -1) {
		call_free(call);
		return -1;
	}
	return call_begin(call, done, arg, fail);
}

int
agora_leave(struct http *http, const struct settings *settings,
    const char *agent_id, int64_t now, const struct agora_salts *salts,
    void (*done)(void *arg, const struct agora_answer *answer), void *arg,
    struct fail *fail)
{
	struct token_claims claims = { .channel = STOP_CHANNEL,
		.account = STOP_ACCOUNT, .salt = salts->header };
	char path[PATH_SIZE];
	struct call *call;

	/* Every byte that passes may stand in a path as it is. */
	if (agora_id_check(agent_id, fail) == -1)
		return -1;
	snprintf(path, sizeof(path), "agents/%.128s/leave", agent_id);
	call = call_new(http, AGORA_LEAVE, settings, now, path, fail);
	if (call == NULL)
		return -1;
	memcpy(call->agent_id, agent_id, strlen(agent_id) + 1);
	if (authorize(call, settings, &claims, fail) == -1) {
		call_free(call);
		return -1;
	}
	return call_begin(call, done, arg, fail);
}
