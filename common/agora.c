#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/agent.h"
#include "common/agora.h"
#include "common/buf.h"
#include "common/fail.h"
#include "common/http.h"
#include "common/log.h"
#include "common/region.h"
#include "common/secret.h"
#include "common/settings.h"
#include "common/sys.h"
#include "common/token.h"

#define ATTEMPTS_MAX 3
#define ATTEMPT_MIN_MS 2000 /* with less left, no further attempt */
#define BODY_TOKEN_S 3600
#define BODY_MAX 262144 /* bytes; three texts, every byte escaped */
#define PATH_SIZE 256   /* bytes, with the NUL */
_Static_assert(sizeof("/v2/projects//agents//leave") + SETTINGS_ID_SIZE +
	    AGORA_ID_SIZE <=
	PATH_SIZE,
    "the longest path must fit");

/* Channel and account of a header token that is for no session. */
#define STOP_CHANNEL "stop"
#define STOP_ACCOUNT "0"

static const struct limits {
	const char *name; /* in the log */
	const char *method;
	int64_t total_ms; /* of a call; the web server waits longer */
	int64_t attempt_ms;
	bool fresh; /* libcurl must not send a join twice by itself */
} limits[] = {
	[AGORA_JOIN] = { "join", "POST", 20000, 8000, true },
	[AGORA_LEAVE] = { "leave", "POST", 10000, 4000, false },
	[AGORA_LIST] = { "list", "GET", 9000, 3000, false },
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
	int64_t attempt_began_ms;
	int64_t now; /* seconds since 1970 when it began */

	char path[PATH_SIZE]; /* below the base URL */
	char authorization[TOKEN_SIZE + 16];
	struct buf body;
	char *ca_file;
	char agent_id[AGORA_ID_SIZE]; /* leave only */
};

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
    const struct http_result *result, const struct agora_said *said)
{
	bool gone = call->kind == AGORA_LEAVE && result->status == 404 &&
	    said->from_service;
	void (*log)(const char *format, ...)
	    __attribute__((format(printf, 1, 2))) =
		class == AGORA_FINAL && !gone ? log_error : log_warn;
	const char *name = limits[call->kind].name;
	const char *reason = said->reason;
	const char *host;
	int len = host_of(call, &host);

	if (result->outcome != HTTP_ANSWERED) {
		log("agora: %s: %.*s: %s: %s", name, len, host,
		    result->outcome == HTTP_UNTRUSTED ? "not trusted" :
			class == AGORA_NOT_PROCESSED  ? "not sent" :
							"no answer",
		    result->error);
		return;
	}
	log("agora: %s: %.*s: HTTP %d%s%s%s%s", name, len, host, result->status,
	    reason[0] == '\0' ? "" : " ", reason,
	    result->request_id[0] == '\0' ? "" : ", request id ",
	    result->request_id);
}

static void
log_attempt(const struct call *call, int64_t timeout_ms)
{
	const char *host;
	int len = host_of(call, &host);

	log_debug("agora: %s: attempt %zu to %.*s, %" PRId64 " ms",
	    limits[call->kind].name, call->attempts, len, host, timeout_ms);
}

static void
log_end(const struct call *call, enum agora_class class,
    const struct http_result *result, const struct agora_said *said)
{
	static const char *const words[] = {
		[AGORA_DONE] = "done",
		[AGORA_NOT_PROCESSED] = "not processed",
		[AGORA_LATER] = "later",
		[AGORA_UNKNOWN] = "unknown",
		[AGORA_FINAL] = "final",
	};

	if (class != AGORA_DONE)
		log_failure(call, class, result, said);
	log_debug("agora: %s: attempt %zu: %s after %" PRId64 " ms",
	    limits[call->kind].name, call->attempts, words[class],
	    sys_monotonic_ms() - call->attempt_began_ms);
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
	void (*done)(void *arg, const struct agora_answer *answer) = call->done;
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
	struct agora_said said;
	struct agora_asked asked = { .call = call->kind,
		.agent_id = call->agent_id };

	agora_read(result, &said);
	answer.class = agora_classify(call->kind, result, &said);
	log_end(call, answer.class, result, &said);
	if (answer.class == AGORA_DONE) {
		if (call->kind == AGORA_JOIN)
			memcpy(answer.agent_id, said.agent_id,
			    sizeof(answer.agent_id));
		call_end(call, &answer);
		return;
	}
	if (answer.class == AGORA_NOT_PROCESSED && may_try_again(call) &&
	    attempt(call, &answer.fail) == 0)
		return;
	asked.now = call->now + (sys_monotonic_ms() - call->began_ms) / 1000;
	agora_explain(&asked, answer.class, result, &said, &answer.fail);
	call_end(call, &answer);
}

