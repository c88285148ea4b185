#include <string.h>

#include "common/agents.h"
#include "common/buf.h"
#include "common/fail.h"
#include "common/json_write.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/region.h"
#include "common/settings.h"
#include "common/sys.h"
#include "fcgi/endpoint.h"
#include "fcgi/exchange.h"
#include "fcgi/exposition.h"
#include "fcgi/monitor.h"
#include "fcgi/service.h"

#define HEAD_MAX 512 /* bytes */

/* An answer's status line, and what kind of body follows. */
struct kind {
	const char *status, *type;
};

#define JSON "application/json"

static const struct kind good = { "200 OK", JSON };
static const struct kind unavailable = { "503 Service Unavailable", JSON };
static const struct kind not_found = { "404 Not Found", JSON };
static const struct kind wrong_method = { "405 Method Not Allowed", JSON };
static const struct kind exposition = { "200 OK", EXPOSITION_TYPE };

/* ---- readiness ---------------------------------------------------------- */

static const char *
outcome_name(enum metrics_outcome outcome)
{
	static const char *const names[] = {
		[METRICS_NO_CALL] = "none",
		[METRICS_ANSWERED] = "answered",
		[METRICS_REFUSED] = "refused",
		[METRICS_FAILED] = "failed",
	};

	return names[outcome];
}

static void
describe_agora(const struct settings *settings, const struct metrics *sum,
    int64_t now_ms, struct buf *body)
{
	char base[REGION_URL_SIZE];
	size_t hosts = region_count(settings);
	int shut = 0;

	for (size_t i = 0; i < hosts; i++) {
		region_base(settings, i, base);
		if (metrics_shut(base, now_ms) > 0)
			shut++;
	}
	json_write_open(body, "agora");
	json_write_text(body, "last_call", outcome_name(sum->last));
	if (sum->last != METRICS_NO_CALL)
		json_write_int(body, "seconds_ago",
		    (now_ms - sum->last_ms) / 1000);
	json_write_int(body, "hosts", (int64_t)hosts);
	json_write_int(body, "hosts_shut", shut);
	json_write_close(body);
}

/* Why the program cannot work, in ${fail}; FAIL_NONE: it can. */
static void
judge(const struct service *service, const struct metrics *sum, int64_t now_ms,
    struct fail *fail)
{
	bool recent = now_ms - sum->last_ms < MONITOR_BAD_MS;

	if (!service->settings->usable)
		fail_set(fail, FAIL_CONFIG,
		    "the settings are not usable; the log and --check say why");
	else if (service->agents != NULL &&
	    agents_find(service->agents, NULL, fail) == NULL)
		return;
	else if (service->agora != NULL && recent &&
	    sum->last == METRICS_FAILED)
		fail_set(fail, FAIL_UPSTREAM,
		    "the last call to Agora failed: no answer, or an error of "
		    "its own");
	else if (service->agora != NULL && recent &&
	    sum->last == METRICS_REFUSED)
		fail_set(fail, FAIL_UPSTREAM,
		    "Agora refused the last call: APP_ID, APP_CERTIFICATE, or "
		    "the service is not enabled");
}

static const struct kind *
describe_readiness(const struct service *service, struct buf *body)
{
	int64_t now_ms = sys_monotonic_ms();
	struct fail fail = { 0 };
	struct metrics sum;

	/* Of one that is apart its own outcomes are the best to be had. */
	(void)!metrics_read(&sum);
	judge(service, &sum, now_ms, &fail);
	json_write_open(body, NULL);
	if (fail.kind == FAIL_NONE) {
		json_write_text(body, "status", "ready");
	} else {
		json_write_text(body, "status", "not ready");
		json_write_text(body, "reason", fail.text);
	}
	if (service->agora != NULL)
		describe_agora(service->settings, &sum, now_ms, body);
	json_write_close(body);
	return fail.kind == FAIL_NONE ? &good : &unavailable;
}

/* ---- metrics ------------------------------------------------------------ */

static const struct kind *
describe_metrics(const struct service *service, struct buf *body)
{
	struct metrics sum;

	if (service->single) {
		buf_text(body,
		    "{\"detail\":\"a CGI program serves one "
		    "request: there is nothing to count\"}");
		return &not_found;
	}
	if (metrics_read(&sum) == -1) {
		buf_text(body,
		    "{\"detail\":\"this worker cannot see what the "
		    "others count; restart the program\"}");
		return &unavailable;
	}
	exposition_write(service, &sum, sys_monotonic_ms(), body);
	return &exposition;
}

/* ---- all of them -------------------------------------------------------- */

static const struct kind *
describe(const struct exchange *exchange, const char *question,
    struct buf *body)
{
	const char *method = exchange->request.method;

	if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
		buf_text(body, "{\"detail\":\"use GET here\"}");
		return &wrong_method;
	}
	if (strcmp(question, "healthz") == 0) {
		buf_text(body, "{\"status\":\"ok\"}");
		return &good;
	}
	if (strcmp(question, "readyz") == 0)
		return describe_readiness(exchange->service, body);
	if (strcmp(question, "metrics") == 0)
		return describe_metrics(exchange->service, body);
	buf_text(body, "{\"detail\":\"nobody knows what is asked for\"}");
	return &not_found;
}

void
monitor_answer(struct exchange *exchange, const char *question)
{
	static char body_bytes[EXPOSITION_MAX + 1];
	static char bytes[HEAD_MAX + sizeof(body_bytes)];
	static const struct fail too_long = { .kind = FAIL_INTERNAL,
		.text = "the answer is too long" };
	struct buf body = BUF_IN(body_bytes), out = BUF_IN(bytes);
	const struct kind *kind = describe(exchange, question, &body);

	log_debug("monitor endpoint=%s id=%s question=%.16s status=%.3s",
	    exchange->service->endpoint->name, exchange->request.id, question,
	    kind->status);
	if (buf_failed(&body)) {
		exchange_fail(exchange, &too_long);
		return;
	}
	buf_format(&out,
	    "Status: %s\r\n"
	    "Content-Type: %s\r\n"
	    "Content-Length: %zu\r\n"
	    "Cache-Control: no-store\r\n"
	    "X-Request-Id: %s\r\n"
	    "%s\r\n",
	    kind->status, kind->type, body.len, exchange->request.id,
	    kind == &wrong_method ? "Allow: GET, HEAD\r\n" : "");
	if (strcmp(exchange->request.method, "HEAD") != 0)
		buf_add(&out, buf_str(&body), body.len);
	(void)exchange->send(exchange, buf_str(&out), out.len);
}
