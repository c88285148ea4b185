#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/ascii.h"
#include "common/buf.h"
#include "common/fail.h"
#include "common/json.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/num.h"
#include "common/settings.h"
#include "common/sys.h"
#include "fcgi/answer.h"
#include "fcgi/endpoint.h"
#include "fcgi/exchange.h"
#include "fcgi/gate.h"
#include "fcgi/monitor.h"
#include "fcgi/params.h"
#include "fcgi/record.h"
#include "fcgi/service.h"

#define METHOD_MAX 16 /* bytes of it in the log */

static bool
id_ok(const char *id)
{
	size_t len;

	if (id == NULL || *id == '\0')
		return false;
	for (len = 0; id[len] != '\0'; len++)
		if (len == EXCHANGE_ID_SIZE - 1 ||
		    (!ascii_is_alnum(id[len]) &&
			strchr("._@-", id[len]) == NULL))
			return false;
	return true;
}

/* nginx's $request_id or Apache's mod_unique_id, so that logs can be joined. */
static void
request_identify(struct request *request, char **params)
{
	const char *id = params_get(params, "REQUEST_ID");

	if (!id_ok(id))
		id = params_get(params, "UNIQUE_ID");
	if (id_ok(id))
		snprintf(request->id, sizeof(request->id), "%s", id);
	else
		num_hex(request->random + EXCHANGE_RANDOM_SIZE - 8, 8,
		    request->id);
}

static bool
method_ok(const struct endpoint *endpoint, const char *method)
{
	if (strcmp(method, endpoint->method) == 0)
		return true;
	return strcmp(endpoint->method, "GET") == 0 &&
	    strcmp(method, "HEAD") == 0;
}

/*
 * application/json, application/…+json or none: what a foreign web page can
 * not send without a preflight.
 */
static bool
media_type_ok(const struct endpoint *endpoint, const char *type)
{
	size_t len;

	if (type == NULL || *type == '\0')
		return true;
	len = strcspn(type, ";");
	while (len > 0 && ascii_is_space(type[len - 1]))
		len--;
	if (len == 16 && strncasecmp(type, "application/json", len) == 0)
		return true;
	if (len > 17 && strncasecmp(type, "application/", 12) == 0 &&
	    strncasecmp(type + len - 5, "+json", 5) == 0)
		return true;
	return endpoint->text_plain && len == 10 &&
	    strncasecmp(type, "text/plain", len) == 0;
}

/* RFC 3875 4.1.2: absent (FastCGI streams) or the exact number of bytes. */
static int
check_length(const char *declared, size_t len, struct fail *fail)
{
	int64_t value = 0;

	if (declared == NULL)
		return 0;
	if (*declared != '\0' &&
	    num_parse(declared, 0, INT64_MAX, &value) == -1)
		return fail_set(fail, FAIL_BAD_INPUT,
		    "Content-Length must be a number of bytes");
	if ((uint64_t)value != len)
		return fail_set(fail, FAIL_BAD_INPUT,
		    "the body has %zu bytes, Content-Length says %lld", len,
		    (long long)value);
	return 0;
}

static int
check_request(const struct exchange *exchange, char **params,
    const struct exchange_body *body, struct fail *fail)
{
	const struct endpoint *endpoint = exchange->service->endpoint;

	if (*exchange->request.method == '\0')
		return fail_set(fail, FAIL_BAD_INPUT,
		    "the web server sent no REQUEST_METHOD");
	if (!method_ok(endpoint, exchange->request.method))
		return fail_set(fail, FAIL_METHOD, "use %s here",
		    endpoint->method);
	if (body->too_large)
		return fail_set(fail, FAIL_TOO_LARGE,
		    "the body has more than %d bytes", RECORD_BODY_MAX);
	if (body->broken)
		return fail_set(fail, FAIL_BAD_INPUT,
		    "the connection ended inside the body");
	if (check_length(params_get(params, "CONTENT_LENGTH"), body->len,
		fail) == -1)
		return -1;
	if (strcmp(endpoint->method, "POST") == 0 &&
	    !media_type_ok(endpoint, params_get(params, "CONTENT_TYPE")))
		return fail_set(fail, FAIL_MEDIA_TYPE,
		    "Content-Type must be application/json");
	return 0;
}

