#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/agent.h"
#include "common/agora.h"
#include "common/ascii.h"
#include "common/buf.h"
#include "common/channel.h"
#include "common/fail.h"
#include "common/http.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/region.h"
#include "common/secret.h"
#include "common/settings.h"
#include "common/sys.h"
#include "common/token.h"

#define BODY_TOKEN_S 3600
#define BODY_MAX 262144 /* bytes; three texts, every byte escaped */
#define PATH_SIZE 800   /* bytes, with the NUL */
_Static_assert(sizeof("/v2/projects//agents//leave") + SETTINGS_ID_SIZE +
	    AGORA_ID_SIZE <=
	PATH_SIZE,
    "the path of a leave must fit");
_Static_assert(sizeof("/v2/projects//agents?channel=&state=2"
		      "&from_time=-9223372036854775808&limit=20&cursor=") +
	    SETTINGS_ID_SIZE + 3 * CHANNEL_SIZE + 3 * AGORA_CURSOR_SIZE <=
	PATH_SIZE,
    "the path of a list must fit");

/* Channel and account of a header token that is for no session. */
#define STOP_CHANNEL "stop"
#define STOP_ACCOUNT "0"

static const char *const names[] = { /* in the log */
	[AGORA_JOIN] = "join",
	[AGORA_LEAVE] = "leave",
	[AGORA_GET] = "get",
	[AGORA_LIST] = "list"
};

/* A call under way: to whom it reports, and what explains its end. */
struct call {
	struct agora *agora;
	enum agora_call kind;
	void (*done)(void *arg, const struct agora_answer *answer);
	void *arg;
	char base[REGION_URL_SIZE];
	int64_t began_ms;             /* monotonic */
	int64_t now;                  /* seconds since 1970 when it began */
	char agent_id[AGORA_ID_SIZE]; /* or "" */
};

struct agora *
agora_new(struct loop *loop, struct fail *fail)
{
	struct agora *agora = calloc(1, sizeof(*agora));

	if (agora == NULL) {
		fail_set(fail, FAIL_INTERNAL, "out of memory");
		return NULL;
	}
	agora->loop = loop;
	agora->http = http_new(loop, fail);
	if (agora->http == NULL) {
		free(agora);
		return NULL;
	}
	return agora;
}

void
agora_free(struct agora *agora)
{
	if (agora == NULL)
		return;
	if (agora->starts > 0) {
		metrics_orphans(agora->starts);
		log_error("start: orphan_possible: %zu starts were under way "
			  "when the process ended",
		    agora->starts);
	}
	http_free(agora->http);
	free(agora);
}

size_t
agora_working(const struct agora *agora)
{
	return agora->working;
}

unsigned
agora_hosts_open(const struct agora *agora, const struct settings *settings,
    int64_t now_ms)
{
	char base[REGION_URL_SIZE];
	unsigned open = 0;

	for (size_t i = 0; i < region_count(settings); i++) {
		region_base(settings, i, base);
		if (health_open(&agora->health, base, now_ms))
			open |= 1u << i;
	}
	return open;
}

/* ---- the log ------------------------------------------------------------ */