/* Sends the request to the next host. */
static int
attempt(struct call *call, struct fail *fail)
{
	const struct limits *limit = &limits[call->kind];
	int64_t left = time_left(call);
	char url[REGION_URL_SIZE + PATH_SIZE];
	struct http_request request = { .method = limit->method,
		.url = url,
		.authorization = call->authorization,
		.ca_file = call->ca_file,
		.fresh = limit->fresh };

	snprintf(url, sizeof(url), "%s%s", call->region.base[call->attempts],
	    call->path);
	request.timeout_ms =
	    left < limit->attempt_ms ? left : limit->attempt_ms;
	if (call->kind == AGORA_JOIN) {
		request.content_type = "application/json";
		request.body = buf_str(&call->body);
		request.body_len = call->body.len;
	}
	call->attempts++;
	call->attempt_began_ms = sys_monotonic_ms();
	log_attempt(call, request.timeout_ms);
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
	if (call->ca_file == NULL) {
		fail_set(fail, FAIL_INTERNAL, "out of memory");
		call_free(call);
		return NULL;
	}
	return call;
}

/* Sets the Authorization value: a token of the call's own. */
static int
authorize(struct call *call, const struct settings *settings,
    struct token_claims *claims, struct fail *fail)
{
	char token[TOKEN_SIZE];

	claims->app_id = settings->app_id;
	claims->issue_ts = (uint32_t)call->now;
	claims->expire = TOKEN_EXPIRE_MAX;
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
		.account = start->agent_uid,
		.salt = salts->header };
	char name[AGENT_NAME_SIZE];
	char token[TOKEN_SIZE];
	int rc;

	if (authorize(call, settings, &claims, fail) == -1)
		return -1;
	claims.salt = salts->body;
	claims.expire = BODY_TOKEN_S;
	if (token_build(&claims, settings->certificate.text, token, fail) == -1)
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

/* A call that belongs to no session and has no body. */
static int
call_without_body(struct call *call, const struct settings *settings,
    uint32_t salt, void (*done)(void *arg, const struct agora_answer *answer),
    void *arg, struct fail *fail)
{
	struct token_claims claims = { .channel = STOP_CHANNEL,
		.account = STOP_ACCOUNT,
		.salt = salt };

	if (call == NULL)
		return -1;
	if (authorize(call, settings, &claims, fail) == -1) {
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
	char path[PATH_SIZE];
	struct call *call;

	/* Every byte that passes may stand in a path as it is. */
	if (agora_id_check(agent_id, fail) == -1)
		return -1;
	snprintf(path, sizeof(path), "agents/%.128s/leave", agent_id);
	call = call_new(http, AGORA_LEAVE, settings, now, path, fail);
	if (call != NULL)
		memcpy(call->agent_id, agent_id, strlen(agent_id) + 1);
	return call_without_body(call, settings, salts->header, done, arg,
	    fail);
}

int
agora_list(struct http *http, const struct settings *settings, int64_t now,
    const struct agora_salts *salts,
    void (*done)(void *arg, const struct agora_answer *answer), void *arg,
    struct fail *fail)
{
	struct call *call =
	    call_new(http, AGORA_LIST, settings, now, "agents?limit=1", fail);

	return call_without_body(call, settings, salts->header, done, arg,
	    fail);
}