void
exchange_run(struct exchange *exchange, char **params,
    const struct exchange_body *body)
{
	struct request *request = &exchange->request;
	struct service *service = exchange->service;
	struct fail fail = { 0 };
	const char *method = params_get(params, "REQUEST_METHOD");
	const char *query = params_get(params, "QUERY_STRING");
	const char *question = params_get(params, MONITOR_VARIABLE);

	service_refresh(service);
	exchange->started = sys_monotonic_us();
	request->method = method != NULL ? method : "";
	request->query = query != NULL ? query : "";
	request->body = body->data;
	request->body_len = body->len;
	request->now = sys_now();
	if (sys_random(request->random, sizeof(request->random)) == -1)
		fail_set(&fail, FAIL_INTERNAL, "no random numbers to be had");
	request_identify(request, params);
	if (question != NULL && *question != '\0') {
		monitor_answer(exchange, question);
		return;
	}
	if (fail.kind == FAIL_NONE && gate_enter(exchange, params, &fail) == 0)
		check_request(exchange, params, body, &fail);
	if (fail.kind != FAIL_NONE)
		exchange_fail(exchange, &fail);
	else
		service->endpoint->serve(exchange, service->agora);
}

struct settings *
exchange_settings(const struct exchange *exchange, struct fail *fail)
{
	if (exchange->service->settings->usable)
		return exchange->service->settings;
	fail_set(fail, FAIL_CONFIG,
	    "Service not properly configured. Please check environment "
	    "variables.");
	return NULL;
}

struct json *
exchange_json(const struct exchange *exchange, struct fail *fail)
{
	const struct request *request = &exchange->request;
	struct json *json;

	if (request->body_len == 0) {
		fail_set(fail, FAIL_BAD_INPUT,
		    "a body is required: a JSON object");
		return NULL;
	}
	json = json_parse(request->body, request->body_len, fail);
	if (json != NULL && json_kind(json) != JSON_OBJECT) {
		fail_set(fail, FAIL_BAD_INPUT,
		    "the body must be a JSON object");
		json_free(json);
		json = NULL;
	}
	return json;
}

static bool
is_get(const struct exchange *exchange)
{
	return strcmp(exchange->service->endpoint->method, "GET") == 0;
}

static struct answer_head
head_of(const struct exchange *exchange)
{
	return (struct answer_head){
		.id = exchange->request.id,
		.allow = is_get(exchange) ? "GET, HEAD" : "POST",
		.only = strcmp(exchange->request.method, "HEAD") == 0,
	};
}

/* ${name}, and ${value}, which is not negative, with at least ${digits}. */
static void
add_number(struct buf *line, const char *name, int64_t value, int digits)
{
	char text[24], *at = text + sizeof(text);

	do {
		*--at = (char)('0' + value % 10);
		value /= 10;
		digits--;
	} while (value > 0 || digits > 0);
	buf_text(line, name);
	buf_add(line, at, (size_t)(text + sizeof(text) - at));
}

static void
add_ms(struct buf *line, const char *name, int64_t us)
{
	add_number(line, name, us / 1000, 1);
	add_number(line, ".", us % 1000, 3);
}

/* Letters only, as every method is; "-" for what is none. */
static void
add_method(struct buf *line, const char *method)
{
	size_t len = 0;

	while (len < METHOD_MAX && ascii_is_alpha(method[len]))
		len++;
	buf_text(line, " method=");
	buf_add(line, len > 0 ? method : "-", len > 0 ? len : 1);
}

/*
 * What a failure adds to its line: what Agora said, and the sentence that the
 * client got, in which quotes would end the value. The text of a not-found
 * names an agent id, which is a capability: left out.
 */
static void
add_failure(struct buf *line, const struct fail *fail)
{
	const char *text = fail->text;
	size_t len;

	if (fail->upstream_status != 0)
		buf_format(line, " agora_status=%d agora_reason=%s",
		    fail->upstream_status, fail->upstream_reason);
	if (fail->kind == FAIL_NONE || fail->kind == FAIL_NOT_FOUND)
		return;
	buf_text(line, " detail=\"");
	for (; *text != '\0'; text += len) {
		len = strcspn(text, "\"");
		buf_add(line, text, len);
		if (text[len] == '"') {
			buf_text(line, "'");
			len++;
		}
	}
	buf_text(line, "\"");
}

