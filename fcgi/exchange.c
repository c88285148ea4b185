#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/ascii.h"
#include "common/buf.h"
#include "common/fail.h"
#include "common/json.h"
#include "common/log.h"
#include "common/num.h"
#include "common/settings.h"
#include "common/sys.h"
#include "fcgi/endpoint.h"
#include "fcgi/exchange.h"
#include "fcgi/record.h"
#include "fcgi/service.h"

#define ANSWER_MAX (16 * 1024) /* bytes of header fields and body */

/* The one place where a kind of failure becomes an HTTP status. */
static const struct status {
	enum fail_kind kind;
	int code;
	const char *reason; /* of the status line */
	const char *msg;    /* of the envelope */
} statuses[] = {
	{ FAIL_NONE, 200, "OK", "success" },
	{ FAIL_BAD_INPUT, 400, "Bad Request", "invalid request" },
	{ FAIL_FORBIDDEN, 403, "Forbidden", "forbidden" },
	{ FAIL_NOT_FOUND, 404, "Not Found", "not found" },
	{ FAIL_METHOD, 405, "Method Not Allowed", "method not allowed" },
	{ FAIL_TOO_LARGE, 413, "Content Too Large", "request too large" },
	{ FAIL_MEDIA_TYPE, 415, "Unsupported Media Type",
	    "unsupported media type" },
	{ FAIL_HEAD_LARGE, 431, "Request Header Fields Too Large",
	    "request header too large" },
	{ FAIL_CONFIG, 500, "Internal Server Error", "not configured" },
	{ FAIL_UPSTREAM, 500, "Internal Server Error", "agora call failed" },
	{ FAIL_INTERNAL, 500, "Internal Server Error", "internal error" },
};

static const struct status *
status_of(enum fail_kind kind)
{
	size_t i, count = sizeof(statuses) / sizeof(statuses[0]);

	for (i = 0; i < count; i++)
		if (statuses[i].kind == kind)
			return &statuses[i];
	return &statuses[count - 1];
}

const char *
exchange_param(char **params, const char *name)
{
	size_t len = strlen(name);

	for (; params != NULL && *params != NULL; params++)
		if (strncmp(*params, name, len) == 0 && (*params)[len] == '=')
			return *params + len + 1;
	return NULL;
}

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
	const char *id = exchange_param(params, "REQUEST_ID");

	if (!id_ok(id))
		id = exchange_param(params, "UNIQUE_ID");
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
	if (check_length(exchange_param(params, "CONTENT_LENGTH"), body->len,
		fail) == -1)
		return -1;
	if (strcmp(endpoint->method, "POST") == 0 &&
	    !media_type_ok(endpoint, exchange_param(params, "CONTENT_TYPE")))
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
	const char *method = exchange_param(params, "REQUEST_METHOD");
	const char *query = exchange_param(params, "QUERY_STRING");

	service_refresh(service);
	exchange->started = sys_monotonic_ms();
	request->method = method != NULL ? method : "";
	request->query = query != NULL ? query : "";
	request->body = body->data;
	request->body_len = body->len;
	request->now = sys_now();
	if (sys_random(request->random, sizeof(request->random)) == -1)
		fail_set(&fail, FAIL_INTERNAL, "no random numbers to be had");
	request_identify(request, params);
	if (fail.kind == FAIL_NONE)
		check_request(exchange, params, body, &fail);
	if (fail.kind != FAIL_NONE)
		exchange_fail(exchange, &fail);
	else
		service->endpoint->serve(exchange, service->http);
}

const struct settings *
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

/* Header fields and, unless the method is HEAD, body. */
static void
format_answer(const struct status *status, const char *id, const char *allow,
    const struct buf *body, bool head, struct buf *out)
{
	buf_format(out,
	    "Status: %d %s\r\n"
	    "Content-Type: application/json\r\n"
	    "Content-Length: %zu\r\n"
	    "Cache-Control: no-store\r\n"
	    "X-Request-Id: %s\r\n",
	    status->code, status->reason, body->len, id);
	if (allow != NULL)
		buf_format(out, "Allow: %s\r\n", allow);
	buf_text(out, "\r\n");
	if (!head)
		buf_add(out, body->data, body->len);
}