/* Host and port of the base URL. */
static int
host_of(const struct call *call, const char **host)
{
	const char *start = strstr(call->base, "://");

	*host = start == NULL ? call->base : start + 3;
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
	bool gone = call->kind != AGORA_JOIN && result->status == 404 &&
	    said->from_service;
	void (*log)(const char *format, ...)
	    __attribute__((format(printf, 1, 2))) =
		class == AGORA_FINAL && !gone ? log_error : log_warn;
	const char *name = names[call->kind];
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
log_begin(const struct call *call, int64_t timeout_ms)
{
	const char *host;
	int len = host_of(call, &host);

	log_debug("agora: %s: to %.*s, within %" PRId64 " ms",
	    names[call->kind], len, host, timeout_ms);
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
	log_debug("agora: %s: %s after %" PRId64 " ms", names[call->kind],
	    words[class], sys_monotonic_ms() - call->began_ms);
}

static void
call_free(struct call *call)
{
	secret_wipe(call, sizeof(*call));
	free(call);
}

/* ---- the end of a call -------------------------------------------------- */

/* Queries say nothing about a host's health, and are no trial of it. */
static bool
is_query(const struct call *call)
{
	return call->kind == AGORA_GET || call->kind == AGORA_LIST;
}

/* Whether the host does its work. One that is busy, or refuses, does. */
static void
note_health(const struct call *call, enum agora_class class,
    const struct http_result *result)
{
	bool good = result->outcome == HTTP_ANSWERED &&
	    (class != AGORA_UNKNOWN || result->status == 409);
	bool refused = result->status == 401 || result->status == 403;
	int64_t now_ms = sys_monotonic_ms();

	metrics_call(call->kind, class);
	if (result->outcome == HTTP_NO_MEMORY)
		return;
	metrics_outcome(!good || result->status >= 500 ? METRICS_FAILED :
		refused                                ? METRICS_REFUSED :
							 METRICS_ANSWERED,
	    now_ms);
	if (is_query(call))
		return;
	health_result(&call->agora->health, call->base, good, now_ms);
	metrics_hosts(&call->agora->health);
}

static void
call_done(void *arg, const struct http_result *result)
{
	struct call *call = arg;
	struct agora_answer answer = { .status = result->status,
		.resent = result->resent,
		.retry_after = result->retry_after };
	struct agora_said said;
	struct agora_asked asked = { .call = call->kind,
		.agent_id = call->agent_id };

	agora_read(result, &said);
	asked.now = call->now + (sys_monotonic_ms() - call->began_ms) / 1000;
	answer.said = &said;
	answer.class = agora_classify(call->kind, result, &said);
	if (result->date != -1)
		answer.clock_ahead = call->now - result->date;
	log_end(call, answer.class, result, &said);
	note_health(call, answer.class, result);
	if (answer.class != AGORA_DONE)
		agora_explain(&asked, answer.class, result, &said,
		    &answer.fail);
	call->done(call->arg, &answer);
	secret_wipe(&said, sizeof(said)); /* agent ids are capabilities */
	call_free(call);
}

/* ---- the beginning ------------------------------------------------------ */

#define AUTHORIZATION_SIZE (TOKEN_SIZE + sizeof("agora token="))

/* Writes the Authorization value: a token of the call's own. */
static int
authorize(const struct agora_request *request,
    char authorization[static AUTHORIZATION_SIZE], struct fail *fail)
{
	const struct settings *settings = request->settings;
	bool join = request->call == AGORA_JOIN;
	struct token_claims claims = { .app_id = settings->app_id,
		.channel = join ? request->agent->channel : STOP_CHANNEL,
		.account = join ? request->agent->agent_uid : STOP_ACCOUNT,
		.issue_ts = (uint32_t)request->now,
		.expire = TOKEN_EXPIRE_MAX,
		.salt = request->salt };
	char token[TOKEN_SIZE];

	if (token_build(&claims, settings->certificate.text, token, fail) == -1)
		return -1;
	snprintf(authorization, AUTHORIZATION_SIZE, "agora token=%s", token);
	secret_wipe(token, sizeof(token));
	return 0;
}

/* The token with which ${uid} joins the channel. */
static int
build_token(const struct agora_request *request, const char *uid, uint32_t salt,
    char token[static TOKEN_SIZE], struct fail *fail)
{
	const struct settings *settings = request->settings;
	struct token_claims claims = { .app_id = settings->app_id,
		.channel = request->agent->channel,
		.account = uid,
		.issue_ts = (uint32_t)request->now,
		.expire = BODY_TOKEN_S,
		.salt = salt };

	return token_build(&claims, settings->certificate.text, token, fail);
}

static int
compose_body(const struct agora_request *request, struct buf *body,
    struct fail *fail)
{
	const struct agent_start *start = request->agent;
	const char *avatar_uid = agent_avatar_uid(start->agent);
	char token[TOKEN_SIZE] = "", avatar_token[TOKEN_SIZE] = "";
	struct agent_tokens tokens = { .app_id = request->settings->app_id,
		.agent = token,
		.avatar = avatar_uid != NULL ? avatar_token : NULL };
	int rc = -1;

	if (build_token(request, start->agent_uid, request->body_salt, token,
		fail) == 0 &&
	    (avatar_uid == NULL ||
		build_token(request, avatar_uid, request->body_salt ^ 2,
		    avatar_token, fail) == 0))
		rc = agent_join_body(start, request->name, &tokens, body, fail);
	secret_wipe(token, sizeof(token));
	secret_wipe(avatar_token, sizeof(avatar_token));
	return rc;
}

/* RFC 3986 2.3: everything but the unreserved characters as %XX. */
static void
add_encoded(struct buf *out, const char *text)
{
	for (; *text != '\0'; text++) {
		if (ascii_is_alnum(*text) || strchr("-._~", *text) != NULL)
			buf_add(out, text, 1);
		else
			buf_format(out, "%%%02X", (unsigned char)*text);
	}
}

static void
compose_list(const struct agora_request *request, struct buf *url)
{
	if (request->channel == NULL && request->since == 0) {
		buf_text(url, "agents?limit=1");
		return;
	}
	buf_text(url, "agents?");
	if (request->channel != NULL) {
		buf_text(url, "channel=");
		add_encoded(url, request->channel);
		buf_text(url, "&");
	}
	buf_format(url, "state=%d", request->state);
	if (request->since != 0)
		buf_format(url, "&from_time=%" PRId64 "&limit=%d",
		    request->since, AGORA_LISTED_MAX);
	if (request->cursor != NULL && request->cursor[0] != '\0') {
		buf_text(url, "&cursor=");
		add_encoded(url, request->cursor);
	}
}

/* Every byte of an agent id may stand in a path as it is. */
static void
compose_path(const struct agora_request *request, struct buf *url)
{
	buf_format(url, "%s/v2/projects/%s/", request->base,
	    request->settings->app_id);
	if (request->call == AGORA_JOIN) {
		buf_text(url, "join");
	} else if (request->call == AGORA_LEAVE) {
		buf_format(url, "agents/%s/leave", request->agent_id);
	} else if (request->call == AGORA_GET) {
		buf_format(url, "agents/%s", request->agent_id);
	} else {
		compose_list(request, url);
	}
}

static struct call *
call_new(struct agora *agora, const struct agora_request *request,
    void (*done)(void *arg, const struct agora_answer *answer), void *arg)
{
	struct call *call = calloc(1, sizeof(*call));

	if (call == NULL)
		return NULL;
	call->agora = agora;
	call->kind = request->call;
	call->done = done;
	call->arg = arg;
	call->began_ms = sys_monotonic_ms();
	call->now = request->now;
	snprintf(call->base, sizeof(call->base), "%s", request->base);
	if (request->agent_id != NULL)
		snprintf(call->agent_id, sizeof(call->agent_id), "%s",
		    request->agent_id);
	return call;
}

/* Hands the call to the HTTPS client. */
static int
call_send(struct call *call, const struct agora_request *request,
    const char *url, const char *authorization, const struct buf *body,
    struct fail *fail)
{
	bool post = request->call == AGORA_JOIN || request->call == AGORA_LEAVE;
	struct http_request http = { .method = post ? "POST" : "GET",
		.url = url,
		.authorization = authorization,
		.ca_file = request->settings->ca_file,
		.timeout_ms = request->timeout_ms };

	if (request->call == AGORA_JOIN) {
		http.content_type = "application/json";
		http.body = buf_str(body);
		http.body_len = body->len;
		/* What became of the first may be its connection's fault. */
		http.fresh = request->again;
	}
	log_begin(call, request->timeout_ms);
	if (!is_query(call)) {
		health_call(&call->agora->health, call->base, call->began_ms);
		metrics_hosts(&call->agora->health);
	}
	return http_start(call->agora->http, &http, call_done, call, fail);
}

int
agora_send(struct agora *agora, const struct agora_request *request,
    void (*done)(void *arg, const struct agora_answer *answer), void *arg,
    struct fail *fail)
{
	char authorization[AUTHORIZATION_SIZE],
	    bytes[REGION_URL_SIZE + PATH_SIZE];
	struct buf url = BUF_IN(bytes), body = BUF(BODY_MAX);
	struct call *call = call_new(agora, request, done, arg);
	int rc = -1;

	if (call == NULL)
		return fail_set(fail, FAIL_INTERNAL, "out of memory");
	compose_path(request, &url);
	if (authorize(request, authorization, fail) == 0 &&
	    (request->call != AGORA_JOIN ||
		compose_body(request, &body, fail) == 0))
		rc = call_send(call, request, buf_str(&url), authorization,
		    &body, fail);
	secret_wipe(authorization, sizeof(authorization));
	secret_wipe(bytes, sizeof(bytes));
	buf_free(&body);
	if (rc == -1)
		call_free(call);
	return rc;
}