/*
 * The request's line of log, key=value. Hostile bytes in it are escaped by the
 * log. Who called is not in it: the web server's line, with the same id, says
 * that to those who want to keep it. Put together by hand: each get_config
 * pays for it.
 */
static void
log_request(const struct exchange *exchange, const struct fail *fail,
    int64_t us, const struct buf *answer)
{
	static char text[LOG_LINE_MAX];
	const char *body = strstr(buf_str(answer), "\r\n\r\n");
	int status = answer_status(fail->kind);
	struct buf line = BUF_IN(text);

	buf_text(&line, "request endpoint=");
	buf_text(&line, exchange->service->endpoint->name);
	buf_text(&line, " id=");
	buf_text(&line, exchange->request.id);
	add_method(&line, exchange->request.method);
	add_number(&line, " status=", status, 1);
	buf_text(&line, " outcome=");
	buf_text(&line, fail_name(fail->kind));
	add_ms(&line, " ms=", us);
	add_number(&line,
	    " bytes=", body != NULL ? (int64_t)strlen(body + 4) : 0, 1);
	if (exchange->agora_us > 0)
		add_ms(&line, " agora_ms=", exchange->agora_us);
	if (fail->kind != FAIL_NONE)
		add_failure(&line, fail);
	(status >= 500 ? log_warn : log_info)("%s", buf_str(&line));
}

/* Counts the request, now that it was answered, and writes its line. */
static void
note(const struct exchange *exchange, const struct fail *fail,
    const struct buf *answer)
{
	int64_t us = sys_monotonic_us() - exchange->started;

	metrics_request(fail->kind, us - exchange->agora_us,
	    exchange->agora_us);
	log_request(exchange, fail, us, answer);
}

/*
 * Where an answer is put together. One is enough: send() has copied it when
 * the next request is looked at. Whoever ran out of memory can still say so.
 */
static struct buf
answer_buf(void)
{
	static char bytes[ANSWER_MAX + 1];

	return (struct buf)BUF_IN(bytes);
}

bool
exchange_gone(struct exchange *exchange)
{
	return exchange->gone != NULL && exchange->gone(exchange);
}

void
exchange_on_leaving(struct exchange *exchange, void (*leaving)(void *arg),
    void *arg)
{
	exchange->leaving = leaving;
	exchange->leaving_arg = arg;
}

void
exchange_client_left(struct exchange *exchange)
{
	void (*leaving)(void *arg) = exchange->leaving;

	exchange->leaving = NULL;
	if (leaving != NULL)
		leaving(exchange->leaving_arg);
}

/*
 * Sends what was formatted; ${exchange} is over afterwards. Returns whether
 * somebody took it.
 */
static bool
finish(struct exchange *exchange, const struct fail *fail, struct buf *out)
{
	bool sent;

	note(exchange, fail, out);
	sent = exchange->send(exchange, buf_str(out), out->len);
	buf_free(out);
	return sent;
}

void
exchange_fail(struct exchange *exchange, const struct fail *fail)
{
	struct answer_head head = head_of(exchange);
	struct buf out = answer_buf();

	answer_fail(&head, fail, &out);
	(void)finish(exchange, fail, &out);
}

static bool
succeed(struct exchange *exchange, const struct buf *data)
{
	static const struct fail none = { .kind = FAIL_NONE };
	struct answer_head head = head_of(exchange);
	struct buf out = answer_buf();

	answer_success(&head, data, &out);
	return finish(exchange, &none, &out);
}

void
exchange_succeed(struct exchange *exchange)
{
	(void)succeed(exchange, NULL);
}

bool
exchange_succeed_with(struct exchange *exchange, const struct buf *data)
{
	static const struct fail too_long = { .kind = FAIL_INTERNAL,
		.text = "the answer is too long" };

	if (!buf_failed(data) && data->len <= ANSWER_DATA_MAX)
		return succeed(exchange, data);
	exchange_fail(exchange, &too_long);
	return false;
}

void
exchange_refuse(struct service *service, const struct fail *fail,
    struct buf *out)
{
	struct exchange exchange = { .service = service,
		.request.method = "-",
		.started = sys_monotonic_us() };
	struct answer_head head;

	if (sys_random(exchange.request.random,
		sizeof(exchange.request.random)) == -1)
		log_error("no random numbers to be had");
	request_identify(&exchange.request, NULL);
	head = head_of(&exchange);
	answer_fail(&head, fail, out);
	note(&exchange, fail, out);
}