/* The request's line of log. Methods and ids that got here may be hostile. */
static void
log_request(const struct exchange *exchange, const struct status *status,
    const struct fail *fail)
{
	long long ms = sys_monotonic_ms() - exchange->started;
	const char *name = exchange->service->endpoint->name;
	const struct request *request = &exchange->request;

	/* A not-found text names an agent id, which is a capability. */
	if (fail == NULL || fail->kind == FAIL_NOT_FOUND)
		log_info("request endpoint=%s id=%s method=%.16s status=%d "
			 "ms=%lld",
		    name, request->id, request->method, status->code, ms);
	else
		log_info("request endpoint=%s id=%s method=%.16s status=%d "
			 "ms=%lld detail=\"%s\"",
		    name, request->id, request->method, status->code, ms,
		    fail->text);
}

static void
send_answer(struct exchange *exchange, const struct status *status,
    const struct buf *body, const struct fail *fail)
{
	const struct endpoint *endpoint = exchange->service->endpoint;
	struct buf out = BUF(ANSWER_MAX);
	const char *allow = NULL;

	if (status->code == 405)
		allow = strcmp(endpoint->method, "GET") == 0 ? "GET, HEAD" :
							       endpoint->method;
	format_answer(status, exchange->request.id, allow, body,
	    strcmp(exchange->request.method, "HEAD") == 0, &out);
	log_request(exchange, status, fail);
	exchange->send(exchange, buf_str(&out), out.len);
	buf_free(&out);
}

static void
format_fail_body(const struct fail *fail, const char *id, struct buf *body)
{
	const struct status *status = status_of(fail->kind);
	struct json *envelope = json_new_object();
	struct json *upstream;

	json_put_int(envelope, "code", status->code);
	json_put_text(envelope, "msg", status->msg);
	json_put_text(envelope, "detail", fail->text);
	json_put_text(envelope, "request_id", id);
	if (fail->upstream_status != 0) {
		upstream = json_new_object();
		json_put_int(upstream, "status", fail->upstream_status);
		json_put_text(upstream, "reason", fail->upstream_reason);
		json_put(envelope, "upstream", upstream);
	}
	json_print(envelope, body);
	json_free(envelope);
	if (buf_failed(body)) {
		/* Out of memory: what needs none to speak of. */
		buf_free(body);
		*body = (struct buf)BUF(ANSWER_MAX);
		buf_format(body,
		    "{\"code\":%d,\"msg\":\"%s\",\"detail\":\"%s\"}",
		    status->code, status->msg, status->msg);
	}
}

void
exchange_fail(struct exchange *exchange, const struct fail *fail)
{
	struct buf body = BUF(ANSWER_MAX);

	format_fail_body(fail, exchange->request.id, &body);
	send_answer(exchange, status_of(fail->kind), &body, fail);
	buf_free(&body);
}

void
exchange_format_fail(const struct fail *fail, const char *id, struct buf *out)
{
	struct buf body = BUF(ANSWER_MAX);

	format_fail_body(fail, id, &body);
	format_answer(status_of(fail->kind), id, NULL, &body, false, out);
	buf_free(&body);
}

static struct json *
success_envelope(void)
{
	struct json *envelope = json_new_object();

	json_put_int(envelope, "code", 0);
	json_put_text(envelope, "msg", "success");
	return envelope;
}

/* Takes ${envelope}. */
static void
answer_success(struct exchange *exchange, struct json *envelope)
{
	static const struct fail no_memory = { .kind = FAIL_INTERNAL,
		.text = "out of memory" };
	struct buf body = BUF(ANSWER_MAX);

	json_print(envelope, &body);
	json_free(envelope);
	if (buf_failed(&body))
		exchange_fail(exchange, &no_memory);
	else
		send_answer(exchange, status_of(FAIL_NONE), &body, NULL);
	buf_free(&body);
}

void
exchange_succeed(struct exchange *exchange)
{
	answer_success(exchange, success_envelope());
}

void
exchange_succeed_with(struct exchange *exchange, struct json *data)
{
	struct json *envelope = success_envelope();

	json_put(envelope, "data", data);
	answer_success(exchange, envelope);
}
